"""What a model said to the same prompts over time, read from logs real and recorded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.trained import Trained
from workbench.jobs.events import Answered, Evaluated, Started, Step
from workbench.jobs.log import LogWriter, marked
from workbench.tracking.samples import SampleReader, in_words, read

LOG = "train.jsonl"
LOOP = "and so on and " * 12


def started(resumed_from: int = 0) -> Started:
    return Started(9, 1.0, 9, 2, 99, 9, 99, "CPU", "float32", resumed_from)


def write(run: Path, *events: object) -> Path:
    run.mkdir(exist_ok=True)
    with LogWriter(run / LOG) as log:
        for event in events:
            log.write(event)  # type: ignore[arg-type]
    return run


def said(run: Path) -> dict[int, dict[int, str]]:
    return {
        prompt.row: {step: output.answer for step, output in prompt.outputs.items()}
        for prompt in read(run).prompts
    }


def test_the_answers_of_a_real_run_stand_beside_what_the_data_answers(
    trained_run: Trained,
) -> None:
    found = read(trained_run.run)
    assert found.steps == (0, 20, 40)
    assert len(found.prompts) == 2
    for prompt in found.prompts:
        assert prompt.text.startswith("Is ") and prompt.reference == "ok"
        last = prompt.outputs[40]
        assert (last.answer, last.stopped, last.tokens, last.marks) == ("ok", True, 2, ())
        assert prompt.outputs[0].answer != "ok"
        assert prompt.outputs[0].stopped is False and prompt.outputs[0].tokens == 48
        assert "cut" in {mark.name for mark in prompt.outputs[0].marks}
    assert found.began is None


def test_of_a_step_that_was_done_twice_the_last_answer_counts(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        started(),
        Answered(0, 7, "Say", "first"),
        Answered(10, 7, "Say", "tenth"),
        Answered(20, 7, "Say", "of a training that was given up"),
        started(resumed_from=10),
    )
    # What came after the checkpoint is no part of the run any more.
    assert said(run) == {7: {0: "first", 10: "tenth"}}
    write(run, Answered(10, 7, "Say", "tenth again"), Answered(20, 7, "Say", "twentieth"))
    assert said(run) == {7: {0: "first", 10: "tenth again", 20: "twentieth"}}
    write(run, started(), Answered(0, 7, "Say", "anew"))
    assert said(run) == {7: {0: "anew"}}


def test_logs_of_earlier_releases_can_be_read(tmp_path: Path) -> None:
    run = write(tmp_path / "run", started())
    line = {"v": 1, "seq": 1, "t": 5.0, "type": "answered", "step": 0, "row": 3}
    with (run / LOG).open("a") as log:
        log.write(json.dumps({**line, "prompt": "Say", "answer": "it"}, separators=(",", ":")))
        log.write("\n")
    (prompt,) = read(run).prompts
    assert prompt.outputs[0].stopped is None and prompt.outputs[0].marks == ()
    assert prompt.reference is None, "there is no dataset"


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    run = tmp_path / "run"
    reader = SampleReader(run)
    none = reader.read()
    assert none is not None and none.prompts == ()
    write(run, started(), Answered(0, 7, "Say", LOOP))
    first = reader.read()
    assert first is not None and first.steps == (0,) and first.began == 0
    write(run, Step(1, 0.1, 2.0, 1e-3, 1.0, 9, 5, 0.1))
    assert reader.read() is None
    with (run / LOG).open("ab") as log:
        log.write(b'{"v":1,"seq":3,"t":1.0,"type":"answered","step":5,"row":7,"prompt":"Say"')
        log.flush()
        assert reader.read() is None, "a line that is being written"
        log.write(b',"answer":"it"}\n')
    second = reader.read()
    assert second is not None and second.steps == (0, 5)
    assert second.prompts[0].outputs[0] is not None
    assert second.began is None, "it is over"
    # Another file in its place.
    (run / LOG).unlink()
    write(run, Answered(3, 8, "Say", "x"))
    replaced = reader.read()
    assert replaced is not None and [p.row for p in replaced.prompts] == [8]


def test_only_lines_of_the_kind_are_decoded(tmp_path: Path) -> None:
    """Words of the data that look like an event are none."""
    text = '"type":"answered" and {"v":1,"type":"answered","step":9}'
    run = write(
        tmp_path / "run",
        Step(1, 0.1, 2.0, 1e-3, 1.0, 9, 5, 0.1),
        Answered(1, 7, text, text),
        Evaluated(1, 2.0, 1, 1, tasks={text: {"loss": 1.0}}),
    )
    with (run / LOG).open("ab") as log:
        log.write(b'{"type":"answered", broken\n')
    records, end = marked(run / LOG, (Answered,))
    assert [record.event for record in records] == [Answered(1, 7, text, text)]
    assert end == (run / LOG).stat().st_size
    assert marked(run / LOG, (Answered,), end) == ([], end)
    assert marked(tmp_path / "none", (Answered,)) == ([], 0)


def test_own_prompts_are_told_apart_by_their_text(tmp_path: Path) -> None:
    run = write(tmp_path / "run", Answered(0, 0, "One", "1"), Answered(0, 0, "Two", "2", True, 1))
    asked = [(prompt.name, prompt.text) for prompt in read(run).prompts]
    assert asked == [("own prompt", "One"), ("own prompt", "Two")]


def test_it_is_said_since_when_something_is_wrong(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        *(
            Answered(step, row, f"Say {row}", LOOP if wrong else f"fine, {step}")
            for step, wrong_rows in ((0, {1}), (10, ()), (20, {2}), (30, {1, 2}))
            for row in (1, 2)
            for wrong in (row in wrong_rows,)
        ),
    )
    found = read(run)
    assert [found.degenerate(step) for step in found.steps] == [1, 0, 1, 2]
    assert found.began == 20
    assert [prompt.letters(30)[0] for prompt in found.prompts] == ["L", "L"]
    assert found.prompts[1].letters(10) == "·" and found.prompts[1].letters(11) == ""
    assert [output.same for output in found.prompts[0].outputs.values()] == [False] * 4
    before = found.prompts[0].before(20)
    assert before is not None and before.step == 10 and found.prompts[0].before(0) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    run = write(tmp_path / "run", started())
    (run / LOG).chmod(0)
    from workbench.errors import WorkbenchError

    with pytest.raises(WorkbenchError, match="read"):
        read(run)


def test_a_reference_is_of_the_prompt_that_was_asked(trained_run: Trained, tmp_path: Path) -> None:
    root = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    run = root / "runs" / "small-0001"
    row = read(run).prompts[0].row
    (data,) = root.glob("datasets/numbers/*/data.jsonl")
    lines = data.read_text().splitlines()
    lines[row - 1] = lines[row - 1].replace("Is ", "Was ")
    data.write_text("\n".join(lines) + "\n")
    first, second = read(run).prompts
    assert first.reference is None and second.reference == "ok"


def test_the_verb_tells_all_of_them_one_and_what_changed(trained_run: Trained) -> None:
    told = trained_run.cli("runs", "samples").stdout
    assert "small-0001: greedy answers at 3 evaluations" in told
    assert "c ends at the longest length" in told
    body = trained_run.json("runs", "samples", "small-0001")
    assert [step["step"] for step in body["steps"]] == [0, 20, 40]
    assert body["decoding"] == "greedy"
    row = body["prompts"][0]["row"]
    one = trained_run.cli("runs", "samples", "--row", row, "--diff").stdout
    assert "--- the dataset's answer\nok" in one and "--- step 40" in one
    assert "{+" in one and "c cut: still going on at 48 tokens" in one
    (only,) = trained_run.json("runs", "samples", "--row", row, "--step", 40)["prompts"]
    assert [output["answer"] for output in only["outputs"]] == ["ok"]
    refused = trained_run.cli("runs", "samples", "--step", 7, check=False)
    assert refused.returncode and "Those that it has: 0, 20, 40" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_a_model_says_reaches_no_terminal_as_it_is(
    trained_run: Trained, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    run = root / "runs" / "small-0001"
    row = read(run).prompts[0].row
    write(run, Answered(40, row, read(run).prompts[0].text, "a\x1b[2J\x07 [bold]b"))
    from tests.trained import _cli

    for more in ((), ("--row", row), ("--diff",)):
        told = _cli(root, "runs", "samples", *more).stdout
        assert "\x1b" not in told and "\\x1b[2J" in told and "[bold]" in told


def test_a_word_diff_as_a_text() -> None:
    assert in_words([("=", "a "), ("-", "b"), ("+", "c")]) == "a [-b-]{+c+}"
