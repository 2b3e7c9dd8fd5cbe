"""Whether a base was loaded whole: transformers fills what is missing with random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.training import quantisation

_LISTED = 3


def check(base: PreTrainedModel, told: dict[str, Any], folder: Path) -> None:
    """Raises WorkbenchError naming the weights that `folder` lacks, and those of another shape
    than its config.json says.

    `told` is what transformers says of the loading; from what is missing it has taken what is
    tied and what a family does without. Weights that the model has no place for are allowed:
    many come with heads for other work.
    """
    # Buffers are computed, never random: MiniMax's checkpoints have no decay rates.
    weights = {name for name, _ in base.named_parameters(remove_duplicate=False)}
    if missing := sorted(told["missing_keys"] & weights):
        raise WorkbenchError(
            f"The base model in {folder} lacks {_listed(missing)}: random numbers would stand in "
            "for what it has learnt.",
            "Copy or download it again, whole. If it is whole, its config.json is another model's.",
        )
    shapes = [
        (name, tuple(found), tuple(wanted)) for name, found, wanted in told["mismatched_keys"]
    ]
    shapes += quantisation.misshapen(base)
    if shapes:
        said = [f"{name} is {found} and should be {wanted}" for name, found, wanted in shapes]
        raise WorkbenchError(
            f"The weights in {folder} don't fit its config.json: {_listed(sorted(said))}.",
            "Put config.json and weights of the same model there.",
        )


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return ", ".join(parts[:_LISTED]) + more
