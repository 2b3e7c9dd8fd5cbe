"""What is to be said of a config before it runs: advice, memory, time, and what its fields come to.

All that the form shows beside the fields; quick enough for every key, once `known` is gathered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from workbench.config.advice import Advice, advise
from workbench.config.circumstances import TRAIN, Circumstances
from workbench.config.duration import TimeForecast, forecast_time
from workbench.config.effective import Effective, effective
from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.config.trained import TrainedTensors, trained_tensors
from workbench.errors import WorkbenchError
from workbench.text import size


@dataclass(frozen=True, slots=True)
class Judgement:
    """A config with what is said of it."""

    config: RunConfig
    known: Circumstances
    advice: tuple[Advice, ...]
    """The most severe first."""
    forecast: Forecast | None
    time: TimeForecast | None
    unforeseen: str = ""
    """Why there is no forecast."""
    comes_to: Mapping[str, str] = field(default_factory=dict)
    """By the path of a field, what its value amounts to here: `64 rows a step`."""

    @property
    def fits(self) -> bool | None:
        """Whether it has room on the machine; None where that isn't known."""
        free = self.known.machine.free
        if self.forecast is None or free is None:
            return None
        return self.forecast.total <= free


def judge(config: RunConfig, known: Circumstances) -> Judgement:
    """What is to be said of `config`; nothing raises."""
    advice = tuple(advise(config, known))
    try:
        forecast = known.forecast(config)
        time = forecast_time(config, known) if known.base else None
        amounts = dict(_comes_to(config, known, effective(config, known)))
    except WorkbenchError as error:
        # Modules that the base has not, which the advice tells, too.
        return Judgement(config, known, advice, None, None, str(error))
    why = "" if forecast else "The base isn't known, so that its memory can't be forecast."
    return Judgement(config, known, advice, forecast, time, why, amounts)


def _comes_to(
    config: RunConfig, known: Circumstances, worth: Effective
) -> Iterator[tuple[str, str]]:
    """What fields amount to, in a few words each."""
    yield from _of_base(config, known, worth)
    yield from _of_rows(config, known)
    yield from _of_steps(config, worth)
    yield from _of_disk(worth)


def _of_base(
    config: RunConfig, known: Circumstances, worth: Effective
) -> Iterator[tuple[str, str]]:
    if worth.scale is not None:
        yield "lora.alpha", f"scale {worth.scale:.3g}"
    if known.base is None:
        yield "model.base", "not known here"
        return
    yield "model.base", f"{count(known.base.parameters)} parameters"
    if worth.trained_parameters is not None and worth.trained_share is not None:
        trained = f"{count(worth.trained_parameters)} trained, {worth.trained_share:.2%}"
        yield ("training.method" if worth.scale is None else "lora.rank"), trained
    if config.training.method != "full":
        yield "lora.target_modules", _adapted(trained_tensors(config, known.base, known.new_ids))


def _adapted(trained: TrainedTensors) -> str:
    modules = len(trained.adapted)
    if trained.experts:
        return f"{modules:,} + experts" if modules else "experts"
    return f"{modules:,} modules"


def _of_rows(config: RunConfig, known: Circumstances) -> Iterator[tuple[str, str]]:
    path = "data.mixture" if config.data.mixture else "data.dataset"
    if known.dataset is None:
        if config.data.mixture or config.data.dataset:
            yield path, "not known here"
        return
    yield path, f"{known.dataset.train:,} rows + {known.dataset.validation:,}"
    if lengths := known.dataset.lengths.get(TRAIN):
        kept = lengths.at(config.data.max_length, config.data.too_long)
        most = f"longest {lengths.longest:,}"
        yield "data.max_length", f"{_many(kept.cut, 'row')} longer" if kept.cut else most
    else:
        yield "data.max_length", "rows not measured"


def _of_steps(config: RunConfig, worth: Effective) -> Iterator[tuple[str, str]]:
    size = StepSize.of(config.training, config.job.processes)
    yield ("training.step_tokens" if size.tokens else "training.batch_size"), size.in_words()
    if worth.tokens_a_step is not None:
        yield "training.accumulation", f"{worth.tokens_a_step:,.0f} tokens a step"
    if worth.total_steps is not None:
        if config.training.max_steps is None:
            yield "training.epochs", _many(worth.total_steps, "step")
        elif worth.steps_an_epoch:
            epochs = worth.total_steps / worth.steps_an_epoch
            yield "training.max_steps", f"{epochs:.2g} epoch{'' if epochs == 1 else 's'}"
            yield "training.epochs", "max_steps counts"
    if worth.warmup_steps is not None and config.training.warmup_steps is None:
        yield "training.warmup_ratio", _many(worth.warmup_steps, "step")
    elif worth.warmup_steps is not None:
        yield "training.warmup_ratio", "warmup_steps counts"
    if worth.validations is not None:
        yield "evaluation.every", _many(worth.validations, "validation")


def _of_disk(worth: Effective) -> Iterator[tuple[str, str]]:
    if worth.checkpoint_bytes is not None:
        yield "checkpoints.every", f"{size(worth.checkpoint_bytes)} each"
    if worth.run_bytes is not None:
        yield "checkpoints.keep", f"{size(worth.run_bytes)} on disk"
    if worth.result_bytes is not None:
        yield "checkpoints.result", f"{size(worth.result_bytes)}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def count(number: int) -> str:
    """A count for a person: `135 M`, `8.03 B`."""
    for unit, whole in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= whole:
            return f"{number / whole:.3g} {unit}"
    return str(number)
