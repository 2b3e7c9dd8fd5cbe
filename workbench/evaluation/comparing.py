"""Figures with intervals, and what differs between systems: for any measures, on any rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.evaluation.measures import Measure, Sums
from workbench.evaluation.rows import Row
from workbench.jobs.progress import Tell, untold
from workbench.statistics.bootstrap import RESAMPLES, summarised
from workbench.statistics.proportions import holm, mcnemar, wilson

_CELLS = 1 << 22
"""Numbers that are drawn at once: some 32 MB."""
_NOTHING = {"value": None, "low": None, "high": None}

Figure = dict[str, Any]
"""`value`, `low` and `high` (95 %), None where there is no number, and `n`, the rows it is of."""


@dataclass(frozen=True, slots=True)
class Table:
    """The sums of each measure, system and row: looked at once, then added up for any rows."""

    rows: Sequence[Row]
    measures: Sequence[Measure]
    systems: Sequence[str]
    sums: dict[tuple[str, str], list[Sums | None]]
    """By measure and system, then by row."""

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        measures: Sequence[Measure],
        systems: Sequence[str],
        tell: Tell = untold,
    ) -> Table:
        sums: dict[tuple[str, str], list[Sums | None]] = {}
        done, total = 0, len(measures) * len(systems) * len(rows)
        tell("scoring", 0, total, "scores")
        for measure in measures:
            for system in systems:
                column = sums[measure.name, system] = []
                for row in rows:
                    column.append(measure.sums(row, system))
                    done += 1
                    tell("scoring", done, total, "scores")
        return cls(rows, measures, systems, sums)

    def figures(self, places: Sequence[int], seed: int) -> dict[str, dict[str, Figure]]:
        """Every figure by system and name, over the rows at these places.

        A share has Wilson's interval, all else that of the bootstrap: 2,000 resamples of rows.
        The same rows and seed give the same figures.
        """
        drawn = self._drawn(places, seed)
        return {
            system: {
                measure.name: _figure(measure, drawn[measure.name, system])
                for measure in self.measures
            }
            for system in self.systems
        }

    def comparisons(self, places: Sequence[int], seed: int) -> list[dict[str, Any]]:
        """What each system differs by from the first, on the rows that both have: `value`, `low`,
        `high`, `p`, and how it was tested. Without Holm's correction.

        The interval is that of the paired bootstrap (Koehn 2004), so is the p-value, which is no
        less than 2 / 2^n where n rows differ; of shares it is McNemar's, mid-p.
        """
        first, *others = self.systems
        drawn = self._drawn_in_pairs(places, seed)
        return [
            _comparison(measure, first, other, drawn[measure.name, other])
            for measure in self.measures
            if measure.compared
            for other in others
        ]

    def by_row(self, place: int, system: str) -> dict[str, float]:
        """What each measure gives one output, where it says something of it: of a measure of all
        rows together, its value for this one alone."""
        found = {}
        for measure in self.measures:
            sums = self.sums[measure.name, system][place]
            value = None if sums is None else _finite(measure.value(sums))
            if value is not None:
                found[measure.name] = value
        return found

    def _drawn(self, places: Sequence[int], seed: int) -> dict[tuple[str, str], _Drawn]:
        columns = {}
        for name, sums in self.sums.items():
            kept = [(place, found) for place in places if (found := sums[place]) is not None]
            columns[name] = _Column([place for place, _ in kept], [found for _, found in kept])
        return _draw(columns, seed)

    def _drawn_in_pairs(self, places: Sequence[int], seed: int) -> dict[tuple[str, str], _Drawn]:
        first, *others = self.systems
        columns = {}
        for measure in self.measures:
            for other in others if measure.compared else ():
                before, after = self.sums[measure.name, first], self.sums[measure.name, other]
                kept = [p for p in places if before[p] is not None and after[p] is not None]
                both = [(*(before[p] or ()), *(after[p] or ())) for p in kept]
                columns[measure.name, other] = _Column(kept, both)
        return _draw(columns, seed)


def corrected(comparisons: Sequence[dict[str, Any]]) -> None:
    """Write `p_holm` into comparisons that make up one family: Holm's adjustment for all of them.

    Those in which no row differs can't come out as anything, and count for none (Tarone 1990).
    """
    tested = [one for one in comparisons if one["differ"]]
    for one, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = p


@dataclass(frozen=True, slots=True)
class _Column:
    places: list[int]
    sums: list[Sums]


@dataclass(frozen=True, slots=True)
class _Drawn:
    sums: list[Sums]
    totals: list[float]
    resampled: Any
    """The totals of each resample, an array of 2,000 rows; None where nothing is drawn."""


def _draw(columns: dict[tuple[str, str], _Column], seed: int) -> dict[tuple[str, str], _Drawn]:
    """The totals of all columns in each resample; those of the same rows are drawn together."""
    import numpy as np

    alike: dict[tuple[int, ...], list[tuple[str, str]]] = defaultdict(list)
    for name, column in columns.items():
        alike[tuple(column.places)].append(name)
    found = {}
    for places, names in alike.items():
        if not places:
            found.update({name: _Drawn([], [], None) for name in names})
            continue
        blocks = [np.array(columns[name].sums, dtype=float) for name in names]
        resampled = _totals(np.hstack(blocks), seed)
        start = 0
        for name, block in zip(names, blocks, strict=True):
            end = start + block.shape[1]
            totals = [math.fsum(column) for column in block.T.tolist()]
            found[name] = _Drawn(columns[name].sums, totals, resampled[:, start:end])
            start = end
    return found


def _totals(sums: Any, seed: int) -> Any:
    """Row by row the totals of `sums` (rows x columns) in a resample of its rows."""
    import numpy as np

    generator = np.random.default_rng(seed)
    n = len(sums)
    even = np.full(n, 1 / n)
    block = max(1, min(RESAMPLES, _CELLS // n))
    found = []
    for start in range(0, RESAMPLES, block):
        counts = generator.multinomial(n, even, size=min(block, RESAMPLES - start))
        with np.errstate(invalid="ignore"):  # a loss may be infinite
            found.append(counts @ sums)
    return np.concatenate(found)


def _figure(measure: Measure, drawn: _Drawn) -> Figure:
    n = len(drawn.sums)
    value = _finite(measure.value(drawn.totals)) if n else None
    if value is None:
        return {**_NOTHING, "n": n}
    if measure.share:
        low, high = wilson(drawn.totals[0], n)
        return {"value": value, "low": low, "high": high, "n": n}
    estimate = summarised(value, _values(measure, drawn.resampled) or [value], n, n)
    return {"value": value, "low": estimate.low, "high": estimate.high, "n": n}


def _comparison(measure: Measure, first: str, other: str, drawn: _Drawn) -> dict[str, Any]:
    body: dict[str, Any] = {"measure": measure.name, "from": first, "to": other}
    n = len(drawn.sums)
    width = len(drawn.totals) // 2
    before, after = (
        _finite(measure.value(totals)) if n else None
        for totals in (drawn.totals[:width], drawn.totals[width:])
    )
    if before is None or after is None:
        nothing = {"p": None, "p_holm": None, "test": None, "differ": 0}
        return {**body, **_NOTHING, "n": n, **nothing}
    differences = [
        b - a
        for a, b in zip(
            _each(measure, drawn.resampled[:, :width]),
            _each(measure, drawn.resampled[:, width:]),
            strict=True,
        )
        if a is not None and b is not None
    ] or [after - before]
    estimate = summarised(after - before, differences, n, n, test=True)
    differ = sum(sums[:width] != sums[width:] for sums in drawn.sums)
    body |= {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": n}
    if measure.share:
        gained = sum(sums[0] < sums[2] for sums in drawn.sums)
        lost = differ - gained
        p, test = mcnemar(lost, gained)[1], "McNemar, mid-p"
        body |= {"only_from": lost, "only_to": gained}
    else:
        # Few rows resampled look certain: no test by their signs could show more than this.
        p = max(estimate.p or 0.0, min(1.0, 2.0 ** (1 - differ)))
        test = "paired bootstrap"
    return {**body, "p": p, "p_holm": p, "test": test, "differ": differ}


def _each(measure: Measure, resampled: Any) -> list[float | None]:
    return [_finite(measure.value(totals)) for totals in resampled.tolist()]


def _values(measure: Measure, resampled: Any) -> list[float]:
    return [value for value in _each(measure, resampled) if value is not None]


def _finite(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
