from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

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
from workbench.errors import WorkbenchError
from workbench.files import folder_size
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Event,
    Paused,
    Progress,
    Skipped,
    Step,
    WentOn,
)
from workbench.jobs.failure import NonFiniteLoss
from workbench.training import loss
from workbench.training.loop import Loop, Outcome


class Killed(Exception):
    """In the place of a SIGKILL: nothing after it runs."""


def assert_equal_adapters(first: Loop, second: Loop) -> None:
    ours, theirs = adapter(first), adapter(second)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_a_run_takes_its_steps_and_the_losses_fall(tmp_path: Path, base: Path) -> None:
    config = configure(base, training={"max_steps": 8}, evaluation={"every": 4})
    _, outcome = run(tmp_path, config)
    assert outcome == Outcome(8, stopped=False)
    steps = events(tmp_path, Step)
    assert [step.step for step in steps] == list(range(1, 9))
    assert steps[-1].loss < steps[0].loss - 0.3
    assert all(s.tokens > s.trained_tokens > 0 and s.seconds > 0 for s in steps)
    evaluated = events(tmp_path, Evaluated)
    assert [e.step for e in evaluated] == [0, 4, 8]
    assert evaluated[0].loss > evaluated[1].loss > evaluated[2].loss
    assert {e.rows for e in evaluated} == {3}


def test_the_first_losses_are_those_of_an_untrained_model(tmp_path: Path, base: Path) -> None:
    """A fresh adapter changes nothing, and random weights guess: ln(259) = 5.557 nats."""
    run(tmp_path, configure(base, training={"max_steps": 1}))
    assert events(tmp_path, Evaluated)[0].loss == pytest.approx(math.log(259), abs=0.1)
    assert events(tmp_path, Step)[0].loss == pytest.approx(math.log(259), abs=0.1)


@pytest.fixture(scope="module")
def by_accumulation(
    _tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[int, int], tuple[Path, Loop]]:
    runs = {}
    for batch_size, accumulation in ((8, 1), (4, 2), (1, 8)):
        folder = tmp_path_factory.mktemp("accumulation")
        training = {"batch_size": batch_size, "accumulation": accumulation, "max_steps": 4}
        loop, _ = run(folder, configure(_tiny_model, training=training))
        runs[batch_size, accumulation] = (folder, loop)
    return runs


@pytest.mark.parametrize("other", [(4, 2), (1, 8)])
def test_accumulation_changes_nothing(
    by_accumulation: dict[tuple[int, int], tuple[Path, Loop]], other: tuple[int, int]
) -> None:
    """11 rows by 8: the second step of an epoch has 3 rows, all with other token counts."""
    folder, loop = by_accumulation[8, 1]
    other_folder, other_loop = by_accumulation[other]
    assert len({s.trained_tokens for s in events(folder, Step)}) > 1
    for ours, theirs in zip(events(folder, Step), events(other_folder, Step), strict=True):
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-4)
        assert theirs.gradient_norm == pytest.approx(ours.gradient_norm, rel=1e-3)
        assert (theirs.tokens, theirs.trained_tokens) == (ours.tokens, ours.trained_tokens)
    ours, theirs = adapter(loop), adapter(other_loop)
    for name in ours:
        # Adam divides by the gradient's own size, so rounding shows a little more.
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-2, atol=5e-4)


def exactly(base: Path, **training: Any) -> RunConfig:
    """Everything that could differ after a resume: dropout, decay, warm-up, epochs."""
    return configure(
        base,
        lora={"dropout": 0.3},
        training={"weight_decay": 0.1, "warmup_ratio": 0.3, "max_steps": 7, **training},
        checkpoints={"every": 2},
        evaluation={"every": 3},
    )


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_a_killed_and_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, base: Path, schedule: str
) -> None:
    config = exactly(base, schedule=schedule)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    reference, _ = run(whole, config)

    def kill(step: int) -> None:
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        run(cut, config, on_step=kill)
    torch.manual_seed(999)
    again = build(cut, config)
    first_step = again.resume()
    assert first_step == 4
    assert again.run(first_step) == Outcome(7, stopped=False)
    assert curve(cut) == curve(whole)
    assert [s.learning_rate for s in events(whole, Step)][4:] == [
        s.learning_rate for s in events(cut, Step)
    ][-3:]
    assert events(cut, Evaluated)[-1] == events(whole, Evaluated)[-1]
    assert_equal_adapters(again, reference)


def test_a_bfloat16_base_trains_a_float32_adapter_and_resumes_bit_for_bit(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, model={"dtype": "bfloat16"}, checkpoints={"every": 2})
    reference, _ = run(tmp_path / "whole", config)
    assert {p.dtype for p in adapter(reference).values()} == {torch.float32}

    def kill(step: int) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "cut", config, on_step=kill)
    again, _ = run(tmp_path / "cut", config)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert_equal_adapters(again, reference)


