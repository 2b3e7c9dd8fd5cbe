"""Real loops over the tiny model in two ranks: `python -m tests.training.in_loops FOLDER`.

FOLDER/cases.json names the base and what is to be done: by case its config, its options for
`harness.build`, and its `story`, one of the functions here. Each rank tells what it ended with.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.polling import eventually
from tests.training.harness import Commands, build, configure, events
from tests.training.two_ranks import tell
from workbench.jobs.control import Control
from workbench.jobs.events import CheckpointSaved, Evaluated, Paused
from workbench.training import checkpoint, residual, saving, sharding, zero
from workbench.training import loop as loop_module
from workbench.training.loop import Loop, Outcome
from workbench.training.loss import row_losses
from workbench.training.ranks import Ranks

Told = dict[str, Any]
Build = Callable[..., Loop]
"""Makes the case's loop; takes options of `harness.build` on top of the case's own."""


def whole_run(folder: Path, make: Build, ranks: Ranks) -> Told:
    """From the first step, or a checkpoint that is there, to the end."""
    loop = make(folder)
    drawn = torch.rand(1, generator=_like_torch()).item()
    outcome = loop.run(loop.resume())
    return {**_ended(loop, outcome, ranks, folder), "drawn": drawn, "held": _held(loop)}


def again_from_the_middle(folder: Path, make: Build, ranks: Ranks) -> Told:
    """Twice from the start, and once more from the checkpoint of step 4."""
    return {"same": whole_run(folder / "same", make, ranks), **resumed(folder, make, ranks)}


def resumed(folder: Path, make: Build, ranks: Ranks) -> Told:
    """From the start, and again from the checkpoint of step 4: all that is left after a kill."""
    told = {"first": whole_run(folder / "first", make, ranks)}
    if ranks.first:
        shutil.copytree(
            folder / "first" / "checkpoints" / "step-4", folder / "cut" / "checkpoints" / "step-4"
        )
    ranks.wait_for_all("the copy")
    told["cut"] = whole_run(folder / "cut", make, ranks)
    return told


def spoilt_on_one(folder: Path, make: Build, ranks: Ranks) -> Told:
    """The second rank's loss is no number in the second step."""
    loop = make(folder)

    def spoil(count: int) -> float:
        return float("nan") if count == 2 and not ranks.first else 1.0

    _on_pass(loop, spoil)
    return _ended(loop, loop.run(), ranks, folder)


def wanted_node(folder: Path, make: Build, ranks: Ranks) -> Told:
    """SIGTERM comes to the second rank alone, in the second step, before its last batch."""
    control = Control()
    control.listen_to_signals()
    loop = make(folder, control=control)

    def preempt(count: int) -> float:
        if count == 3 and not ranks.first:
            os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    _on_pass(loop, preempt)
    return _ended(loop, loop.run(), ranks, folder)


def commanded(folder: Path, make: Build, ranks: Ranks) -> Told:
    """A person pauses it, has it saved and evaluated, and stops it later on; it is resumed."""
    if not ranks.first:
        stopped = make(folder).run()
        return {"stopped at": stopped.step, **whole_run(folder, make, ranks)}
    folder.mkdir(exist_ok=True)
    commands = Commands(folder)

    def at(step: int) -> None:
        if step in (1, 3):
            commands.send("pause" if step == 1 else "stop")

    def person() -> None:
        eventually(lambda: (folder / "train.jsonl").exists() and events(folder, Paused))
        commands.send("save_now", "2")
        eventually(lambda: events(folder, CheckpointSaved))
        commands.send("evaluate_now", "3")
        eventually(lambda: len(events(folder, Evaluated)) == 2)
        commands.send("resume", "4")

    at_the_keys = threading.Thread(target=person)
    at_the_keys.start()
    stopped = make(folder, control=commands.control, on_step=at).run()
    at_the_keys.join()
    return {"stopped at": stopped.step, **whole_run(folder, make, ranks)}


