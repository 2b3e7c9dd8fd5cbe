"""Commands and SIGTERM in a real loop: what is done, when, and that nothing else changes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.polling import eventually
from tests.training.harness import LOG, Commands, adapter, build, configure, curve, events, run
from workbench.jobs.control import Control
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Event,
    Notice,
    Paused,
    Step,
    WentOn,
)
from workbench.jobs.log import read_all
from workbench.training.loop import Loop, Outcome


@pytest.fixture
def kept_signals() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
    kept = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def in_order(folder: Path, *kinds: type[Event]) -> list[Event]:
    return [r.event for r in read_all(folder / LOG) if isinstance(r.event, kinds)]


def test_a_paused_run_waits_saves_evaluates_and_goes_on_to_the_same_end(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, lora={"dropout": 0.1})
    reference, _ = run(tmp_path / "whole", config)
    commands = Commands(tmp_path)
    folder = tmp_path / "paused"

    def pause(step: int) -> None:
        if step == 2:
            commands.send("pause")

    def person() -> None:
        eventually(lambda: (folder / LOG).exists() and events(folder, Paused))
        commands.send("save_now", "2")
        eventually(lambda: events(folder, CheckpointSaved))
        commands.send("evaluate_now", "3")
        eventually(lambda: len(events(folder, Evaluated)) == 2)
        commands.send("resume", "4")

    at_the_keys = threading.Thread(target=person)
    at_the_keys.start()
    loop, outcome = run(folder, config, control=commands.control, on_step=pause)
    at_the_keys.join()
    assert outcome == Outcome(6, stopped=False)
    (paused,) = events(folder, Paused)
    told = in_order(folder, Paused, WentOn, CheckpointSaved, Evaluated, Step)
    between = told[told.index(paused) + 1 :]
    assert isinstance(between[0], CheckpointSaved) and between[0].step == paused.step
    assert isinstance(between[1], Evaluated) and between[1].step == paused.step
    assert isinstance(between[2], WentOn) and between[2].seconds > 0
    assert curve(folder) == curve(tmp_path / "whole")
    assert all(torch.equal(t, adapter(reference)[name]) for name, t in adapter(loop).items())


def test_a_paused_run_can_be_stopped_with_a_checkpoint(tmp_path: Path, base: Path) -> None:
    commands = Commands(tmp_path)

    def pause_and_stop(step: int) -> None:
        if step == 1:
            commands.send("pause")
            commands.send("stop", "2")

    _, outcome = run(tmp_path, configure(base), control=commands.control, on_step=pause_and_stop)
    assert outcome.stopped and outcome.step < 6
    assert (tmp_path / "checkpoints" / f"step-{outcome.step}" / "trainer.json").exists()


def test_evaluate_now_measures_after_the_step_and_changes_nothing(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, lora={"dropout": 0.1})
    run(tmp_path / "whole", config)
    commands = Commands(tmp_path)
    commands.send("evaluate_now")
    folder = tmp_path / "asked"
    run(folder, config, control=commands.control)
    assert [e.step for e in events(folder, Evaluated)] == [0, 1, 6]
    assert curve(folder) == curve(tmp_path / "whole")


def figures(folder: Path) -> list[tuple[int, int]]:
    return [(s.step, s.steps) for s in events(folder, Step)]


def test_a_longer_logging_interval_sums_up_steps_and_loses_none(tmp_path: Path, base: Path) -> None:
    single = configure(base, training={"max_steps": 7})
    run(tmp_path / "each", single)
    run(tmp_path / "third", configure(base, training={"max_steps": 7}, logging={"every": 3}))
    assert figures(tmp_path / "third") == [(3, 3), (6, 3), (7, 1)]
    each, third = events(tmp_path / "each", Step), events(tmp_path / "third", Step)
    first = each[:3]
    assert third[0].tokens == sum(s.tokens for s in first)
    trained = sum(s.trained_tokens for s in first)
    assert third[0].trained_tokens == trained
    mean = sum(s.loss * s.trained_tokens for s in first) / trained
    assert third[0].loss == pytest.approx(mean, abs=1e-6)
    assert third[0].gradient_norm == each[2].gradient_norm


def test_the_logging_interval_is_set_while_it_runs(tmp_path: Path, base: Path) -> None:
    commands = Commands(tmp_path)

    def ask(step: int) -> None:
        if step == 2:
            commands.send("set_interval", value=2)

    config = configure(base, training={"max_steps": 9})
    run(tmp_path, config, control=commands.control, on_step=ask)
    assert events(tmp_path, CommandHandled) == [CommandHandled("1", "set_interval", 2)]
    logged = figures(tmp_path)
    assert sum(steps for _, steps in logged) == 9
    assert ((2, 1) in logged and (9, 1) in logged) or logged[-1] == (9, 2)
    assert any(steps == 2 for _, steps in logged)


@pytest.mark.usefixtures("kept_signals")
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_sigterm_in_a_step_gives_it_up_and_a_resume_equals_the_uninterrupted_run(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """SIGTERM before the given batch of the third step, which has three."""
    config = configure(
        base,
        lora={"dropout": 0.1},
        training={"batch_size": 1, "accumulation": 3, "max_steps": 5},
    )
    reference, _ = run(tmp_path / "whole", config)
    real, steps = Loop._micro_batches, 0

    def interrupting(loop: Loop, rows: Any) -> Iterator[Any]:
        nonlocal steps
        steps += 1
        for number, one in enumerate(real(loop, rows), 1):
            if steps == 3 and number == batch:
                os.kill(os.getpid(), signal.SIGTERM)
            yield one

    monkeypatch.setattr(Loop, "_micro_batches", interrupting)
    control = Control()
    control.listen_to_signals()
    cut = tmp_path / "cut"
    _, outcome = run(cut, config, control=control)
    monkeypatch.setattr(Loop, "_micro_batches", real)
    assert outcome == Outcome(2, stopped=True, preempted=True)
    assert events(cut, CommandHandled) == [CommandHandled("SIGTERM", "preempt")]
    assert [(c.step, c.reason) for c in events(cut, CheckpointSaved)] == [(2, "pre-empted")]
    again, outcome = run(cut, config)
    assert outcome == Outcome(5, stopped=False)
    assert curve(cut) == curve(tmp_path / "whole")
    assert all(torch.equal(t, adapter(reference)[name]) for name, t in adapter(again).items())


def spoil(path: Path, damage: str) -> None:
    if damage == "gone":
        path.unlink()
        return
    content = path.read_bytes()
    spoilt = {
        "cut": content[:1000],
        "emptied": b"",
        "a bit of it": content[:-8] + bytes([content[-8] ^ 1]) + content[-7:],
    }
    path.write_bytes(spoilt[damage])


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "a bit of it"])
@pytest.mark.parametrize("name", ["optimizer.safetensors", "adapter/adapter_model.safetensors"])
def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(
    tmp_path: Path, base: Path, name: str, damage: str
) -> None:
    config = configure(base, checkpoints={"every": 2, "keep": 9})
    reference, _ = run(tmp_path, config)
    spoil(tmp_path / "checkpoints" / "step-6" / name, damage)
    loop = build(tmp_path, config)
    assert loop.resume() == 4
    (notice,) = events(tmp_path, Notice)
    assert "step-6 is passed over" in notice.text and Path(name).name in notice.text
    assert loop.run(4) == Outcome(6, stopped=False)
    assert all(torch.equal(t, adapter(reference)[n]) for n, t in adapter(loop).items())
    assert build(tmp_path, config).resume() == 6, "written anew, whole"


def test_a_run_whose_checkpoints_are_all_damaged_begins_again(tmp_path: Path, base: Path) -> None:
    config = configure(base)
    run(tmp_path, config)
    (tmp_path / "checkpoints" / "step-6" / "trainer.json").write_text("{")
    assert build(tmp_path, config).resume() == 0
    assert "step-6 is passed over" in events(tmp_path, Notice)[0].text
