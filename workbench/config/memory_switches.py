"""What would change a forecast: the largest batch and cutoff that fit, and what a switch saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from workbench.config.memory import Forecast
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize

Foretell = Callable[[RunConfig], Forecast]
"""The forecast of a config, all else being the same."""
_LONGEST = 1 << 20
"""Tokens, the bound of data.max_length."""
_SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Saving:
    """A setting with what it would save."""

    setting: str
    """As `--set` takes it."""
    what: str
    saved: int
    """Bytes; what comes out below 0 takes more."""


def largest_micro_batch(config: RunConfig, foretell: Foretell, free: int) -> int:
    """The most rows at once, of those of a step, that `free` bytes have room for; 0 where not
    even one fits."""
    size = StepSize.of(config.training, config.job.processes)
    # By tokens: packed, no more than so many of the longest rows go through at once.
    most = size.rows or -(-size.tokens // foretell(config).work.longest)

    def fits(rows: int) -> bool:
        at_once = {"micro_batch": rows, "micro_batch_tokens": None}
        return foretell(_with(config, "training", **at_once)).total <= free

    return _largest(fits, 1, min(most, 4096))


def largest_max_length(
    config: RunConfig, foretell: Foretell, free: int, context: int | None
) -> int:
    """The longest cutoff, of no more tokens than `context`, with which rows of its whole length
    fit into `free` bytes; 0 where the shortest one doesn't."""

    def fits(tokens: int) -> bool:
        return foretell(_with(config, "data", max_length=tokens)).total <= free

    return _largest(fits, _SHORTEST, min(context or _LONGEST, _LONGEST))


def savings(config: RunConfig, foretell: Foretell) -> list[Saving]:
    """What each switch would save that this config hasn't thrown yet, the most first."""
    now = foretell(config).total
    found = []
    for section, values, what in _switches(config):
        try:
            changed = _with(config, section, **values)
        except ValidationError:
            # It can't be had with the rest of the config.
            continue
        setting = " ".join(f"{section}.{name}={_as_text(v)}" for name, v in values.items())
        found.append(Saving(setting, what, now - foretell(changed).total))
    return sorted(found, key=lambda saving: saving.saved, reverse=True)


def _switches(config: RunConfig) -> Iterator[tuple[str, dict[str, Any], str]]:
    model, training = config.model, config.training
    if model.quantization not in ("nf4", "fp4"):
        yield "model", {"quantization": "nf4"}, "the base in 4 bits"
    if not training.gradient_checkpointing:
        yield "training", {"gradient_checkpointing": True}, "about a third slower"
    if config.data.max_length // 2 >= _SHORTEST:
        yield "data", {"max_length": config.data.max_length // 2}, "half the cutoff"
    kind = "lion" if "lion" in training.optimizer else "adamw"
    if not training.optimizer.endswith("8bit"):
        yield "training", {"optimizer": f"{kind}_8bit"}, "its state in 8 bits"
    if not training.optimizer.startswith("paged"):
        yield "training", {"optimizer": f"paged_{kind}_8bit"}, "and moved out of the GPU's way"


def _largest(fits: Callable[[int], bool], least: int, most: int) -> int:
    """The largest number that fits; what is smaller than one that fits does, too."""
    if not fits(least):
        return 0
    if fits(most):
        return most
    low, high = least, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _with(config: RunConfig, section: str, **values: Any) -> RunConfig:
    body = config.model_dump()
    return RunConfig.model_validate({**body, section: {**body[section], **values}})


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
