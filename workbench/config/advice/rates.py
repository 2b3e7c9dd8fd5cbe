"""Learning rate, schedule, epochs and batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Severity, Topic
from workbench.data.mix import MOST_EPOCHS

TOPIC = Topic("Learning rate, epochs, batches")

LARGE = 13e9
"""Parameters above which QLoRA halves the rate."""
_FULL_RATE = 5e-5
"""At most this is a rate for full fine-tuning."""
_LORA_RATE = 1e-4
"""From this on it is one for LoRA."""
_DIVERGES = 50
"""Times the top of the usual range."""
_HIGH_RATIO = 32
_FEW_ROWS = 1000
_FEW_STEPS = 50
_WARMUP = (0.03, 0.1)
_ENOUGH_WARMUP = 100
"""Steps of it that are enough however long the run is: what torchtune's recipes take."""
_BATCH = 16
_SMALL_BATCH = 8
_SMALLEST_BATCH = 4
_LARGE_BATCH = 32


@dataclass(frozen=True, slots=True)
class _Rates:
    low: float
    usual: float
    high: float
    names: str
    """What they are for, in words."""

    @property
    def words(self) -> str:
        return f"{self.low:.2g} to {self.high:.2g} for {self.names}"


def usual_rates(case: Case) -> _Rates:
    """The learning rates that are usual for the method and the optimiser of a config."""
    rates = _Rates(1e-5, 2e-4, 2e-4, "LoRA")
    if not case.is_lora:
        rates = _Rates(1e-6, 2e-5, 1e-4, "full fine-tuning")
    elif case.config.lora.plus_ratio > 1:
        rates = _Rates(5e-6, 1e-4, 1e-4, "LoRA+")
    elif case.parameters and case.parameters > LARGE:
        rates = _Rates(1e-5, 1e-4, 2e-4, "LoRA")
    if "lion" in case.config.training.optimizer:
        rates = _Rates(rates.low / 10, rates.usual / 5, rates.high / 3, f"{rates.names} with Lion")
    return rates


def _rate(value: float) -> tuple[str]:
    return (f"training.learning_rate={value:g}",)


def _over(case: Case) -> float:
    """How many times the top of the usual range the rate is."""
    # 2e-4 / 3 as it is written is not over itself.
    return round(case.config.training.learning_rate / usual_rates(case).high, 3)


_RATES_FROM = (
    "QLoRA, 2023, and Unsloth: 2e-4; LLaMA-Factory and ms-swift: 1e-4; TRL: 2e-5 for full "
    "fine-tuning"
)


@TOPIC.rule(
    "learning-rate-too-high",
    ("warning", "hint", "error"),
    "training.learning_rate",
    when="over 2e-4 for LoRA, 1e-4 for LoRA+ (Lion: a third of that); a hint up to twice that, an "
    "error over 50 times that. For full fine-tuning over 5e-3; see also learning-rate-of-lora",
    why="Too high a rate shows as a loss that jumps, or that ends above a lower rate's.",
    source=f"{_RATES_FROM}; the highest of a library's recipes is 3e-4 (torchtune, Oumi); LoRA+: "
    "its README takes half the rate, 16 times of it for B",
    mend="the usual rate: 2e-4, above 13B 1e-4; LoRA+ 1e-4; full fine-tuning 2e-5; Lion a fifth",
)
def _too_high(case: Case) -> Iterator[Found]:
    usual, over = usual_rates(case), _over(case)
    if over <= (1 if case.is_lora else _DIVERGES):
        return
    rate = case.config.training.learning_rate
    text = f"A learning rate of {rate:g} is {over:,.3g} times the top of {usual.words}."
    severity: Severity = "error" if over > _DIVERGES else "warning" if over > 2 else "hint"
    if severity == "error":
        text += " On SmolLM2-135M the loss jumped from 1 to 19 at 60 times of it: docs/advice.md."
    if severity == "hint":
        text = f"A learning rate of {rate:g} is above {usual.words}; it may suit a small base or a "
        text += "short run."
    yield Found(text, _rate(usual.usual), severity=severity)


@TOPIC.rule(
    "learning-rate-for-large-base",
    "warning",
    "training.learning_rate",
    when="LoRA on a base of over 13B parameters at more than 1e-4 and at most 2e-4 (AdamW)",
    why="QLoRA halves the rate above 13B: larger bases bear less.",
    source="QLoRA, 2023: 2e-4 up to 13B, 1e-4 for 33B and 65B",
    mend="1e-4",
)
def _large_base(case: Case) -> Iterator[Found]:
    training, lora = case.config.training, case.config.lora
    plain = case.is_lora and lora.plus_ratio == 1 and "lion" not in training.optimizer
    if plain and (case.parameters or 0) > LARGE and 1e-4 < training.learning_rate <= 2e-4:
        size = f"{(case.parameters or 0) / 1e9:.0f}B"
        text = f"The base has {size} parameters, and the rate is {training.learning_rate:g}."
        yield Found(text, _rate(1e-4))


