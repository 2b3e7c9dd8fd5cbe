"""What an axis counts in: where its round values are, and how a value is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["number", "count", "seconds", "bytes"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_HOURS = (1, 2, 3, 6, 12)
_BYTES = (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0))
_THOUSANDS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


@dataclass(frozen=True, slots=True)
class Unit:
    """The quantity on an axis; `suffix` stands behind each of its values."""

    name: str
    kind: Kind = "number"
    suffix: str = ""

    def ticks(self, low: float, high: float, most: int) -> list[float]:
        """At most `most` round values from `low` to `high`, evenly spaced by 1, 2 or 5 times a
        power of ten; for seconds by what clocks have, for bytes by the same of a MiB or GiB."""
        span = high - low
        if most < 1 or not (math.isfinite(span) and span > 0):
            return []
        step = self._step(span / most, max(abs(low), abs(high)))
        found = _multiples(low, high, step)
        while len(found) > most:
            step = self._step(step * 1.01, max(abs(low), abs(high)))
            found = _multiples(low, high, step)
        return found

    def tick(self, value: float, step: float) -> str:
        """A round value as its axis says it; `step` is the distance to the next one."""
        if self.kind == "seconds":
            return duration(value, step)
        if self.kind == "bytes":
            name, size = _bytes_of(max(abs(value), step))
            return f"{_decimal(value / size, step / size)} {name}"
        return _short(value, step) + self.suffix

    def read(self, value: float) -> str:
        """A value that is read off: four significant digits, counts whole."""
        if not math.isfinite(value):
            return "N/A"
        if self.kind == "seconds":
            return duration(value, 1.0 if abs(value) >= 10 else 0.0)
        if self.kind == "bytes":
            name, size = _bytes_of(abs(value))
            return f"{_significant(value / size)} {name}"
        if self.kind == "count" and abs(value) < 1e15:
            return f"{round(value):,}{self.suffix}"
        return _significant(value) + self.suffix

    def _step(self, least: float, largest: float) -> float:
        """The first round distance that is not less than `least`."""
        if self.kind == "count":
            return max(1.0, _round_up(least))
        if self.kind == "bytes":
            size = _bytes_of(largest)[1]
            return _round_up(least / size) * size
        if self.kind == "seconds" and least > 1:
            for seconds in (*_SECONDS, *(hours * _HOUR for hours in _HOURS)):
                if seconds >= least:
                    return float(seconds)
            return _round_up(least / _DAY) * _DAY if least > _DAY else _DAY
        return _round_up(least)


STEP = Unit("step", "count")
TOKENS = Unit("tokens", "count")
EPOCH = Unit("epoch")
TIME = Unit("time", "seconds")
NUMBER = Unit("")
RATE = Unit("tokens/s")
BYTES = Unit("memory", "bytes")
PERCENT = Unit("share", suffix=" %")
WATTS = Unit("power", suffix=" W")
CELSIUS = Unit("temperature", suffix=" °C")


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` powers of ten from `low` to `high`, both above zero; where they leave room
    with 2 and 5 times each between them."""
    if most < 1 or not 0 < low < high:
        return []
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(max(-307, first), min(308, last) + 1)
    finer = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    finer = [value for value in finer if low <= value <= high]
    if len(finer) <= most:
        return finer
    decades = [10.0**power for power in powers if low <= 10.0**power <= high]
    each = max(1, math.ceil(len(decades) / most))
    return decades[::each] or finer[:: math.ceil(len(finer) / most)]


def duration(seconds: float, step: float = 1.0) -> str:
    """`1 h 20 min`, `45 s`, `2 d 3 h`: its two largest parts; no seconds where `step` has none."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 60 and step < 1:
        return f"{sign}{_decimal(seconds, step) if step else _significant(seconds)} s"
    whole = round(seconds)
    parts: list[tuple[int, str]] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append((count, name))
    said = [f"{count:,} {name}" for count, name in parts[:2] if count]
    return sign + " ".join(said) if said else "0"


def _multiples(low: float, high: float, step: float) -> list[float]:
    slack = 1e-9 * (high - low)
    first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
    # Beyond the precision of the numbers neighbouring multiples are one.
    return sorted(
        {number * step for number in range(first, last + 1)} if last - first < 999 else ()
    )


def _round_up(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least)) if least > 1e-300 else 1e-300
    for factor in (1, 2, 5, 10):
        if factor * power >= least * (1 - 1e-9):
            break
    return factor * power


def _bytes_of(value: float) -> tuple[str, float]:
    return next(((name, size) for name, size in _BYTES if value >= size), _BYTES[-1])


def _short(value: float, step: float) -> str:
    """A tick with the digits that tell it from its neighbours: 1,200; 12k; 3.4M; 2e-5."""
    largest = max(abs(value), step)
    if value == 0:
        return "0"
    if largest >= 1e15 or (step < 1e-4 and abs(value) < 1e-2):
        digits = max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step) + 1e-9))
        return _exponent(f"{value:.{min(digits, 12)}e}")
    if abs(value) >= 10_000:
        return _thousands(value, step)
    return _decimal(value, step)


def _thousands(value: float, step: float) -> str:
    for name, size in _THOUSANDS:
        if abs(value) >= size:
            return f"{_decimal(value / size, step / size)}{name}"
    return _decimal(value, step)


def _decimal(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value + 0.0:,.{min(places, 9)}f}"


def _significant(value: float) -> str:
    """At most seven characters and a sign, of which four are significant digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    if 1e4 <= abs(value) < 1e15:
        name, size = next((name, size) for name, size in _THOUSANDS if abs(value) >= size)
        return f"{value / size:.4g}{name}"
    return _exponent(f"{value:.1e}")


def _exponent(text: str) -> str:
    """Without the zeros of an exponent."""
    digits, _, power = text.partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def step_of(ticks: Sequence[float]) -> float:
    """The least distance between neighbours; that to zero where there is one alone."""
    distances = [b - a for a, b in pairwise(ticks)]
    return min(distances) if distances else abs(ticks[0]) if ticks and ticks[0] else 1.0
