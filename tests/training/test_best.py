"""The lowest validation loss of a run: what is kept of it, and when waiting for it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.polling import eventually
from tests.training.harness import (
    LOG,
    Commands,
    OnStep,
    adapter,
    build,
    configure,
    curve,
    events,
    run,
)
from workbench.config.schema import RunConfig
from workbench.data.importing import Options, import_files
from workbench.jobs.control import Control
from workbench.jobs.events import CheckpointSaved, Evaluated, Event, Finished, Notice, Paused, Step
from workbench.jobs.log import LogWriter
from workbench.tracking import manifest, runs
from workbench.training import loop as loop_module
from workbench.training.job import train
from workbench.training.loop import Loop, Outcome
from workbench.workspace import Workspace

LOSSES = {0: 9.0, 2: 3.0, 4: 2.0, 5: 2.4, 6: 2.5, 8: 2.2, 10: 2.1, 12: 1.0}
"""By step: the lowest of those before three in a row that aren't lower is that of step 4."""


class Killed(BaseException):
    """In the place of a SIGKILL: nothing after it runs."""


@pytest.fixture(autouse=True)
def known_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop_module.evaluated

    def evaluated(step: int, *arguments: Any) -> Evaluated:
        measured = real(step, *arguments)
        return Evaluated(step, LOSSES.get(step, 5.0), measured.rows, measured.trained_tokens)

    monkeypatch.setattr(loop_module, "evaluated", evaluated)


def patient(base: Path, **checkpoints: Any) -> RunConfig:
    return configure(
        base,
        lora={"dropout": 0.2},
        training={"max_steps": 20, "weight_decay": 0.1},
        evaluation={"every": 2, "patience": 3},
        checkpoints={"keep": 1, **checkpoints},
    )


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_run_ends_when_the_loss_has_not_fallen_for_as_long_as_it_waits(
    tmp_path: Path, base: Path
) -> None:
    loop, outcome = run(tmp_path, patient(base))
    assert outcome == Outcome(10, stopped=False)
    assert [step.step for step in events(tmp_path, Step)] == list(range(1, 11))
    assert [e.step for e in events(tmp_path, Evaluated)] == [0, 2, 4, 6, 8, 10]
    (notice,) = events(tmp_path, Notice)
    assert "not fallen below that of step 4 in 3 validations" in notice.text
    assert (loop.best.step, loop.best.loss) == (4, 2.0)


def test_a_run_without_patience_takes_all_its_steps(tmp_path: Path, base: Path) -> None:
    config = configure(base, training={"max_steps": 14}, evaluation={"every": 2})
    loop, outcome = run(tmp_path, config)
    assert outcome.step == 14 and (loop.best.step, loop.best.loss) == (12, 1.0)
    assert events(tmp_path, Notice) == []


def test_the_best_checkpoint_outlives_newer_ones_and_makes_way_for_a_better_one(
    tmp_path: Path, base: Path
) -> None:
    seen: dict[int, list[str]] = {}

    def look(step: int) -> None:
        if (tmp_path / "checkpoints").exists():
            seen[step] = kept(tmp_path)

    run(tmp_path, patient(base, every=1), on_step=look)
    assert seen[4] == ["best.json", "step-2", "step-3"]
    assert seen[7] == ["best.json", "step-4", "step-6"]
    assert kept(tmp_path) == ["best.json", "step-10", "step-4"]
    assert json.loads((tmp_path / "checkpoints" / "best.json").read_text()) == {
        "path": "step-4",
        "step": 4,
        "loss": 2.0,
        "since": 0,
    }


def test_a_checkpoint_is_told_once_for_its_step(tmp_path: Path, base: Path) -> None:
    run(tmp_path, patient(base, every=2))
    told = [(c.step, c.reason) for c in events(tmp_path, CheckpointSaved)]
    assert told == [
        (2, "best"),
        (4, "best"),
        (6, "regular"),
        (8, "regular"),
        (10, "regular"),
    ]


def breaks_at(folder: Path, loop: Loop, dies: Callable[[Event], bool]) -> None:
    """Have a loop be killed once it has written an event that `dies` is true of."""

    class Breaking(OnStep):
        def write(self, event: Event) -> None:
            super().write(event)
            if dies(event):
                raise Killed

    loop._log = loop._steps._log = Breaking(folder / LOG, lambda step: None)


