from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from tests import tiny
from tests.data.forgetful import FRAME, TEMPLATE, row
from workbench import cli
from workbench.config.schema import Acceptable
from workbench.data import gate, measure_worker, verdict, verdict_findings, verdict_job, versions
from workbench.data.example import Example, Message
from workbench.data.importing import Options, import_files
from workbench.data.masking import CHANGED, NO_END, NOTHING, REFUSED
from workbench.data.template import ChatTemplate
from workbench.data.verdict import Verdict
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.jobs.control import Stopped
from workbench.workspace import Workspace


def made(workspace: Workspace, *rows: Example) -> Version:
    return versions.create(workspace, "made", rows, sources=[], steps=[])


ROWS = (
    row("abc", "de", "qa"),
    row("a", "b" * 100, "qa", "validation"),
    row("abc", "lost", "chat"),
    Example((Message("user", "no answer"),), source="none:1"),
    Example(text="plain"),
)


def test_rows_are_counted_and_those_that_can_t_be_trained_named(
    workspace: Workspace, model: Path
) -> None:
    told: list[tuple[str, int, int, str]] = []
    template = ChatTemplate.load(model)
    found = verdict.look(made(workspace, *ROWS), template, lambda *how: told.append(how))
    parts = {(part["split"], part["task"]): part for part in found.parts}
    assert parts["train", "qa"]["tokens"] == FRAME + 5
    assert parts["validation", "qa"]["trained_tokens"] == 101
    assert parts["train", "chat"]["refused"] == 1
    assert found.lengths[""].rows == 3 and found.lengths["train"].rows == 2
    # Its end is learnt, and all before it but the first.
    assert found.lengths[""].trained_tokens == 3 + 101 + 5
    by_name = {finding.name: finding for finding in found.findings()}
    assert [f.level for f in by_name.values()] == ["red", "ok", "red", "ok"]
    assert by_name[NOTHING].numbers == (4,) and by_name[CHANGED].numbers == (3,)
    (line,) = by_name[CHANGED].rows
    assert line == "row 3 (abc:1): the chat template does not keep what stands before a response"
    assert told[0][1:] == (0, 5, "rows") and told[-1][1:] == (5, 5, "rows")
    assert [found.split_of(number) for number in range(5)] == [
        *("train", "validation"),
        *("train",) * 3,
    ]


def test_a_template_whose_end_marker_is_none_that_ends_an_answer_is_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    """An answer to `odd` ends with another token than all the others."""
    marker = "{{ '<|pad|>' if m.content == 'odd' else '<|im_end|>' }}"
    tiny.make_tokenizer(
        tmp_path / "odd",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}" + marker + "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    )
    template = ChatTemplate.load(tmp_path / "odd")
    found = verdict.look(made(workspace, row("a", "b"), row("a", "odd")), template)
    (finding,) = (f for f in found.findings() if f.name == NO_END)
    assert (finding.level, finding.numbers) == ("red", (2,))


@pytest.mark.parametrize(
    ("cutoff", "too_long", "level", "count"),
    [
        (200, "truncate", "ok", 0),
        # What is cut off is the template's line end.
        (FRAME + 100, "truncate", "ok", 0),
        (FRAME + 20, "truncate", "red", 1),
        (FRAME + 20, "drop", "yellow", 1),
        (FRAME + 20, "refuse", "red", 1),
    ],
)
def test_what_a_cutoff_loses_is_judged_by_what_becomes_of_it(
    workspace: Workspace, model: Path, cutoff: int, too_long: str, level: str, count: int
) -> None:
    version = made(workspace, row("abc", "de"), row("a", "b" * 100))
    found = verdict.look(version, ChatTemplate.load(model))
    finding = found.findings(cutoff, too_long)[-1]
    name = "too-long" if too_long == "refuse" else "responses-lost"
    assert (finding.name, finding.level, finding.count) == (name, level, count)
    assert finding.rows == ((f"row 2 (a:1): {FRAME + 101} tokens",) if count else ())
    assert finding.acceptable == (too_long != "refuse")


def test_one_row_in_a_hundred_may_lose_its_end(workspace: Workspace, model: Path) -> None:
    rows = [row(f"{n:03}", "de") for n in range(199)]
    found = verdict.look(made(workspace, *rows, row("a", "b" * 100)), ChatTemplate.load(model))
    assert found.findings(FRAME + 20)[-1].level == "yellow"


