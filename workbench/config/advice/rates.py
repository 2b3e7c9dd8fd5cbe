"""Learning rate and warm-up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Severity, Topic

TOPIC = Topic("Learning rate")

_LARGE = 13e9
"""Parameters above which QLoRA halves the rate."""
_FULL_RATE = 5e-5
"""At most this is a rate for full fine-tuning."""
_DIVERGES = 50
"""Times the top of the usual range."""
_HIGH_RATIO = 32
_WARMUP = (0.03, 0.1)
_ENOUGH_WARMUP = 100
"""Steps of it that are enough however long the run is: what torchtune's recipes take."""


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


def _usual_rates(case: Case) -> _Rates:
    """The learning rates that are usual for the method and the optimiser of a config."""
    rates = _Rates(1e-5, 2e-4, 2e-4, "LoRA")
    if not case.is_lora:
        rates = _Rates(1e-6, 2e-5, 1e-4, "full fine-tuning")
    elif case.config.lora.plus_ratio > 1:
        rates = _Rates(5e-6, 1e-4, 1e-4, "LoRA+")
    elif case.parameters and case.parameters > _LARGE:
        rates = _Rates(1e-5, 1e-4, 2e-4, "LoRA")
    if "lion" in case.config.training.optimizer:
        rates = _Rates(rates.low / 10, rates.usual / 5, rates.high / 3, f"{rates.names} with Lion")
    return rates


def _rate(value: float) -> tuple[str]:
    return (f"training.learning_rate={value:g}",)


def _over(case: Case) -> float:
    """How many times the top of the usual range the rate is."""
    # 2e-4 / 3 as it is written is not over itself.
    return round(case.config.training.learning_rate / _usual_rates(case).high, 3)


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
    usual, over = _usual_rates(case), _over(case)
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
    if plain and (case.parameters or 0) > _LARGE and 1e-4 < training.learning_rate <= 2e-4:
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
    usual, rate = _usual_rates(case), case.config.training.learning_rate
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
    rate, usual = case.config.training.learning_rate, _usual_rates(case)
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
    usual, rate = _usual_rates(case), case.config.training.learning_rate
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
