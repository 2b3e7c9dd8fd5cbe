"""Reports of real runs: one, several, and those whose files are not what they should be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import Cli
from tests.trained import Trained
from workbench.files import read_json, write_json
from workbench.jobs.events import Skipped
from workbench.jobs.log import LogWriter, read_all
from workbench.reporting import report
from workbench.review import making
from workbench.review.items import Item
from workbench.tracking import finding, notes
from workbench.workspace import Workspace

HOSTILE = "<script>alert(1)</script> | `x` [a](http://evil.example) \x1b[2J\u202e"


class Outline(HTMLParser):
    """The elements of a page, and what each refers to."""

    VOID = ("meta",)

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(page: str) -> list[ElementTree.Element]:
    """That a page is whole, alone and without a script; its charts."""
    found = Outline(page)
    assert found.open == [] and not {"script", "link", "img", "iframe"} & set(found.elements)
    names = {name for name, _ in found.attributes}
    assert not {n for n in names if n.startswith("on")} and not names & {"href", "src"}
    assert "url(" not in page and "@import" not in page
    charts = [
        ElementTree.fromstring(f"<svg{part.partition('</svg>')[0]}</svg>")  # noqa: S314 (ours)
        for part in page.split("<svg")[1:]
    ]
    for chart in charts:
        assert chart.get("role") == "img" and chart.get("aria-label")
    return charts


@pytest.fixture
def copied(trained_run: Trained, workspace: Workspace) -> Path:
    """The run in a workspace of the test's own."""
    shutil.copytree(trained_run.pristine, workspace.root)
    return workspace.runs / trained_run.run.name


@pytest.fixture
def second(copied: Path) -> Callable[..., Path]:
    """Makes another run beside it: a copy whose config has other values."""

    def make(name: str = "small-0002", **training: Any) -> Path:
        folder = Path(shutil.copytree(copied, copied.with_name(name)))
        made = read_json(folder / finding.MANIFEST)
        made["run"] = name
        made["config"]["training"] |= training
        write_json(folder / finding.MANIFEST, made)
        return folder

    return make


def test_reports_are_kept_beside_the_run_and_of_several_by_their_names(
    copied: Path, workspace: Workspace, second: Callable[..., Path], cli: Cli
) -> None:
    other = second()
    for runs, place in (
        ([copied], copied),
        ([copied, other, copied], workspace.reports / "small-0001_small-0002"),
    ):
        names = [run.name for run in runs]
        done = cli("runs", "report", "--keep", "--workspace", workspace.root, *names)
        assert done.returncode == 0, done.stderr
        assert str(place / report.PAGE) in done.stdout
        assert "small-0001" in (place / report.REPORT).read_text()
    many = [workspace.runs / f"a-run-with-a-name-{n:04}" for n in range(20)]
    assert report.place(workspace, many).name == "a-run-with-a-name-0000_and_19_others"


def test_one_run_is_told_from_what_it_is_to_how_it_is_repeated(trained_run: Trained) -> None:
    text = trained_run.cli("runs", "report").stdout
    headings = [line for line in text.splitlines() if line.startswith(("# ", "## "))]
    assert headings == [
        "# Run small-0001",
        "## What was trained",
        "## On what",
        "## How it went",
        "## How well",
        "## With what doubt",
        "## How to repeat it",
    ]
    for wanted in (
        "Method: LoRA, rank 16, alpha 32",
        "32 training rows of 1,536 tokens, 8 validation rows",
        "Checked before it started: 8 checks found nothing.",
        "2 checkpoints in",
        "No alarms.",
        "training loss            █",
        "It is one run, with seed 0",
        "Answers to 3 rows: a share near one half is known to 37 points either way.",
        "Of fewer than 20 answers bootstrap intervals are too narrow.",
        "that hold at 0.05 after Holm's correction: loss.",
        "Not told apart from no change: rouge l, exact match, token f1.",
        "No person's judgement stands behind it.",
    ):
        assert wanted in text
    # 128 KiB of weights, and what stands beside them.
    assert re.search(r"/adapter, 1[34]\d\.?\d? KiB", text)


