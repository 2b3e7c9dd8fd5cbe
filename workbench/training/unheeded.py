"""Settings that come to nothing in a run: told, since nothing else of it would show them."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.config.schema import RunConfig


def unheeded(config: RunConfig, total_steps: int, validation_rows: int) -> Iterator[str]:
    """Each setting that can't do what it says, with what to do, in a sentence or two."""
    no_rows = "there is no validation split to measure a loss on. Split the dataset, or leave it"
    if not validation_rows and config.evaluation.patience is not None:
        yield f"evaluation.patience does nothing: {no_rows} empty."
    if not validation_rows and config.checkpoints.result == "best":
        yield f"checkpoints.result: best does nothing, the last step is kept: {no_rows} at last."
    warmup = config.training.warmup_steps
    if warmup is not None and warmup >= total_steps:
        yield (
            f"The learning rate only rises, and reaches its peak at the end if at all: "
            f"training.warmup_steps is {warmup}, and there are {total_steps} steps. Use fewer, "
            "or leave it empty for training.warmup_ratio."
        )
