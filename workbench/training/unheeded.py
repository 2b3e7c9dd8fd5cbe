"""Settings that come to nothing in a run: told, since nothing else of it would show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.config.schema import RunConfig, Training

_ACCUMULATION: int = Training.model_fields["accumulation"].default


def unheeded(config: RunConfig, total_steps: int, validation_rows: int) -> Iterator[str]:
    """Each setting that can't do what it says, with what to do, in a sentence or two."""
    no_rows = "there is no validation split to measure a loss on. Split the dataset, or leave it"
    if not validation_rows and config.evaluation.patience is not None:
        yield f"evaluation.patience does nothing: {no_rows} empty."
    if not validation_rows and config.checkpoints.result == "best":
        yield f"checkpoints.result: best does nothing, the last step is kept: {no_rows} at last."
    if not validation_rows and config.evaluation.sample_prompts:
        yield f"evaluation.sample_prompts are never answered: {no_rows} empty."
    warmup = config.training.warmup_steps
    if warmup is not None and warmup >= total_steps:
        yield (
            f"The learning rate only rises, and reaches its peak at the end if at all: "
            f"training.warmup_steps is {warmup}, and there are {total_steps} steps. Use fewer, "
            "or leave it empty for training.warmup_ratio."
        )
    training = config.training
    if training.step_tokens is not None and training.accumulation != _ACCUMULATION:
        yield (
            f"training.accumulation ({training.accumulation}) does nothing: steps are filled by "
            "tokens (training.step_tokens). Leave one of them out."
        )


def outgrown(config: RunConfig, lengths: Sequence[int]) -> Iterator[str]:
    """Each budget of tokens that some training rows are too long for, with what becomes of them."""
    training = config.training
    budgets = (
        ("training.step_tokens", training.step_tokens, "a step with one has more"),
        ("training.micro_batch_tokens", training.micro_batch_tokens, "each goes through alone"),
    )
    for path, budget, what in budgets:
        longer = sum(length > budget for length in lengths) if budget is not None else 0
        if longer:
            rows = "1 row has" if longer == 1 else f"{longer:,} rows have"
            yield f"{rows} more tokens than {path}, {budget:,}: {what}."