def test_workers_find_what_one_process_finds(
    workspace: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = made(workspace, *(row(f"{n}", "x" * (n % 50)) for n in range(1500)), *ROWS)
    template = ChatTemplate.load(model)
    alone = verdict.look(version, template)
    kept = (alone.to_json(), alone.table, alone.refused, alone.lengths[""].at(40))
    shutil.rmtree(alone.folder)
    started: list[object] = []
    start = measure_worker._start
    monkeypatch.setattr(measure_worker, "_A_WORKER", 1 << 10)
    monkeypatch.setattr(measure_worker.os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(measure_worker, "_start", lambda *a: started.append(a) or start(*a))
    both = verdict.look(version, template)
    assert len(started) == 2
    assert (both.to_json(), both.table, both.refused, both.lengths[""].at(40)) == kept


def test_it_is_looked_for_once_and_again_under_another_template(
    workspace: Workspace, model: Path
) -> None:
    version = made(workspace, *ROWS)
    template = ChatTemplate.load(model)
    assert verdict.find(version, template) is None
    first = verdict.look(version, template)
    stamp = first.folder.stat().st_mtime_ns
    known = verdict.find(version, template)
    assert known is not None and known.to_json() == first.to_json()
    assert verdict.look(version, template).folder.stat().st_mtime_ns == stamp
    (model / "chat_template.jinja").write_text(f"{TEMPLATE} ")
    assert verdict.find(version, ChatTemplate.load(model)) is None


def test_one_that_is_stopped_leaves_nothing(workspace: Workspace, model: Path) -> None:
    version = made(workspace, *ROWS)

    def stop(phase: str, done: int, total: int, unit: str) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        verdict.look(version, ChatTemplate.load(model), stop)
    assert not (version.folder / "verdicts").exists()


@pytest.mark.parametrize("name", ["verdict.json", "rows.u32"])
def test_one_that_was_changed_is_told_by_its_file(
    workspace: Workspace, model: Path, name: str
) -> None:
    found = verdict.look(made(workspace, *ROWS), ChatTemplate.load(model))
    (found.folder / name).write_text('{"v": 1}')

    def use() -> Verdict:
        known = verdict.read(found.folder)
        known.findings(FRAME + 20)
        return known

    with pytest.raises(WorkbenchError, match=f"{name} was changed") as caught:
        use()
    assert str(found.folder) in caught.value.hint


def test_what_can_be_accepted_is_what_is_found() -> None:
    of_rows = {NOTHING, NO_END, CHANGED, REFUSED, verdict_findings.LOST}
    of_checks = {gate.ACROSS, gate.OF_VALIDATION, gate.OF_EVALUATION}
    assert set(get_args(Acceptable)) == of_rows | of_checks


def test_the_verb_measures_as_a_task_and_ends_with_1_where_a_run_would_be_refused(
    workspace: Workspace,
    write_rows: Callable[..., Path],
    model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def verb(*arguments: object) -> tuple[int, str, str]:
        root = ("--workspace", workspace.root, "data", "verdict")
        try:
            status = cli.main([*map(str, (*root, *arguments))])
        except SystemExit as left:  # as argparse does
            status = int(left.code or 0)
        return status, *capsys.readouterr()

    rows = ({"prompt": f"Question {n}?", "completion": "Yes", "task": "qa"} for n in range(20))
    path = write_rows(*rows, {"prompt": "A\x1b[31m?", "completion": "lost"})
    version = import_files(workspace, [path], "made", Options(validation_share=0))
    status, out, _ = verb("made", "--model", model, "--max-length", 50)
    assert status == 1
    assert "red     prefix-not-kept: 1 row of which the chat template doesn't keep" in out
    assert "row 21 (rows.jsonl:21): the chat template does not keep" in out
    assert "ok      responses-lost: 0 rows" in out
    assert "20 of 20 rows are kept" in " ".join(out.split())
    import_files(workspace, [write_rows({"prompt": "A?", "completion": "a"})], "good")
    status, out, _ = verb("good", "--model", model, "--json", "--max-length", 30)
    result = json.loads(out)
    assert status == 0 and {f["level"] for f in result["findings"]} == {"ok"}
    assert result["lengths"]["all"]["p50"] == FRAME + 3 and result["kept"]["all"]["rows_kept"] == 1
    folder = workspace.tasks / "verdict-0001"
    assert tasks.read_request(folder)["dataset"] == version.reference
    assert verdict_job.read_result(folder).dataset == version.reference
    for wrong, words in (
        (("unknown",), "There is no dataset unknown"),
        (("made", "--model", "./nowhere"), "nowhere doesn't exist"),
        (("made", "--max-length", "x"), "give a number of tokens"),
    ):
        status, _, told = verb(*wrong)
        assert status == 2 and words in told and "Traceback" not in told
