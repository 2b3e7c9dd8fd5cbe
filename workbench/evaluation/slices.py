"""Which rows belong together: by task, by length, clean and contaminated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workbench.evaluation.rows import Row

_PARTS = 3
FEWEST = 5
"""Rows of each part of a length at least: of fewer nothing can be said."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows."""

    by: str
    """`task`, `prompt_words`, `reference_words` or `contamination`."""
    name: str
    places: list[int]


def slices(rows: Sequence[Row]) -> list[Slice]:
    """The parts of rows that have figures of their own: those that differ at all.

    Lengths are in thirds, as far as equal ones go together. A row of which nobody knows whether it
    is contaminated is in neither part.
    """
    tasks = sorted({row.task for row in rows})
    found: list[Slice] = []
    if len(tasks) > 1:
        found += [
            Slice("task", task, [p for p, row in enumerate(rows) if row.task == task])
            for task in tasks
        ]
    found += _by_length("prompt_words", rows, lambda row: row.prompt_words)
    found += _by_length("reference_words", rows, lambda row: row.reference_words)
    known = {row.contaminated for row in rows}
    if {True, False} <= known:
        for name, value in (("clean", False), ("contaminated", True)):
            places = [p for p, row in enumerate(rows) if row.contaminated is value]
            found.append(Slice("contamination", name, places))
    return found


def _by_length(by: str, rows: Sequence[Row], of: Callable[[Row], int | None]) -> Iterator[Slice]:
    lengths = sorted((length, p) for p, row in enumerate(rows) if (length := of(row)) is not None)
    groups: list[list[tuple[int, int]]] = []
    start = 0
    for part in range(1, _PARTS + 1):
        end = max(start, len(lengths) * part // _PARTS)
        while 0 < end < len(lengths) and lengths[end][0] == lengths[end - 1][0]:
            end += 1
        if end > start:
            groups.append(lengths[start:end])
        start = end
    if len(groups) < 2 or min(map(len, groups)) < FEWEST:
        return
    for group in groups:
        low, high = group[0][0], group[-1][0]
        name = f"{low}" if low == high else f"{low} to {high}"
        yield Slice(by, name, sorted(place for _, place in group))
