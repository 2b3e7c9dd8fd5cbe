"""A run's data is judged before it starts: what stops it, what lets it start all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.training.harness import Commands, configure, events
from workbench import cli as command_line
from workbench.config import loading
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import Answered, Notice, Started
from workbench.jobs.log import LogWriter
from workbench.jobs.state import describe
from workbench.tracking import manifest, runs
from workbench.training import job
from workbench.training.job import train
from workbench.workspace import Workspace

Make = Callable[..., Path]
ACROSS, OF_VALIDATION = "near-duplicates-across-splits", "contamination-of-validation"
WORDS = " ".join(f"word{n}" for n in range(18))


@pytest.fixture
def make(workspace: Workspace, write_rows: Callable[..., Path], base: Path) -> Make:
    """Creates a run over ten training rows and a few for validation, and more of each."""

    def create(*more: dict[str, str], held: tuple[dict[str, str], ...] = (), **config: Any) -> Path:
        rows = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(13)]
        path = write_rows(*rows[:10], *more)
        other = write_rows(*rows[10:], *held, name="held.jsonl")
        # An import leaves out what leaks to the validation rows; others may not have.
        options = Options(validation_files=(other,), near_duplicates_together=False)
        import_files(workspace, [path], "sample", options)
        config.setdefault("training", {"max_steps": 1})
        made = configure(base, evaluation={"samples": 0, **config.pop("evaluation", {})}, **config)
        return runs.create(workspace, made, command="test", say=lambda text: None)

    return create


LEAK = {"prompt": f"{WORDS} here", "completion": "Yes"}
HELD = ({"prompt": f"{WORDS} there", "completion": "Yes"},)


def here(folder: Path, control: Control | None = None) -> Path:
    """Train in this process."""
    with LogWriter(folder / runs.LOG) as log:
        log.write(train(folder, log, control or Control()))
    return folder


def said(folder: Path) -> str:
    return "\n".join(notice.text for notice in events(folder, Notice))


def test_a_leak_stops_the_start_with_its_rows_and_the_line_that_accepts_it(
    make: Make, cli: Cli
) -> None:
    folder = make(LEAK, held=HELD)
    config = runs.load_config(folder)
    path = folder.parent / "again.yaml"
    loading.save(config, path)
    # Without --wait, too: it is refused before the verb leaves the run to itself.
    result = cli("train", path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    told = " ".join(result.stderr.split())
    assert f"2 checks of the data found in {config.data.dataset}" in told
    assert f"{ACROSS}: 1 validation row saying almost what a training row says" in told
    assert "row 15 (held.jsonl:4): " in told and "those of row 11, which is trained on" in told
    assert f"see them: workbench data {ACROSS} {config.data.dataset}" in told
    assert f"`workbench data drop {config.data.dataset} {ACROSS}` makes a version" in told
    assert f"accept: [{ACROSS}, {OF_VALIDATION}]" in told
    run = folder.with_name("run-0002")
    assert describe(run)[0] == "failed" and not events(run, Started)
    assert not manifest.read(run)["gate"]["passed"] and "starts" not in manifest.read(run)


def test_what_is_accepted_by_name_starts_and_is_in_the_manifest(
    make: Make, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here(make(LEAK, held=HELD, accept=[ACROSS, OF_VALIDATION, "nothing-trained"]))
    gate = manifest.read(folder)["gate"]
    assert gate["passed"] and gate["accepted"] == {ACROSS: 1, OF_VALIDATION: 1}
    assert gate["unneeded"] == ["nothing-trained"]
    (found,) = (f for f in gate["findings"] if f["name"] == ACROSS)
    assert found["numbers"] == [15]
    assert f"Accepted: {ACROSS}: 1 validation row" in said(folder)
    assert "accept has nothing-trained, which nothing was found of" in said(folder)
    command_line.main(["--workspace", str(workspace.root), "runs", "show", folder.name])
    shown = capsys.readouterr().out
    assert f"  accepted {ACROSS}: 1 validation row" in shown and "  ok       mask-ref" in shown


def test_data_that_is_good_starts_without_a_word(make: Make) -> None:
    folder = here(make())
    gate = manifest.read(folder)["gate"]
    assert {finding["level"] for finding in gate["findings"]} == {"ok"}
    assert (gate["passed"], gate["accepted"], said(folder)) == (True, {}, "")


def test_a_run_that_goes_on_is_not_judged_again(
    make: Make, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(checkpoints={"every": 1}, training={"max_steps": 2})
    here(folder)
    before = manifest.read(folder)["gate"]

    def never(*_: Any) -> None:
        raise AssertionError("it is judged again")

    monkeypatch.setattr("workbench.training.gated.gate.look", never)
    here(folder)
    # Nor is one that has trained before there was a gate.
    manifest.update(folder, gate={})
    here(folder)
    assert before["passed"] and manifest.read(folder)["gate"] == {}


def test_a_second_run_over_the_same_data_reads_what_the_first_has_found(
    make: Make, workspace: Workspace
) -> None:
    first = here(make())
    version = versions.resolve(workspace, "sample")
    kept = {path: path.stat().st_mtime_ns for path in version.folder.rglob("*")}
    assert len(list((version.folder / "verdicts").iterdir())) == 1
    second = here(make())
    assert {path: path.stat().st_mtime_ns for path in version.folder.rglob("*")} == kept
    assert manifest.read(second)["gate"] == manifest.read(first)["gate"]


def test_rows_of_an_evaluation_set_among_the_training_rows_stop_the_start(
    make: Make, workspace: Workspace, write_rows: Callable[..., Path]
) -> None:
    asked = write_rows(*HELD, {"prompt": "What else?", "completion": "No"}, name="exam.jsonl")
    exam = import_files(workspace, [asked], "exam", Options(validation_share=0))
    folder = make(LEAK, evaluation={"against": "exam"})
    assert runs.load_config(folder).evaluation.against == [exam.reference]
    with pytest.raises(
        WorkbenchError, match=r"contamination-of-evaluation: 1 row of exam@\w+"
    ) as no:
        here(folder)
    assert f"--set 'against=[{exam.reference}]'" in no.value.message
    assert "accept: [contamination-of-evaluation]" in no.value.hint
    here(make(LEAK, evaluation={"against": "exam"}, accept=["contamination-of-evaluation"]))
    with pytest.raises(WorkbenchError, match="There is no dataset unknown"):
        make(evaluation={"against": "unknown"})


def test_many_rows_that_say_the_same_are_told_and_stop_nothing(make: Make) -> None:
    folder = here(make(LEAK, *HELD))
    assert "near-duplicates-in-train: 1 training row saying almost what an earlier" in said(folder)


def test_rows_that_can_t_be_proved_are_left_out_where_that_is_accepted(
    make: Make, tiny_model: Path
) -> None:
    """The template loses what stands before the response `lost`, and renders no `never`."""
    path = tiny_model / "chat_template.jinja"
    loses = "{% if messages[-1]['content'] == 'lost' %}x{% endif %}"
    raises = "{% if messages[0]['content'] == 'never' %}{{ raise_exception('no') }}{% endif %}"
    path.write_text(loses + raises + path.read_text())
    bad = {"prompt": "Where?", "completion": "lost"}
    model = {"base": str(tiny_model)}
    with pytest.raises(WorkbenchError, match="prefix-not-kept: 1 row") as refused:
        here(make(bad, model=model))
    assert "row 11 (rows.jsonl:11): the chat template does not keep" in refused.value.message
    held = ({**bad, "prompt": "Where to?"}, {"prompt": "never", "completion": "no"})
    accept = ["prefix-not-kept", "mask-refused"]
    asked = {"samples": 9}
    folder = here(make(bad, held=held, model=model, accept=accept, evaluation=asked))
    assert len({answered.row for answered in events(folder, Answered)}) == 4, "all that it can ask"
    (started,) = events(folder, Started)
    assert (started.train_rows, started.validation_rows) == (10, 3)
    assert "1 training row whose trained tokens can't be proved is left out" in said(folder)
    assert manifest.read(folder)["gate"]["accepted"] == {"prefix-not-kept": 2, "mask-refused": 1}


def test_it_is_judged_before_the_base_is_loaded_and_can_be_stopped(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the base is loaded")

    monkeypatch.setattr(job.model, "load_to_train", never)
    with pytest.raises(WorkbenchError, match="may not start"):
        here(make(LEAK, held=HELD))
    folder = make()
    asking = Commands(tmp_path)
    look = "workbench.training.gated.gate.look"

    def ask(workspace: Any, version: Any, template: Any, config: Any, tell: Any) -> None:
        asking.send("stop")
        tell("comparing", 0, 10, "rows")

    monkeypatch.setattr(look, ask)
    with pytest.raises(Stopped):
        here(folder, asking.control)
    asking.hang_up()
    assert "gate" not in manifest.read(folder)


@pytest.mark.parametrize("value", ["near-duplicates", "[responses-lost, all]"])
def test_a_name_that_is_no_finding_s_is_refused(value: str) -> None:
    with pytest.raises(loading.ConfigError, match="accept: it must be 'nothing-trained'"):
        loading.default_config([f"accept={value}"])
