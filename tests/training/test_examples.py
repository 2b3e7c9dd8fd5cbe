"""`examples.jsonl`: the loss of each example each time that it is learnt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.nn.functional import cross_entropy

from tests.training.harness import CPU, LOG, configure, encode, run
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.jobs.control import Control
from workbench.jobs.log import LogWriter
from workbench.tracking import runs
from workbench.training import model
from workbench.training.examples import NAME, ExampleLog, RowLoss
from workbench.training.job import train
from workbench.workspace import Workspace

ROWS = 11


class Killed(Exception):
    """In the place of a SIGKILL: nothing after it runs."""


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def last(folder: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """By epoch and row, the line that counts."""
    return {(line["epoch"], line["row"]): line for line in lines(folder)}


@pytest.mark.parametrize("packing", [True, False])
def test_every_row_is_there_once_an_epoch_in_the_step_that_took_it(
    tmp_path: Path, base: Path, packing: bool
) -> None:
    training = {"epochs": 2, "max_steps": None, "micro_batch": 2, "packing": packing}
    loop, outcome = run(tmp_path, configure(base, training=training))
    found = lines(tmp_path)
    assert len(found) == len(last(tmp_path)) == 2 * ROWS
    for epoch in (1, 2):
        assert {n for e, n in last(tmp_path) if e == epoch} == set(range(1, ROWS + 1))
    for step in range(outcome.step):
        taken = [place + 1 for place in loop.schedule.rows_of(step)]
        assert sorted(line["row"] for line in found if line["step"] == step + 1) == sorted(taken)
    tokens = {n: row.trained_tokens for n, row in enumerate(encode(base, ROWS), start=1)}
    assert all(line["tokens"] == tokens[line["row"]] for line in found)


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_is_that_of_a_plain_computation_before_the_step(
    tmp_path: Path, base: Path, packing: bool
) -> None:
    """The first step's: by the untrained model's own logits, one row at a time."""
    config = configure(base, training={"max_steps": 1, "batch_size": ROWS, "packing": packing})
    run(tmp_path, config)
    template = ChatTemplate.load(base)
    untrained = model.load_to_train(base, config, CPU, template.new_ids).eval()
    found = last(tmp_path)
    assert len(found) == ROWS
    for number, row in enumerate(encode(base, ROWS), start=1):
        logits = untrained(input_ids=row.ids[None].long()).logits[0]
        learnt = row.trained[1:]
        plain = cross_entropy(logits[:-1][learnt], row.ids[1:][learnt].long())
        assert found[1, number]["loss"] == pytest.approx(float(plain.detach()), abs=2e-4)


def test_after_a_kill_and_a_resume_the_last_lines_are_those_of_the_uninterrupted_run(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, lora={"dropout": 0.2}, checkpoints={"every": 2})
    run(tmp_path / "whole", config)

    def kill(step: int) -> None:
        if step == 4:
            raise Killed

    cut = tmp_path / "cut"
    with pytest.raises(Killed):
        run(cut, config, on_step=kill)
    with (cut / NAME).open("a") as stream:
        stream.write('{"epoch":2,"st')
    run(cut, config)
    assert last(cut) == last(tmp_path / "whole")
    assert len(lines(cut)) > len(last(cut)), "steps came again"


def test_a_torn_line_is_cut_off_and_whole_ones_stay(tmp_path: Path) -> None:
    rows = [RowLoss(7, 1.5, 9), RowLoss(8, None, 3)]
    ExampleLog(tmp_path).write(1, 2, rows)
    whole = (tmp_path / NAME).read_bytes()
    for left in range(len(whole) + 1):
        (tmp_path / NAME).write_bytes(whole[:left])
        ExampleLog(tmp_path)
        kept = (tmp_path / NAME).read_bytes()
        assert kept == whole[: whole[:left].rfind(b"\n") + 1]
    assert lines(tmp_path) == [
        {"epoch": 1, "step": 2, "row": 7, "loss": 1.5, "tokens": 9},
        {"epoch": 1, "step": 2, "row": 8, "loss": None, "tokens": 3},
    ]


def test_a_line_names_the_row_by_its_line_in_the_file_of_the_version(
    workspace: Workspace, write_rows: Callable[..., Path], base: Path
) -> None:
    """With validation rows among them, rows that are left out, and some rows only chosen."""
    rows = [{"prompt": f"Say {n}", "completion": "a" * (3 * n + 1)} for n in range(1, 30)]
    rows[4]["completion"] = "too long " * 40
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.3))
    config = configure(
        base,
        data={"train_rows": 9, "too_long": "drop"},
        training={"epochs": 1, "max_steps": None},
    )
    folder = runs.create(workspace, config, command="test", say=lambda text: None)
    with LogWriter(folder / LOG) as log:
        train(folder, log, Control())
    found = lines(folder)
    assert len(found) == 9
    stored = list(versions.read(versions.resolve(workspace, "sample")))
    for line in found:
        example = stored[line["row"] - 1]
        assert example.split == "train"
        # A token each byte, and the end of the turn with its newline or without.
        assert line["tokens"] - len(example.response) in (1, 2)
