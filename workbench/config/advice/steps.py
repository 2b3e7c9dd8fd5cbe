"""Epochs, optimiser steps and the rows of each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Severity, Topic
from workbench.data.mix import MOST_EPOCHS

TOPIC = Topic("Epochs, steps, batches")

_FEW_ROWS = 1000
_FEW_STEPS = 50
_BATCH = 16
_SMALL_BATCH = 8
_SMALLEST_BATCH = 4
_LARGE_BATCH = 32


def _for_passes(case: Case, passes: float) -> tuple[str, ...]:
    """Settings for so many passes over the rows."""
    if not case.steps_an_epoch:
        return (f"training.epochs={passes:g}",)
    if case.config.training.max_steps is None:
        steps = math.ceil(passes * case.steps_an_epoch)
        return (f"training.epochs={passes:g}", *_shorter_warmup(case, steps))
    steps = max(1, int(passes * case.steps_an_epoch))
    return (f"training.max_steps={steps}", *_shorter_warmup(case, steps))


def _shorter_warmup(case: Case, steps: int) -> tuple[str, ...]:
    """Warm-up by ratio, where the number that is set is no less than the steps would be."""
    return ("training.warmup_steps=",) if (case.config.training.warmup_steps or 0) >= steps else ()


@TOPIC.rule(
    "many-epochs",
    "warning",
    "training.epochs",
    when="over 3 passes over fewer than 1,000 training rows, or over 5 over more, or over rows "
    "that aren't known",
    why="Rows are learnt by heart in a few passes: validation loss rises again, answers become "
    "repetitive, and repeats teach less and less.",
    source="1 to 3: LLaMA-Factory, TRL, ms-swift, Unsloth; 5: LitGPT; Muennighoff et al., NeurIPS "
    "2023: repeats past the fourth. LIMA, 2023, took 15 on 1,000 picked rows, and chose its "
    "checkpoint by hand",
    mend="3 passes",
)
def _many_epochs(case: Case) -> Iterator[Found]:
    few = case.rows is not None and case.rows < _FEW_ROWS
    if case.passes and case.passes > (3 if few else 5):
        over = f" over {case.rows:,} training rows" if case.rows else ""
        yield Found(f"{case.passes:.3g} passes{over}.", _for_passes(case, 3))


@TOPIC.rule(
    "task-repeated-too-often",
    "warning",
    "training.epochs",
    when=f"the rows of a task are seen more than {MOST_EPOCHS} times on average, by epochs or by "
    "a mixture's repeats, where no other rule tells of the epochs",
    why=f"Up to {MOST_EPOCHS} passes, repeats are nearly as good as new rows; past that they teach "
    "less and less.",
    source="Muennighoff et al., Scaling Data-Constrained Language Models, NeurIPS 2023",
    mend="so many passes that none is seen more often",
)
def _repeated(case: Case) -> Iterator[Found]:
    name, most = max(case.seen(), key=lambda seen: seen[1], default=("", 0.0))
    told = any(True for _ in _many_epochs(case))
    if told or most <= MOST_EPOCHS or case.passes is None:
        return
    passes = math.floor(case.passes * MOST_EPOCHS / most * 10) / 10
    text = f"Each row of {name or 'the rows without a task'} is seen {most:.1f} times."
    if passes >= 0.5 and (case.steps_an_epoch or 0) > 1:
        yield Found(text, _for_passes(case, passes))
    else:
        do = "`workbench data mix` with --cap or a higher --temperature repeats it less."
        yield Found(text, do=do)


@TOPIC.rule(
    "few-steps",
    "warning",
    "training.epochs",
    when="fewer than 50 optimiser steps in all, where training.max_steps doesn't ask for them",
    why="LoRA's matrix B begins at zero, so its first steps change little; a run of a few dozen is "
    "over before the adapter has moved far.",
    source="LoRA Without Regret, 2025: runs of about 100 steps are short, and want 15x the rate of "
    "full fine-tuning; Unsloth's 30 steps are a demonstration. The bound of 50 is ours",
    mend="up to 3 epochs, then fewer rows a step, down to 8",
)
def _few_steps(case: Case) -> Iterator[Found]:
    if case.config.training.max_steps is not None or not case.rows or not case.steps:
        return
    if case.steps >= _FEW_STEPS:
        return
    a_step = case.rows_a_step or 0
    text = f"{case.rows:,} training rows at {a_step:,.4g} a step make {case.steps:,} steps"
    epochs = case.config.training.epochs
    said = f"{text} in {epochs:g} epoch{'' if epochs == 1 else 's'}."
    yield Found(said, *_more_steps(case))


def _more_steps(case: Case) -> tuple[tuple[str, ...], str]:
    """Settings that make enough steps, and what to do where none does."""
    training, rows = case.config.training, case.rows or 0
    now, fewest = case.rows_a_step or 0, 1 if not case.by_tokens else training.accumulation
    for accumulation in range(training.accumulation, fewest - 1, -1):
        a_step = accumulation * training.batch_size
        an_epoch = math.ceil(rows / a_step)
        if case.by_tokens:
            an_epoch = case.steps_an_epoch or 1
        elif a_step < min(_SMALL_BATCH, now) or a_step < case.config.job.processes:
            break
        for epochs in (training.epochs, 1, 2, 3):
            enough = math.ceil(round(epochs * an_epoch, 6)) >= _FEW_STEPS
            if epochs >= training.epochs and enough:
                settings = []
                if epochs != training.epochs:
                    settings.append(f"training.epochs={epochs:g}")
                if accumulation != training.accumulation:
                    settings.append(f"training.accumulation={accumulation}")
                return tuple(settings), ""
    return (), "It takes more rows: 50 steps of 8 rows in 3 epochs need 134."


def _so_many_rows(case: Case, rows: int) -> tuple[str, ...]:
    """Settings for `rows` rows a step or some more, with batches no larger than now."""
    if case.by_tokens:
        tokens = (case.epoch.tokens if case.epoch else None) or 0
        return (f"training.step_tokens={max(16, int(rows * tokens / (case.rows or 1)))}",)
    size = min(case.config.training.batch_size, rows)
    settings = [f"training.accumulation={math.ceil(rows / size)}"]
    if size != case.config.training.batch_size:
        settings.append(f"training.batch_size={size}")
    if case.rows and case.config.training.max_steps is None:
        an_epoch = math.ceil(case.rows / (size * math.ceil(rows / size)))
        steps = math.ceil(case.config.training.epochs * an_epoch)
        settings += _shorter_warmup(case, steps)
    return tuple(settings)


def _takes_a_batch(case: Case) -> bool:
    """Whether there are rows enough for a batch of the usual size."""
    return case.rows is None or case.rows >= 2 * _BATCH


@TOPIC.rule(
    "batch-too-small",
    ("hint", "warning"),
    "training.accumulation",
    when="4 to 7 rows a step (batch_size x accumulation), of 32 training rows or more: a hint; "
    "fewer than 4: a warning",
    why="A gradient of so few rows is mostly noise at a rate for 16; accumulation costs no memory.",
    source="peers take 8 to 32 (QLoRA 16, LLaMA-Factory 8, Unsloth 8); PEFT's benchmark 4",
    mend="16 rows a step, by accumulation",
)
def _small_batch(case: Case) -> Iterator[Found]:
    rows = case.rows_a_step
    if rows and rows < _SMALL_BATCH and _takes_a_batch(case):
        text = f"{rows:.3g} row{'' if rows == 1 else 's'} a step."
        severity: Severity = "warning" if rows < _SMALLEST_BATCH else "hint"
        yield Found(text, _so_many_rows(case, _BATCH), severity=severity)


@TOPIC.rule(
    "batch-large-for-lora",
    "hint",
    "training.accumulation",
    when="LoRA with 32 rows a step or more",
    why="LoRA bears large batches worse than full fine-tuning does, at any rank.",
    source="LoRA Without Regret, 2025: fewer than 32 (TRL's documentation)",
    mend="16 rows a step",
)
def _large_batch(case: Case) -> Iterator[Found]:
    crowded = case.config.job.processes > _BATCH
    rows = case.rows_a_step
    if case.is_lora and rows and rows >= _LARGE_BATCH and not crowded:
        yield Found(f"{rows:,.4g} rows a step.", _so_many_rows(case, _BATCH))


@TOPIC.rule(
    "batch-larger-than-dataset",
    "warning",
    "training.accumulation",
    when="a step takes all training rows or more",
    why="Each epoch is then a single step, whatever the schedule says.",
    source="training/batches.py: an epoch has ceil(rows / rows a step) steps",
    mend="so many rows a step that an epoch has 4 or more",
)
def _larger_than_dataset(case: Case) -> Iterator[Found]:
    if not case.rows or case.steps_an_epoch != 1 or case.rows == 1:
        return
    a_step = f"{case.config.training.step_tokens or 0:,} tokens"
    if not case.by_tokens:
        a_step = f"{case.rows_a_step:,} rows"
    text = f"A step takes {a_step}, and there are {case.rows:,} training rows."
    if case.rows < 4 or case.config.job.processes > case.rows // 4:
        yield Found(text, do="It takes more rows.")
    else:
        yield Found(text, _so_many_rows(case, case.rows // 4))