@pytest.mark.parametrize(
    ("every", "dies"),
    [
        (1, lambda event: isinstance(event, Step) and event.step == 7),
        (1, lambda event: isinstance(event, Evaluated) and event.step == 4),
        (0, lambda event: isinstance(event, CheckpointSaved) and event.step == 4),
        (0, lambda event: isinstance(event, Evaluated) and event.step == 10),
    ],
    ids=["in a step", "before the best is saved", "after it is saved", "at the last validation"],
)
def test_all_of_it_is_the_same_after_a_kill_and_a_resume(
    tmp_path: Path, base: Path, every: int, dies: Callable[[Event], bool]
) -> None:
    config = patient(base, every=every)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    reference, outcome = run(whole, config)
    first = build(cut, config)
    breaks_at(cut, first, dies)
    with pytest.raises(Killed):
        first.run()
    again, resumed = run(cut, config)
    assert resumed == outcome
    assert curve(cut) == curve(whole)
    assert {e.step: e for e in events(cut, Evaluated)} == {
        e.step: e for e in events(whole, Evaluated)
    }
    assert again.best == reference.best
    assert kept(cut) == kept(whole)
    best_json = Path("checkpoints") / "best.json"
    assert (cut / best_json).read_bytes() == (whole / best_json).read_bytes()
    assert again.take_best() == reference.take_best() == 4
    ours, theirs = adapter(again), adapter(reference)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def make_run(workspace: Workspace, write_rows: Callable[..., Path], base: Path) -> Any:
    rows = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(12)]
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.2))

    def make(**checkpoints: Any) -> Path:
        config = patient(base, **checkpoints)
        return runs.create(workspace, config, command="test", say=lambda text: None)

    return make


def go(folder: Path) -> Finished:
    with LogWriter(folder / runs.LOG) as log:
        return train(folder, log, Control())


@pytest.mark.parametrize(("result", "step"), [("best", 4), ("last", 10)])
def test_the_adapter_is_of_the_step_that_the_config_wants(
    make_run: Any, result: str, step: int
) -> None:
    folder = make_run(result=result)
    assert go(folder) == Finished(stopped=False, step=step, result="adapter")
    name = "adapter_model.safetensors"
    made = load_file(folder / "adapter" / name)
    saved = load_file(folder / "checkpoints" / f"step-{step}" / "adapter" / name)
    assert all(torch.equal(made[key], saved[key]) for key in saved) and made.keys() == saved.keys()
    assert manifest.read(folder)["step"] == step


def test_what_is_measured_again_is_neither_better_nor_worse_and_its_checkpoint_knows_of_it(
    tmp_path: Path, base: Path
) -> None:
    """A pause in which a person saves, measures, and measures again, more often than it waits."""
    config = configure(base, evaluation={"every": 4, "patience": 1})
    commands = Commands(tmp_path)
    folder = tmp_path / "run"

    def pause(step: int) -> None:
        if step == 2:
            commands.send("pause")

    def person() -> None:
        eventually(lambda: (folder / LOG).exists() and events(folder, Paused))
        commands.send("save_now", "save")
        eventually(lambda: events(folder, CheckpointSaved))
        for count in range(2, 5):
            commands.send("evaluate_now", f"evaluate-{count}")
            eventually(lambda count=count: len(events(folder, Evaluated)) == count)
        commands.send("stop", "stop")

    at_the_keys = threading.Thread(target=person)
    at_the_keys.start()
    loop, outcome = run(folder, config, control=commands.control, on_step=pause)
    at_the_keys.join()
    step = outcome.step
    assert outcome == Outcome(step, stopped=True) and step in (2, 3)
    assert (loop.best.step, loop.best.since) == (step, 0)
    assert events(folder, Notice) == []
    assert [(c.step, c.reason) for c in events(folder, CheckpointSaved)] == [(step, "asked for")]
    assert json.loads((folder / "checkpoints" / "best.json").read_text())["step"] == step
    again = build(folder, config)
    assert again.resume() == step and again.best == loop.best


def test_a_best_step_that_a_person_measured_can_be_given_too(tmp_path: Path, base: Path) -> None:
    """Without validations of its own on the way, only at its start and its end."""
    config = configure(base, checkpoints={"result": "best", "keep": 1})
    commands = Commands(tmp_path)

    def measure(step: int) -> None:
        if step == 4:
            commands.send("evaluate_now")

    loop, _ = run(tmp_path, config, control=commands.control, on_step=measure)
    first, asked, last = (e.step for e in events(tmp_path, Evaluated))
    assert (first, last) == (0, 6) and asked in (4, 5)
    assert loop.take_best() == asked