def losing_patience(folder: Path, make: Build, ranks: Ranks) -> Told:
    """The validation losses are 9, then 5, 6, 4, 7, 8, …: with a patience of 2 it ends after step
    5, and the best is of step 3."""
    losses = iter((9.0, 5.0, 6.0, 4.0, 7.0, 8.0, 9.0, 9.0))
    real = loop_module.evaluated

    def scripted(*arguments: Any) -> Evaluated:
        return dataclasses.replace(real(*arguments), loss=next(losses))

    loop_module.evaluated = scripted  # type: ignore[attr-defined]
    try:
        loop = make(folder)
        outcome = loop.run()
    finally:
        loop_module.evaluated = real  # type: ignore[attr-defined]
    return {"best": loop.take_best(), **_ended(loop, outcome, ranks, folder)}


def begun_elsewhere(folder: Path, make: Build, ranks: Ranks) -> Told:
    """An adapter that began with a part of the base takes up a beginning that came out otherwise,
    as that of a checkpoint may: base and adapter together stay what they were."""
    loop = make(folder)
    before = _validation_losses(loop, ranks)
    if ranks.first:
        moved = {name: 1.01 * part for name, part in residual.beginning(loop.model).items()}
        saving.save_part(loop.model, folder, moved)
        save_file(moved, folder / "adapter" / "beginning.safetensors")
    ranks.wait_for_all("the file")
    saving.load_part(loop.model, folder)
    return {"before": before, "after": _validation_losses(loop, ranks)}


def given_up(folder: Path, make: Build, ranks: Ranks) -> Told:
    """A step is begun and given up; then the whole run."""
    loop = make(folder)
    stepper, state = loop._stepper, checkpoint.random_state()
    stepper.model.train()
    batch, _ = next(loop._micro_batches([loop._train[place] for place in (0, 1, 2)]))
    with stepper.adding_up(False):
        stepper.backward(stepper.model(batch).sum())
    stepper.give_up()
    checkpoint.set_random_state(state)
    return _ended(loop, loop.run(), ranks, folder)


STORIES: dict[str, Callable[[Path, Build, Ranks], Told]] = {
    story.__name__: story
    for story in (
        whole_run,
        again_from_the_middle,
        resumed,
        spoilt_on_one,
        wanted_node,
        commanded,
        losing_patience,
        begun_elsewhere,
        given_up,
    )
}


def _on_pass(loop: Loop, then: Callable[[int], float]) -> None:
    """In each training pass through the model, counted from 1, multiply its losses."""
    count = 0

    def hook(module: Any, inputs: Any, sums: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += module.training
        return sums * then(count) if module.training else sums

    loop._measure.register_forward_hook(hook)


def _ended(loop: Loop, outcome: Outcome, ranks: Ranks, folder: Path) -> Told:
    """How a loop ended; the first rank saves what it trained as a result."""
    tensors = saving.trained_tensors(loop.model, keep=True)
    if ranks.first:
        result = folder / "result"
        result.mkdir()
        saving.save_result(loop.model, result, tensors)
    return {
        "outcome": dataclasses.astuple(outcome),
        "sum": sum(float(tensor.double().abs().sum()) for tensor in tensors.values()),
    }


def _validation_losses(loop: Loop, ranks: Ranks) -> list[float]:
    layout = loop._ready.validation_layout
    return row_losses(loop._measure, loop.validation, layout, lambda done: None, ranks)


def _held(loop: Loop) -> float:
    """How much of what is trained is in this process."""
    trained = [p for p in loop.model.parameters() if p.requires_grad]
    whole = (zero.shape(p) if zero.is_spread(p) else p.shape for p in trained)
    return sum(sharding.held(p).numel() for p in trained) / sum(map(math.prod, whole))


def _like_torch() -> torch.Generator:
    """What torch would draw next, without drawing it."""
    return torch.Generator().set_state(torch.get_rng_state())


def _act(folder: Path, told: Told, ranks: Ranks) -> Told:
    case_folder = folder / told["name"]
    config = configure(Path(told["base"]), **told["config"])

    def make(folder: Path, **options: Any) -> Loop:
        return build(folder, config, ranks=ranks, **told.get("options", {}), **options)

    return STORIES[told["story"]](case_folder, make, ranks)


if __name__ == "__main__":
    at = Path(sys.argv[1])
    together = Ranks.join()
    cases = json.loads((at / "cases.json").read_text())
    tell(at, together.number, {case["name"]: _act(at, case, together) for case in cases})
    together.leave()