def test_dropout_is_drawn_from_the_seed(tmp_path: Path, base: Path) -> None:
    run(tmp_path / "a", exactly(base))
    run(tmp_path / "same", exactly(base))
    run(tmp_path / "other", exactly(base, seed=1))
    assert curve(tmp_path / "a") == curve(tmp_path / "same") != curve(tmp_path / "other")


def test_stop_saves_a_checkpoint_and_a_resume_equals_the_uninterrupted_run(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, lora={"dropout": 0.1})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    reference, _ = run(whole, config)
    commands = Commands(tmp_path)

    def stop(step: int) -> None:
        if step == 2:
            commands.send("stop")

    _, outcome = run(cut, config, control=commands.control, on_step=stop)
    assert outcome.stopped and 2 <= outcome.step < 6
    (saved,) = events(cut, CheckpointSaved)
    assert saved == CheckpointSaved(outcome.step, f"step-{outcome.step}", "stop", saved.size)
    assert saved.size == folder_size(cut / "checkpoints" / saved.path)
    assert [s.step for s in events(cut, Step)] == list(range(1, outcome.step + 1))
    assert events(cut, CommandHandled) == [CommandHandled("1", "stop")]

    again, outcome = run(cut, config)
    assert outcome == Outcome(6, stopped=False)
    assert curve(cut) == curve(whole)
    assert_equal_adapters(again, reference)


def test_stop_in_the_first_validation_ends_it_after_a_batch(tmp_path: Path, base: Path) -> None:
    config = configure(base, evaluation={"batch_size": 1})
    commands = Commands(tmp_path)
    commands.send("stop")
    _, outcome = run(tmp_path, config, control=commands.control)
    assert outcome == Outcome(0, stopped=True)
    validated = [p for p in events(tmp_path, Progress) if p.phase == "validation"]
    assert len(validated) == 1 and validated[0].done < 3
    assert events(tmp_path, Step) == events(tmp_path, Evaluated) == []
    assert events(tmp_path, CommandHandled) == [CommandHandled("1", "stop")]
    assert run(tmp_path, config)[1] == Outcome(6, stopped=False)


@pytest.mark.parametrize("step", [2, 6])
def test_stop_in_a_later_validation_ends_it_after_a_batch_with_a_checkpoint(
    tmp_path: Path, base: Path, step: int
) -> None:
    """Step 6 is the last one."""
    config = configure(base, evaluation={"batch_size": 1, "every": 2})
    reference, _ = run(tmp_path / "whole", config)
    commands = Commands(tmp_path)

    def stop(done: int) -> None:
        if done == step:
            commands.send("stop")

    cut = tmp_path / "cut"
    _, outcome = run(cut, config, control=commands.control, on_step=stop)
    assert outcome == Outcome(step, stopped=True)
    saved = events(cut, CheckpointSaved)[-1]
    assert (saved.step, saved.path, saved.reason) == (step, f"step-{step}", "stop")
    assert [e.step for e in events(cut, Evaluated)] == list(range(0, step, 2))
    validation = [p for p in events(cut, Progress) if p.phase == "validation"]
    assert validation[-1].done == 1
    again, outcome = run(cut, config)
    assert outcome == Outcome(6, stopped=False)
    # The one that was broken off is done again: the curve has no gap.
    assert events(cut, Evaluated) == events(tmp_path / "whole", Evaluated)
    assert_equal_adapters(again, reference)


def test_save_now_in_a_validation_saves_after_it(tmp_path: Path, base: Path) -> None:
    commands = Commands(tmp_path)

    def save(done: int) -> None:
        if done == 2:
            commands.send("save_now")

    config = configure(base, evaluation={"batch_size": 1, "every": 2})
    run(tmp_path, config, control=commands.control, on_step=save)
    reasons = {c.step: c.reason for c in events(tmp_path, CheckpointSaved)}
    # Each was kept as the best before anything else wanted it kept, and is told of once.
    assert reasons == {2: "best", 4: "best", 6: "best"}
    assert len(events(tmp_path, CheckpointSaved)) == 3


def test_save_now_saves_and_goes_on(tmp_path: Path, base: Path) -> None:
    commands = Commands(tmp_path)
    commands.send("save_now", "first")
    _, outcome = run(tmp_path, configure(base), control=commands.control)
    assert outcome == Outcome(6, stopped=False)
    reasons = {c.step: c.reason for c in events(tmp_path, CheckpointSaved)}
    assert reasons == {1: "asked for", 6: "end"}
    assert (tmp_path / "checkpoints" / "step-1" / "trainer.json").exists()


