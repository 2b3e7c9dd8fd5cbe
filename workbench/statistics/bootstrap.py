"""Means and differences with intervals by the bootstrap, whole clusters at a time.

Several judgements of one item, and several items of one document, resemble each other: who takes
them for independent gets intervals that are too narrow. So clusters are drawn, with all they hold.
Every function gives the same numbers for the same values, in whatever order they come.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import mul
from statistics import stdev

from workbench.statistics.drawing import draws
from workbench.statistics.proportions import CONFIDENCE

RESAMPLES = 2000
FEW = 20
"""With fewer clusters a bootstrap interval is too narrow, and nobody knows by how much."""

_Sums = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval: the percentiles of its values in resampled data."""

    value: float
    low: float
    high: float
    standard_error: float
    """The standard deviation of the resampled values."""
    n: int
    """Values that it was made of."""
    clusters: int
    p: float | None = None
    """Of a difference: the two-sided p-value of "none"; else None."""


def clustered_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """The mean of `values`, whose clusters are drawn with replacement; None without values.

    `clusters` names the cluster of each value (default: each is its own). The interval is that of
    percentiles. Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 6
    and 13; whole clusters: Davison and Hinkley 1997, "Bootstrap Methods", 3.8. Raises ValueError
    when the lengths differ.
    """
    if not values:
        return None
    sums = _sums([(clusters, values)], len(values))

    def mean(drawn: _Sums) -> float | None:
        return drawn[0] / drawn[1]

    return resampled(sums, mean, len(values), seed, resamples, confidence)


def clustered_difference(
    first: tuple[Sequence[float], Sequence[Hashable]],
    second: tuple[Sequence[float], Sequence[Hashable]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """The mean of the second less that of the first, each given as values and their clusters.

    A cluster that both have is drawn for both, so what they share cancels out: with one value
    each a cluster this is the paired bootstrap (Koehn 2004, "Statistical significance tests for
    machine translation evaluation"). None while one of them has no values. Raises ValueError
    when lengths differ.
    """
    if not first[0] or not second[0]:
        return None
    n = len(first[0]) + len(second[0])
    sums = _sums([(first[1], first[0]), (second[1], second[0])], None)

    def difference(drawn: _Sums) -> float | None:
        if not drawn[1] or not drawn[3]:
            return None
        return drawn[2] / drawn[3] - drawn[0] / drawn[1]

    return resampled(sums, difference, n, seed, resamples, confidence, test=True)


def resampled(
    sums: Sequence[_Sums],
    statistic: Callable[[_Sums], float | None],
    n: int,
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    test: bool = False,
) -> Estimate | None:
    """A statistic of sums over clusters, with a bootstrap interval.

    `sums` has the summands of each cluster; `statistic` makes a number of their totals, or None
    where there is none, as in a resample without any value: such resamples are left out. None
    when there is none in all of the data.
    """
    # In order of size: who is first in the data must not matter for a given seed.
    kinds = sorted(Counter(sums).items())
    columns = list(zip(*(kind for kind, _ in kinds), strict=True))
    how_many = [many for _, many in kinds]
    value = statistic(_totals(columns, how_many))
    if value is None:
        return None
    drawn: list[float] = []
    for counts in draws(how_many, resamples, seed):
        found = statistic(_totals(columns, counts))
        if found is not None:
            drawn.append(found)
    return summarised(value, drawn, n, len(sums), confidence, test)


def _totals(columns: Sequence[_Sums], counts: Sequence[int]) -> _Sums:
    return tuple(sum(map(mul, column, counts)) for column in columns)


def summarised(
    value: float,
    drawn: Sequence[float],
    n: int,
    clusters: int,
    confidence: float = CONFIDENCE,
    test: bool = False,
) -> Estimate:
    """An estimate from its values in the resamples, of which there must be one at least.

    The p-value is twice the share of resampled values on the other side of zero, counted with one
    more (Davison and Hinkley 1997, 4.2), so it is never below 2 / (resamples + 1).
    """
    ordered = sorted(drawn)
    beyond = (1 - confidence) / 2
    p = None
    if test:
        below = sum(x <= 0 for x in ordered)
        above = sum(x >= 0 for x in ordered)
        p = min(1.0, 2 * (min(below, above) + 1) / (len(ordered) + 1))
    return Estimate(
        value=value,
        low=_quantile(ordered, beyond),
        high=_quantile(ordered, 1 - beyond),
        standard_error=stdev(ordered) if len(ordered) > 1 else 0.0,
        n=n,
        clusters=clusters,
        p=p,
    )


def _sums(
    parts: Sequence[tuple[Sequence[Hashable] | None, Sequence[float]]], n: int | None
) -> list[_Sums]:
    """Per cluster the sum and the number of the values of each part, side by side."""
    found: dict[Hashable, list[float]] = {}
    for place, (clusters, values) in enumerate(parts):
        names = range(n or 0) if clusters is None else clusters
        for name, value in zip(names, values, strict=True):
            sums = found.setdefault(name, [0.0] * (2 * len(parts)))
            sums[2 * place] += value
            sums[2 * place + 1] += 1
    return [tuple(sums) for sums in found.values()]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between two values in proportion: Hyndman and Fan's type 7."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
