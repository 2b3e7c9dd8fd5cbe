"""Save and resume: what is trained, optimiser, schedule, random state, place in the data.

A checkpoint is a folder that appears whole: `adapter/` as PEFT writes it, or `model/`,
`optimizer.safetensors` with every tensor of the optimiser and the random state, and
`trainer.json` with the rest. No pickle: loading one can't run code.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, read_json_object, sha256_file, write_json
from workbench.training import saving, sharding
from workbench.training.best import Best
from workbench.training.optimizers import load_state
from workbench.training.ranks import ALONE, Ranks
from workbench.training.saving import Trained
from workbench.training.zero import Zero

_TRAINER = "trainer.json"
"""Written last: a checkpoint has it once it is whole."""
_RANDOM = "random.cpu"
_RANDOM_CUDA = "random.cuda"
_NAME = re.compile(r"step-\d+")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a checkpoint holds besides the place."""

    model: Trained
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    ranks: Ranks = ALONE
    zero: Zero | None = None
    """DeepSpeed's engine, where it has the optimiser."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is."""

    step: int
    evaluated: bool = False
    """Whether there is a validation loss of this step."""
    best: Best = field(default_factory=Best)
    ranks: int = 1
    """Processes that train."""


def save(folder: Path, place: Place, parts: Parts) -> Path:
    """Write `folder/step-N`, whole, and return it; of one that is there, whole, the tensors stay.

    Every rank calls it, for each has a part of it; the first one writes.
    """
    target = folder / f"step-{place.step}"
    if parts.zero is not None:
        state = parts.zero.whole_state(keep=parts.ranks.first)
    else:
        state = sharding.optimizer_state(parts.optimizer, keep=parts.ranks.first)
    trained = saving.trained_tensors(parts.model, keep=parts.ranks.first)
    random = _of_all_ranks(random_state(), parts.ranks)
    if not parts.ranks.first:
        return target
    if target.exists():
        if not problem(target):
            _update_place(target / _TRAINER, place)
            return target
        shutil.rmtree(target)
    tensors, rest = _split_state(state["state"])
    with building_folder(target) as building:
        saving.save_part(parts.model, building, trained)
        save_file(tensors | random, building / "optimizer.safetensors")
        write_json(
            building / _TRAINER,
            {
                "v": 1,
                "step": place.step,
                **_judged(place),
                "ranks": place.ranks,
                "scheduler": parts.scheduler.state_dict(),
                "groups": state["param_groups"],
                "state": rest,
                # A machine that goes down can leave files whose names are there and whose
                # content is not.
                "files": _hashes(building),
            },
        )
    return target


def _update_place(trainer: Path, place: Place) -> None:
    """What was measured since the checkpoint was made belongs to it."""
    told = read_json_object(trainer)
    if (now := told | _judged(place)) != told:
        write_json(trainer, now)


def _judged(place: Place) -> dict[str, Any]:
    return {"evaluated": place.evaluated, "best": place.best.to_json()}


def random_state() -> dict[str, torch.Tensor]:
    """The state of every random number generator that training draws from."""
    state = {_RANDOM: torch.get_rng_state()}
    if torch.cuda.is_available():
        state[_RANDOM_CUDA] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state[_RANDOM])
    if _RANDOM_CUDA in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[_RANDOM_CUDA])


def _of_all_ranks(state: dict[str, torch.Tensor], ranks: Ranks) -> dict[str, torch.Tensor]:
    """By name, with the rank's number behind it for all but the first."""
    return {
        _of_rank(name, rank): values
        for name, own in state.items()
        for rank, values in enumerate(ranks.gather(own))
    }


def _of_rank(name: str, rank: int) -> str:
    return f"{name}.{rank}" if rank else name


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of `folder`; what a crash left half-written is not among them."""
    return sorted(_all(folder), key=step_of, reverse=True)


def problem(checkpoint: Path) -> str:
    """What is wrong with a checkpoint's files, in words; empty for a whole one."""
    try:
        trainer = read_json_object(checkpoint / _TRAINER)
        for name, expected in trainer.get("files", {}).items():
            if sha256_file(checkpoint / name) != expected:
                return f"{name} is not as it was saved"
    except WorkbenchError as error:
        return error.message.rstrip(".")
    return ""


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def set_aside(checkpoint: Path) -> None:
    """Give a damaged checkpoint a name that is none, so that it never counts as one again."""
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    checkpoint.replace(aside)