@TOPIC.rule(
    "learning-rate-of-full-fine-tuning",
    "warning",
    "training.learning_rate",
    when="LoRA at 1e-5 to 5e-5 (Lion: a fifth of that); not with LoRA+",
    why="LoRA wants about ten times the rate of full fine-tuning: its matrix B begins at zero, and "
    "at too low a rate the adapter barely moves, which looks like a base that can't learn.",
    source="LoRA Without Regret, 2025 (Schulman et al.; TRL's documentation reproduces it): about "
    "10x; our bound of 5e-5 is the highest default that peers have for full fine-tuning",
    mend="the usual rate: 2e-4, above 13B 1e-4",
)
def _of_full(case: Case) -> Iterator[Found]:
    usual, rate = usual_rates(case), case.config.training.learning_rate
    share = 5 if "lion" in case.config.training.optimizer else 1
    plain = case.is_lora and case.config.lora.plus_ratio == 1
    if plain and usual.low <= rate <= _FULL_RATE / share:
        text = f"{rate:g} is a learning rate for full fine-tuning, and this run trains LoRA, for "
        yield Found(f"{text}which {usual.usual:g} is usual.", _rate(usual.usual))


@TOPIC.rule(
    "learning-rate-of-lora",
    "warning",
    "training.learning_rate",
    when="full fine-tuning at 1e-4 or more (Lion: a third of that)",
    why="Full fine-tuning moves every weight and wants about a tenth of LoRA's rate; at LoRA's it "
    "forgets. Small bases bear more: SmolLM2 was tuned at 3e-4 (1.7B) and 1e-3 (360M), on a whole "
    "corpus.",
    source="LoRA Without Regret, 2025: about 10x apart; TRL: 2e-5; SmolLM2: alignment-handbook, "
    "recipes/smollm2",
    mend="2e-5",
)
def _of_lora(case: Case) -> Iterator[Found]:
    rate, usual = case.config.training.learning_rate, usual_rates(case)
    if not case.is_lora and _over(case) >= 1 and _over(case) <= _DIVERGES:
        text = f"{rate:g} is a learning rate for LoRA, and this run trains the whole base, for "
        yield Found(f"{text}which {usual.usual:g} is usual.", _rate(usual.usual))


@TOPIC.rule(
    "learning-rate-too-low",
    "warning",
    "training.learning_rate",
    when="below 1e-5 for LoRA, 5e-6 for LoRA+, 1e-6 for full fine-tuning; Lion a tenth of that",
    why="At so low a rate a run of usual length ends nearly where it began.",
    source=_RATES_FROM,
    mend="the usual rate",
)
def _too_low(case: Case) -> Iterator[Found]:
    usual, rate = usual_rates(case), case.config.training.learning_rate
    if rate < usual.low:
        yield Found(f"A learning rate of {rate:g} is below {usual.words}.", _rate(usual.usual))


@TOPIC.rule(
    "lora-plus-ratio-out-of-range",
    "hint",
    "lora.plus_ratio",
    when="above 32",
    why="The paper's best ratios are around 16; at many times that matrix B runs away.",
    source="LoRA+, 2024 (Hayou et al.): 2^4",
    mend="16",
)
def _plus_ratio(case: Case) -> Iterator[Found]:
    ratio, rate = case.config.lora.plus_ratio, case.config.training.learning_rate
    if case.is_lora and ratio > _HIGH_RATIO:
        text = f"Matrix B learns {ratio:g} times as fast as A: at {rate * ratio:g}."
        yield Found(text, ("lora.plus_ratio=16",))


@TOPIC.rule(
    "warm-up-outside-range",
    ("hint", "warning", "error"),
    "training.warmup_ratio",
    when="under 0.03 of the steps (and under 100 steps, where these are given): a hint; over 0.1: "
    "a warning; as many steps as the run has or more: an error",
    why="",
    source="QLoRA, 2023: 0.03; LLaMA-Factory, Axolotl: 0.1; torchtune: 100 steps; why a warm-up: "
    "Liu et al., On the Variance of the Adaptive Learning Rate, ICLR 2020",
    mend="0.03 of the steps",
)
def _warmup(case: Case) -> Iterator[Found]:
    training = case.config.training
    steps, ratio = training.warmup_steps, training.warmup_ratio
    said = f"training.warmup_ratio is {ratio:g}"
    if steps is not None:
        if case.steps is None:
            return
        ratio = steps / case.steps
        said = f"{steps:,} of {case.steps:,} steps are warm-up"
    fix = ("training.warmup_ratio=0.03", *(["training.warmup_steps="] if steps is not None else []))
    if ratio >= 1:
        text = f"{said}: the learning rate never reaches its peak, and never falls."
        yield Found(text, fix, severity="error")
    elif ratio > _WARMUP[1]:
        text = f"{said}, more than {_WARMUP[1]:.0%}: while the rate rises little is learnt, and "
        yield Found(f"{text}less of the run is left for it to fall in.", fix, severity="warning")
    elif ratio < _WARMUP[0] and (steps or 0) < _ENOUGH_WARMUP:
        text = f"{said}, less than {_WARMUP[0]:.0%}: AdamW's first estimates come from a few "
        yield Found(f"{text}batches, and its steps are as long as later ones.", fix)


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
