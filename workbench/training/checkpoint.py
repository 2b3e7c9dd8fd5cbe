"""Save and resume: adapter, optimiser, schedule, random state, place in the data.

A checkpoint is a folder that appears whole: `adapter/` as PEFT writes it,
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
from peft import PeftModel
from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json, write_json
from workbench.training.optimizers import load_state

_RANDOM = "random.cpu"
_RANDOM_CUDA = "random.cuda"
_NAME = re.compile(r"step-\d+")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a checkpoint holds besides the step."""

    model: PeftModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler


def save(folder: Path, step: int, parts: Parts) -> Path:
    """Write `folder/step-N`, whole, and return it; one that is there, whole, stays."""
    target = folder / f"step-{step}"
    if _is_whole(target):
        return target
    if target.exists():
        shutil.rmtree(target)
    tensors, rest = _split_state(parts.optimizer.state_dict()["state"])
    tensors[_RANDOM] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[_RANDOM_CUDA] = torch.cuda.get_rng_state()
    with building_folder(target) as building:
        save_adapter(parts.model, building / "adapter")
        save_file(tensors, building / "optimizer.safetensors")
        write_json(
            building / "trainer.json",
            {
                "v": 1,
                "step": step,
                "scheduler": parts.scheduler.state_dict(),
                "groups": parts.optimizer.state_dict()["param_groups"],
                "state": rest,
            },
        )
    return target


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter alone. The embedding layers are the base's and stay out."""
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint of `folder`; one that isn't whole is passed over."""
    return max(_all(folder), key=_step_of, default=None)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a crash left half-written."""
    found = sorted(_all(folder), key=_step_of)
    for old in [*found[: max(0, len(found) - keep)], *folder.glob(".step-*")]:
        shutil.rmtree(old)


def restore(checkpoint: Path, parts: Parts) -> int:
    """Put a checkpoint's state into `parts`; returns its step.

    Raises WorkbenchError when the checkpoint is damaged, or of another adapter or optimiser.
    """
    trainer = read_json(checkpoint / "trainer.json")
    try:
        tensors = load_file(checkpoint / "optimizer.safetensors")
        weights = load_peft_weights(str(checkpoint / "adapter"), device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise WorkbenchError(
            f"The checkpoint {checkpoint} is damaged: {error}",
            "Remove its folder, and the run goes on from the checkpoint before it.",
        ) from error
    torch.set_rng_state(tensors.pop(_RANDOM))
    cuda_state = tensors.pop(_RANDOM_CUDA, None)
    if cuda_state is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda_state)
    state = _join_state(tensors, trainer["state"])
    try:
        set_peft_model_state_dict(parts.model, weights)
        load_state(parts.optimizer, {"state": state, "param_groups": trainer["groups"]})
    except (ValueError, RuntimeError) as error:
        raise WorkbenchError(
            f"The checkpoint {checkpoint} does not fit this run: {error}",
            "Resume with the config that it was made with.",
        ) from error
    parts.scheduler.load_state_dict(trainer["scheduler"])
    return int(trainer["step"])


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if _is_whole(path)]


def _is_whole(checkpoint: Path) -> bool:
    # trainer.json is written last.
    return bool(_NAME.fullmatch(checkpoint.name)) and (checkpoint / "trainer.json").exists()


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