def test_a_loop_goes_on_when_its_supervisor_is_gone(tmp_path: Path, base: Path) -> None:
    commands = Commands(tmp_path)
    commands.hang_up()
    _, outcome = run(tmp_path, configure(base, training={"max_steps": 2}), control=commands.control)
    assert outcome == Outcome(2, stopped=False)


def test_a_loss_that_is_no_number_is_named_and_no_checkpoint_is_made_of_it(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base, checkpoints={"every": 1})
    wild = config.training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(NonFiniteLoss, match=r"step 4 is not a number, as of the 2 before it"):
        run(tmp_path, config.model_copy(update={"training": wild}))
    steps = events(tmp_path, Step)
    assert [math.isfinite(s.loss) for s in steps] == [True, False, False, False]
    skipped = events(tmp_path, Skipped)
    assert [s.step for s in skipped] == [2, 3, 4]
    assert all(row["loss"] is None and row["row"] for s in skipped for row in s.rows)
    # What is kept is as it was before the first of them.
    assert [c.step for c in events(tmp_path, CheckpointSaved)] == [1, 2, 3]


def test_a_last_step_that_ruins_the_model_is_not_passed_off_as_finished(
    tmp_path: Path, base: Path
) -> None:
    config = configure(base)
    wild = config.training.model_copy(update={"learning_rate": 1e30, "max_steps": 1})
    with pytest.raises(NonFiniteLoss, match="validation loss after step 1"):
        run(tmp_path, config.model_copy(update={"training": wild}))
    assert events(tmp_path, CheckpointSaved) == []


def test_a_base_whose_loss_cannot_be_computed_is_refused_before_the_first_step(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = loss._finished
    monkeypatch.setattr(loss, "_finished", lambda causal, logits: 8 * right(causal, logits))
    with pytest.raises(WorkbenchError, match="loss of this base model can't be computed"):
        run(tmp_path, configure(base))
    assert events(tmp_path, Step) == events(tmp_path, Evaluated) == []


def test_gradients_are_scaled_to_the_norm_and_left_alone_at_0(tmp_path: Path, base: Path) -> None:
    norms = {}
    for limit in (0.0, 0.01, 1000.0):
        folder = tmp_path / str(limit)
        # At step 2, since the first update of Adam has one size whatever the gradient's.
        training = {"max_gradient_norm": limit, "max_steps": 3}
        run(folder, configure(base, training=training))
        norms[limit] = curve(folder)
    assert norms[0.0] == norms[1000.0]
    assert norms[0.01][0][2] == pytest.approx(norms[0.0][0][2], rel=1e-5), "logged unscaled"


def test_gradient_checkpointing_changes_nothing(tmp_path: Path, base: Path) -> None:
    for name, on in (("off", False), ("on", True)):
        run(tmp_path / name, configure(base, training={"gradient_checkpointing": on}))
    for ours, theirs in zip(curve(tmp_path / "off"), curve(tmp_path / "on"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_without_validation_rows_a_run_trains_all_the_same(tmp_path: Path, base: Path) -> None:
    _, outcome = run(tmp_path, configure(base, training={"max_steps": 2}), validation=0)
    assert outcome.step == 2 and events(tmp_path, Evaluated) == []


def test_only_the_adapter_is_trained(tmp_path: Path, base: Path) -> None:
    config = configure(base, training={"max_steps": 2})
    loop = build(tmp_path, config)
    before = {n: p.detach().clone() for n, p in loop.model.named_parameters()}
    loop.run(0)
    changed = {
        n for n, p in loop.model.named_parameters() if not torch.equal(before[n], p.detach())
    }
    assert changed == set(adapter(loop)) and all("lora_" in name for name in changed)


@pytest.mark.parametrize("when", ["the last step", "the last validation"])
def test_a_pause_is_kept_at_the_end_too(tmp_path: Path, base: Path, when: str) -> None:
    config = configure(base, evaluation={"batch_size": 1, "every": 0})
    commands = Commands(tmp_path)
    folder = tmp_path / "run"

    class Answering(OnStep):
        def write(self, event: Event) -> None:
            super().write(event)
            last = isinstance(event, Step) and event.step == 5
            measured = isinstance(event, Progress) and events(folder, Step)[-1:] != []
            if last if when == "the last step" else measured and event.phase == "validation":
                commands.send("pause", id=f"pause-{len(events(folder, Progress))}")
            if isinstance(event, Paused):
                commands.send("resume", id="resume")

    loop = build(folder, config, control=commands.control)
    loop._log = loop._steps._log = Answering(folder / LOG, lambda step: None)
    assert loop.run() == Outcome(6, stopped=False)
    assert events(folder, Paused) and len(events(folder, WentOn)) == len(events(folder, Paused))