def test_it_is_written_where_it_is_wanted_and_nowhere_else(copied: Path, cli: Cli) -> None:
    before = sorted(path.name for path in copied.iterdir())
    said = cli("runs", "report", "--html", "r.html", "--markdown", "r.md")
    assert said.returncode == 0 and said.stdout.splitlines() == [
        "Written to r.html.",
        "Written to r.md.",
    ]
    assert sorted(path.name for path in copied.iterdir()) == before
    told = json.loads(cli("runs", "report", "--json").stdout)
    there = copied.parent.parent.parent
    assert told["runs"] == ["small-0001"] and told["missing"] == []
    assert (there / "r.md").read_text() == told["text"]
    charts = check_page((there / "r.html").read_text())
    loss, rate, norm, changes = charts
    assert [c.get("aria-label", "").partition(":")[0] for c in charts] == [
        "Loss of small-0001",
        "Learning rate of small-0001",
        "Gradient norm of small-0001",
        "Change from base to adapter",
    ]
    label = loss.get("aria-label") or ""
    assert "training loss 11.58 at step 1" in label and "validation loss 11.58 at step 0" in label
    # One for each validation, and one in the legend.
    assert len(loss.findall(".//{*}circle")) == 3 + 1
    assert not rate.findall(".//{*}circle") and norm is not None
    assert len(changes.findall(".//{*}circle")) == 3


def test_a_page_is_for_light_and_dark_screens_and_for_paper(trained_run: Trained) -> None:
    page = report.of(trained_run.workspace, [trained_run.run]).html
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert 'fill="currentColor"' in page


def test_several_runs_say_what_differs_and_what_can_not_be_told_apart(
    copied: Path, second: Callable[..., Path], workspace: Workspace
) -> None:
    other = second(learning_rate=0.001, warmup_ratio=0.5)
    made = report.of(workspace, [copied, other])
    text = made.markdown
    for wanted in (
        "# Comparison of 2 runs",
        "| training.learning_rate | 0.005 | 0.001 |",
        "| training.warmup_ratio | 0.03 | 0.5 |",
        "| small-0002 | 40/40 |",
        "change from small-0001",
        "### What can't be told apart",
        "- exact match",
        "Told apart from it: nothing.",
        "2 fields of the configs differ",
        "Rows that all runs answered, or have a loss of: 8.",
    ):
        assert wanted in text
    training, validation, *_ = check_page(made.html)
    for chart in (training, validation):
        names = [text.text for text in chart.findall(".//{*}text")]
        assert "small-0001" in names and "small-0002" in names
    with pytest.raises(AssertionError):
        check_page(made.html.replace("</table>", "", 1))


def test_nothing_that_data_or_people_wrote_is_markup(
    copied: Path, second: Callable[..., Path], workspace: Workspace
) -> None:
    other = second("<b>small-0002")
    for folder in (copied, other):
        made = read_json(folder / finding.MANIFEST)
        made["base"]["name"] = made["dataset"]["name"] = HOSTILE
        made["gate"]["findings"][0] |= {"level": "red", "text": HOSTILE}
        made["repeat"] = f"workbench {HOSTILE}"
        write_json(folder / finding.MANIFEST, made)
        notes.add(folder, HOSTILE)
        scores = folder / "evaluations" / "01" / "metrics.json"
        measured = read_json(scores)
        measured["systems"][HOSTILE] = measured["systems"].pop("adapter")
        measured["comparisons"][1] |= {"to": HOSTILE}
        write_json(scores, measured)
    for folders in ([copied], [copied, other]):
        made = report.of(workspace, folders)
        check_page(made.html)
        assert "&lt;script&gt;" in made.html and "<b>" not in made.html
        assert not {"\x1b", "\u202e"} & set(made.html + made.markdown)
        # What is indented is code, where nothing is markup.
        prose = [line for line in made.markdown.splitlines() if not line.startswith("    ")]
        assert any("\\<script>" in line for line in prose)
        for line in prose:
            assert "<script" not in line.replace("\\<script", "")
            assert "](http" not in line.replace("\\](http", "")


