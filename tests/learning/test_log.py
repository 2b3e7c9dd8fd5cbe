"""What is read of `examples.jsonl`, whatever became of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.learning_runs import line, write_lines
from workbench.errors import WorkbenchError
from workbench.learning.log import NAME, Losses, of_step


def known(losses: Losses, epoch: int = 1) -> dict[int, float]:
    """Loss by row, from 1, of an epoch."""
    found = losses.epochs[epoch]
    return {n: round(v, 4) for n, v in enumerate(found, 1) if not math.isnan(v)}


def test_of_an_epoch_and_a_row_the_last_line_counts(tmp_path: Path) -> None:
    """As after a resume, which does some steps again."""
    lines = [line(1, 3.0, step=1), line(2, 4.0, step=2), line(3, 5.0, step=3)]
    again = [line(2, 4.5, step=2), line(3, 5.5, step=3), line(1, 1.0, epoch=2, step=4)]
    write_lines(tmp_path, lines + again)
    losses = Losses(tmp_path, 4)
    assert losses.read()
    assert known(losses) == {1: 3.0, 2: 4.5, 3: 5.5}
    assert known(losses, 2) == {1: 1.0}
    assert list(losses.steps[1]) == [1, 2, 3, 0]
    assert list(losses.tokens) == [9, 9, 9, 0]


def test_what_is_new_is_read_and_a_torn_line_once_it_is_whole(tmp_path: Path) -> None:
    write_lines(tmp_path, [line(1, 3.0)])
    losses = Losses(tmp_path, 4)
    losses.read()
    assert not losses.read()
    with (tmp_path / NAME).open("a") as stream:
        stream.write('{"epoch": 1, "step": 2, "row"')
    assert not losses.read()
    with (tmp_path / NAME).open("a") as stream:
        stream.write(': 2, "loss": 2.5, "tokens": 7}\n')
    assert losses.read()
    assert known(losses) == {1: 3.0, 2: 2.5}
    assert losses.damaged == 0


def test_damaged_lines_and_rows_that_there_are_not_are_counted_and_passed_over(
    tmp_path: Path,
) -> None:
    write_lines(tmp_path, [line(1, 3.0), line(10**14, 2.0), line(0, 2.0), line(5, 2.0)])
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(b"\0\0\0\n\xff\xfe{\n{}\n" + b"x" * (3 << 20) + b"\n")
        stream.write(b'{"epoch": 1, "step": 1, "row": 2, "loss": NaN, "tokens": 1}\n')
    write_lines(tmp_path, [line(4, None), line(2, 1.5)])
    losses = Losses(tmp_path, 4)
    losses.read()
    assert known(losses) == {1: 3.0, 2: 1.5}
    assert losses.tokens[3] == 9, "row 4 was taken, and its loss was no number"
    assert losses.beyond == 3
    assert losses.damaged >= 5


def test_a_file_that_was_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    write_lines(tmp_path, [line(1, 3.0), line(2, 2.0)])
    losses = Losses(tmp_path, 2)
    losses.read()
    (tmp_path / NAME).write_text("")
    write_lines(tmp_path, [line(2, 1.0)])
    assert losses.read()
    assert known(losses) == {2: 1.0}


def test_a_run_without_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"has no examples\.jsonl"):
        Losses(tmp_path, 2).read()
    with pytest.raises(WorkbenchError, match=r"has no examples\.jsonl"):
        of_step(tmp_path, 1)


def test_the_examples_of_a_step_are_the_last_ones_and_the_highest_loss_comes_first(
    tmp_path: Path,
) -> None:
    first = [line(n, float(n), step=1 + n // 3) for n in range(1, 9)]
    # Resumed after step 1: step 2 comes again, with other losses.
    again = [line(n, n + 0.5, step=1 + n // 3) for n in range(3, 9)]
    write_lines(tmp_path, [*first, *again, line(2, None, step=4), line(9, 2.0, step=4)])
    assert [(one.row, one.loss) for one in of_step(tmp_path, 2)] == [(5, 5.5), (4, 4.5), (3, 3.5)]
    assert [one.row for one in of_step(tmp_path, 1)] == [2, 1]
    assert [one.loss for one in of_step(tmp_path, 4)] == [None, 2.0]


def test_a_step_is_found_wherever_it_stands_in_a_long_file(tmp_path: Path) -> None:
    """Of several blocks, with marks across their borders, and a step that fills more than one."""
    lines = [line(n, n / 1000, step=1 + n // 700) for n in range(1, 30_001)]
    write_lines(tmp_path, lines)
    for step in (1, 2, 20, 21, 22, 42, 43):
        rows = [body["row"] for body in lines if body["step"] == step]
        assert [one.row for one in of_step(tmp_path, step)] == rows[::-1]


def test_a_step_that_there_is_not_is_said_with_those_that_there_are(tmp_path: Path) -> None:
    write_lines(tmp_path, [line(1, 1.0, step=4), line(2, 1.0, step=17)])
    for step in (1, 7, 170, -1):
        with pytest.raises(WorkbenchError, match=f"no examples in step {step}") as told:
            of_step(tmp_path, step)
        assert "steps 4 to 17" in told.value.hint
    # The line of a step that is being written isn't whole yet.
    with (tmp_path / NAME).open("a") as stream:
        stream.write('{"epoch": 1, "step": 18, "row": 3, "lo')
    with pytest.raises(WorkbenchError, match="no examples in step 18"):
        of_step(tmp_path, 18)
    assert [one.row for one in of_step(tmp_path, 17)] == [2]
