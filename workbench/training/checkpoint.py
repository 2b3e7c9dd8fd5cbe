"""Save and resume: what is trained, optimiser, schedule, random state, place in the data.

A checkpoint is a folder that appears whole: `adapter/` as PEFT writes it, or `model/`,
`optimizer.safetensors` with every tensor of the optimiser and the random state, and
`trainer.json` with the rest. No pickle: loading one can't run code.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, read_json_object, sha256_file, write_json
from workbench.training import saving
from workbench.training.optimizers import load_state
from workbench.training.saving import Trained

_TRAINER = "trainer.json"
"""Written last: a checkpoint has it once it is whole."""
_RANDOM = "random.cpu"
_RANDOM_CUDA = "random.cuda"
_NAME = re.compile(r"step-\d+")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a checkpoint holds besides the step."""

    model: Trained
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler


def save(folder: Path, step: int, parts: Parts, *, evaluated: bool = False) -> Path:
    """Write `folder/step-N`, whole, and return it; one that is there, whole, stays.

    `evaluated` says whether there is a validation loss of this step.
    """
    target = folder / f"step-{step}"
    if target.exists():
        if not problem(target):
            return target
        shutil.rmtree(target)
    tensors, rest = _split_state(parts.optimizer.state_dict()["state"])
    tensors |= random_state()
    with building_folder(target) as building:
        saving.save_part(parts.model, building)
        save_file(tensors, building / "optimizer.safetensors")
        write_json(
            building / _TRAINER,
            {
                "v": 1,
                "step": step,
                "evaluated": evaluated,
                "scheduler": parts.scheduler.state_dict(),
                "groups": parts.optimizer.state_dict()["param_groups"],
                "state": rest,
                # A machine that goes down can leave files whose names are there and whose
                # content is not.
                "files": _hashes(building),
            },
        )
    return target


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


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of `folder`; what a crash left half-written is not among them."""
    return sorted(_all(folder), key=_step_of, reverse=True)


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


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a crash left half-written."""
    found = sorted(_all(folder), key=_step_of)
    for old in [*found[: max(0, len(found) - keep)], *folder.glob(".step-*")]:
        shutil.rmtree(old)


def restore(checkpoint: Path, parts: Parts) -> tuple[int, bool]:
    """Put a checkpoint's state into `parts`; returns its step, and whether there is a validation
    loss of it.

    Raises WorkbenchError when the checkpoint is damaged, or of another adapter or optimiser.
    """
    trainer = read_json(checkpoint / _TRAINER)
    try:
        tensors = load_file(checkpoint / "optimizer.safetensors")
        random = {name: tensors.pop(name) for name in (_RANDOM, _RANDOM_CUDA) if name in tensors}
        state = _join_state(tensors, trainer["state"])
        saving.load_part(parts.model, checkpoint)
        load_state(parts.optimizer, {"state": state, "param_groups": trainer["groups"]})
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
    set_random_state(random)
    parts.scheduler.load_state_dict(trainer["scheduler"])
    # Those of earlier releases don't say.
    return int(trainer["step"]), bool(trainer.get("evaluated", True))


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if _is_whole(path)]


def _is_whole(checkpoint: Path) -> bool:
    return bool(_NAME.fullmatch(checkpoint.name)) and (checkpoint / _TRAINER).exists()


def _step_of(checkpoint: Path) -> int:
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