def prune(folder: Path, keep: int, best: int = 0) -> None:
    """Remove all checkpoints but the newest `keep` and that of step `best`, and what a crash left
    half-written."""
    older = sorted(_all(folder), key=step_of)[:-keep]
    spent = [path for path in older if step_of(path) != best]
    for old in [*spent, *folder.glob(".step-*")]:
        shutil.rmtree(old)


def restore(checkpoint: Path, parts: Parts) -> Place:
    """Put a checkpoint's state into `parts`; returns its place.

    Raises WorkbenchError when the checkpoint is damaged, or of another adapter or optimiser.
    """
    trainer = read_json(checkpoint / _TRAINER)
    tensors = restore_weights(checkpoint, parts)
    own = {
        name: tensors.get(_of_rank(name, parts.ranks.number)) for name in (_RANDOM, _RANDOM_CUDA)
    }
    state = _join_state(
        {n: t for n, t in tensors.items() if not n.startswith("random.")}, trainer["state"]
    )
    whole = {"state": state, "param_groups": trainer["groups"]}
    with _fitting(checkpoint):
        if parts.zero is not None:
            parts.zero.load_whole_state(whole)
        else:
            load_state(parts.optimizer, whole)
    if own[_RANDOM] is not None:
        set_random_state({name: values for name, values in own.items() if values is not None})
    parts.scheduler.load_state_dict(trainer["scheduler"])
    return Place(
        int(trainer["step"]),
        # Those of earlier releases don't say.
        bool(trainer.get("evaluated", True)),
        Best(**trainer.get("best", {})),
        int(trainer.get("ranks", 1)),
    )


def restore_weights(checkpoint: Path, parts: Parts) -> dict[str, torch.Tensor]:
    """Put back what is trained, alone; returns the checkpoint's other tensors.

    Raises WorkbenchError as `restore` does.
    """
    with _fitting(checkpoint):
        tensors: dict[str, torch.Tensor] = load_file(checkpoint / "optimizer.safetensors")
        saving.load_part(parts.model, checkpoint)
    if parts.zero is not None:
        parts.zero.took_up_weights()
    return tensors


@contextmanager
def _fitting(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise WorkbenchError(
            f"The checkpoint {checkpoint} is damaged: {error}",
            "Remove its folder, and the run goes on from the checkpoint before it.",
        ) from error
    except (ValueError, RuntimeError) as error:
        raise WorkbenchError(
            f"The checkpoint {checkpoint} does not fit this run: {error}",
            "Resume with the config that it was made with.",
        ) from error


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if _is_whole(path)]


def _is_whole(checkpoint: Path) -> bool:
    return bool(_NAME.fullmatch(checkpoint.name)) and (checkpoint / _TRAINER).exists()


def step_of(checkpoint: Path) -> int:
    """The steps that were done when it was saved, by its name."""
    return int(checkpoint.name.removeprefix("step-"))


def _split_state(state: dict[int, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as tensors and the rest, each value by its path of keys.

    The optimisers of bitsandbytes keep some of their tensors one level deeper.
    """
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, Any] = {}

    def sort(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                sort(f"{path}/{name}", inner)
        elif isinstance(value, torch.Tensor):
            # Own storage each: safetensors refuses tensors that share it.
            tensors[path] = value.detach().cpu().clone()
        else:
            rest[path] = value

    for index, values in state.items():
        sort(str(index), values)
    return tensors, rest


def _join_state(tensors: dict[str, torch.Tensor], rest: dict[str, Any]) -> dict[int, Any]:
    state: dict[int, Any] = {}
    for path, value in [*rest.items(), *tensors.items()]:
        index, *groups, name = path.split("/")
        place = state.setdefault(int(index), {})
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return state