def test_no_secret_is_in_it(
    copied: Path, second: Callable[..., Path], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "correct-horse-battery")
    secrets = ("hf_abcDEF1234567890abcd", "correct-horse-battery", "hunter22")
    made = read_json(copied / finding.MANIFEST)
    made["config"]["data"]["dataset"] = secrets[0]
    made["config"]["job"]["accelerate_config"] = f"https://me:{secrets[2]}@host/x.yaml"
    made["base"]["name"] = f"https://me:{secrets[2]}@host/model"
    write_json(copied / finding.MANIFEST, made)
    notes.add(copied, f"with {secrets[1]} and {secrets[0]}")
    for folders in ([copied], [second(), copied]):
        told = report.of(workspace, folders)
        assert "***" in told.html
        assert [s for s in secrets if s in told.html or s in told.markdown] == []


def test_a_review_speaks_once_it_is_locked(copied: Path, workspace: Workspace) -> None:
    evaluation = copied / "evaluations" / "01"
    items = [Item(f"row-{n}", f"{n}?", "ok", {"base": "no", "adapter": "ok"}) for n in range(12)]
    source = {"evaluation": str(evaluation)}
    session = making.create(workspace, "blind", items, seed=1, source=source)
    while (shown := session.next("ann")) is not None:
        session.judge("ann", shown, "left")
    text = report.of(workspace, [copied]).markdown
    assert "Blind review session blind has not ended" in text
    assert "No person's judgement stands behind it." in text and "12 of 12" not in text
    session.lock()
    text = report.of(workspace, [copied]).markdown
    assert "Blind review session blind, ended on" in text and "ann: 12 of 12 judged" in text
    assert "No person's judgement" not in text


def _newer(folder: Path) -> None:
    made = read_json(folder / finding.MANIFEST)
    write_json(folder / finding.MANIFEST, {**made, "v": 99, "base": "elsewhere"})


def _odd(folder: Path) -> None:
    made = read_json(folder / finding.MANIFEST)
    odd = {"starts": "x", "gate": {"findings": [1]}, "config": {"lora": 3, "training": []}}
    write_json(folder / finding.MANIFEST, {**made, **odd})


def _torn(folder: Path) -> None:
    log = folder / finding.LOG
    content = log.read_bytes()
    half = len(content) // 2
    log.write_bytes(content[:half] + b"\n\x00 no event\n" + content[half:-40])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "half-written": (lambda run: (run / finding.MANIFEST).unlink(), "is half-written"),
    "newer": (_newer, "is of a newer release: its version is 99"),
    "odd": (_odd, "More can't be told"),
    "no log": (lambda run: (run / finding.LOG).unlink(), "It took no step."),
    "torn": (_torn, "is torn: the last line is cut short"),
    "never evaluated": (
        lambda run: shutil.rmtree(run / "evaluations"),
        "Nothing was measured of its answers",
    ),
    "no figures": (
        lambda run: (run / "evaluations" / "01" / "metrics.json").write_text("{}"),
        "metrics.json holds no figures",
    ),
    "no manifest to read": (lambda run: (run / finding.MANIFEST).write_text(""), "not valid JSON"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_of_a_damaged_run_it_says_what_is_missing(
    what: str, copied: Path, second: Callable[..., Path], workspace: Workspace
) -> None:
    damage, wanted = DAMAGES[what]
    other = second()
    damage(other)
    alone = report.of(workspace, [other])
    assert wanted in alone.markdown
    assert "## With what doubt" in alone.markdown and "## How to repeat it" in alone.markdown
    check_page(alone.html)
    both = report.of(workspace, [copied, other])
    assert "# Comparison of 2 runs" in both.markdown and "## With what doubt" in both.markdown
    check_page(both.html)


def test_skipped_steps_are_counted_and_doubted(copied: Path, workspace: Workspace) -> None:
    log = copied / finding.LOG
    with LogWriter(log) as writer:
        for step in (3, 7):
            writer.write(Skipped(step, "loss", []))
    assert len([r for r in read_all(log) if isinstance(r.event, Skipped)]) == 2
    text = report.of(workspace, [copied]).markdown
    assert "2 steps skipped" in text and "2 of its steps did nothing" in text


def test_a_run_that_is_not_there_is_named(copied: Path, cli: Cli) -> None:
    said = cli("runs", "report", "smal", "nothing")
    assert said.returncode == 2 and "There is no run nothing" in said.stderr
