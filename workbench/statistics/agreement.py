"""How far annotators agree: raw, Cohen's kappa, Krippendorff's alpha, with intervals.

Intervals are by the bootstrap over units, 95 % (Zapf, Castell, Morawietz and Karch 2016,
"Measuring inter-rater reliability for nominal data: which coefficients and confidence intervals
are appropriate?", BMC Medical Research Methodology 16:93).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from workbench.statistics.bootstrap import RESAMPLES, Estimate, resampled, summarised
from workbench.statistics.drawing import draws

Level = Literal["nominal", "ordinal", "interval"]

TENTATIVE = 0.667
RELIABLE = 0.8
"""Krippendorff 2004, "Content Analysis": conclusions from alpha 0.8 on, tentative ones from 0.667
on; below, none that rest on what the annotators share."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two annotators gave one verdict on an item that both judged."""

    pairs: int
    agreeing: int

    @property
    def share(self) -> float | None:
        """None when no item was judged by two annotators."""
        return self.agreeing / self.pairs if self.pairs else None


def agreement(verdicts_by_item: Iterable[Sequence[Hashable]]) -> Agreement:
    """Raw agreement over every pair of annotators of every item."""
    pairs = agreeing = 0
    for verdicts in verdicts_by_item:
        found = _agreeing(verdicts)
        pairs, agreeing = pairs + found[1], agreeing + found[0]
    return Agreement(pairs=pairs, agreeing=agreeing)


def raw_agreement(
    units: Iterable[Sequence[Hashable]], *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate | None:
    """The share of agreeing pairs of annotators, with its interval; None without a pair."""
    sums = [(float(same), float(pairs)) for same, pairs in map(_agreeing, units) if pairs]
    if not sums:
        return None
    pairs = int(sum(each for _, each in sums))
    return resampled(sums, lambda drawn: drawn[0] / drawn[1], pairs, seed, resamples)


def _agreeing(verdicts: Sequence[Hashable]) -> tuple[int, int]:
    same = sum(n * (n - 1) // 2 for n in Counter(verdicts).values())
    return same, len(verdicts) * (len(verdicts) - 1) // 2


def cohen_kappa(
    pairs: Sequence[tuple[Hashable, Hashable]], *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate | None:
    """Cohen's kappa of two annotators, from what each gave to the same units.

    (agreement - expected) / (1 - expected), where the expected agreement comes from how often
    each gave each value. None without pairs, or when both always gave the same single value.
    Source: Cohen 1960, "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20.
    """
    value = _kappa(Counter(pairs))
    if value is None:
        return None
    kinds = sorted(Counter(pairs).items(), key=repr)
    drawn = []
    for counts in draws([many for _, many in kinds], resamples, seed):
        found = _kappa(Counter({kind: n for (kind, _), n in zip(kinds, counts, strict=True)}))
        if found is not None:
            drawn.append(found)
    return summarised(value, drawn, len(pairs), len(pairs))


def _kappa(counts: Counter[tuple[Hashable, Hashable]]) -> float | None:
    n = counts.total()
    first: Counter[Hashable] = Counter()
    second: Counter[Hashable] = Counter()
    for (a, b), many in counts.items():
        first[a] += many
        second[b] += many
    expected = sum(first[value] * second[value] for value in first)
    if n == 0 or expected == n * n:
        return None
    same = sum(many for (a, b), many in counts.items() if a == b)
    return (same * n - expected) / (n * n - expected)


@dataclass(frozen=True, slots=True)
class _Kind:
    """All units with the same values: how often each value stands in it, and which two differ."""

    counts: tuple[tuple[int, int], ...]
    """A value's place, and how often."""
    apart: tuple[tuple[int, int, float], ...]
    """Places of two values, the lower first, and their coincidences."""


def krippendorff_alpha(
    units: Iterable[Sequence[Any]],
    level: Level = "nominal",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate | None:
    """Krippendorff's alpha, from the values that each unit was given, by whomever.

    1 is full agreement, 0 what chance gives, below 0 worse. `level` says what is a large
    disagreement: `nominal`, any two values that differ; `ordinal`, values with many between them;
    `interval`, the square of the difference. Units with one value say nothing and are left out;
    annotators may have judged different units. None when no unit has two values, or all values
    are the same. Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability",
    University of Pennsylvania. The ordinal distance holds for the values that occur; values must
    be numbers unless nominal.
    """
    paired = [tuple(sorted(unit)) for unit in units if len(unit) > 1]
    values = sorted({value for unit in paired for value in unit})
    place = {value: i for i, value in enumerate(values)}
    found_units = sorted(Counter(paired).items())
    kinds = [_kind(unit, place) for unit, _ in found_units]
    how_many = [many for _, many in found_units]
    value = _alpha(kinds, how_many, values, level)
    if value is None:
        return None
    drawn = []
    for counts in draws(how_many, resamples, seed):
        found = _alpha(kinds, counts, values, level)
        if found is not None:
            drawn.append(found)
    return summarised(value, drawn, sum(map(len, paired)), len(paired))


def _kind(unit: Sequence[Any], place: dict[Any, int]) -> _Kind:
    counts = Counter(place[value] for value in unit)
    return _Kind(
        counts=tuple(counts.items()),
        apart=tuple(
            (min(a, b), max(a, b), counts[a] * counts[b] / (len(unit) - 1))
            for a, b in combinations(counts, 2)
        ),
    )


def _alpha(
    kinds: Sequence[_Kind], how_many: Sequence[int], values: Sequence[Any], level: Level
) -> float | None:
    """1 - (n - 1)·Σ o·d / Σ n·n·d over the pairs of different values."""
    totals = [0] * len(values)
    coincidences: dict[tuple[int, int], float] = {}
    for kind, many in zip(kinds, how_many, strict=True):
        if not many:
            continue
        for place, count in kind.counts:
            totals[place] += many * count
        for a, b, weight in kind.apart:
            coincidences[a, b] = coincidences.get((a, b), 0.0) + many * weight
    distance = _distances(totals, values, level)
    expected = sum(
        totals[a] * totals[b] * distance[a, b] for a, b in combinations(range(len(values)), 2)
    )
    if expected == 0:
        return None
    observed = sum(weight * distance[pair] for pair, weight in coincidences.items())
    return 1 - (sum(totals) - 1) * observed / expected


def _distances(
    totals: Sequence[int], values: Sequence[Any], level: Level
) -> dict[tuple[int, int], float]:
    pairs = combinations(range(len(values)), 2)
    if level == "nominal":
        return dict.fromkeys(pairs, 1.0)
    if level == "interval":
        return {(a, b): float(values[a] - values[b]) ** 2 for a, b in pairs}
    return {(a, b): (sum(totals[a : b + 1]) - (totals[a] + totals[b]) / 2) ** 2 for a, b in pairs}
