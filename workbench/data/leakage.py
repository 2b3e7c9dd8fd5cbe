"""Training rows that say almost what a validation row says."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.data import split
from workbench.data.curate.alike import Join
from workbench.data.example import Example
from workbench.jobs.progress import Tell


def alike_across(
    rows: Sequence[Example], threshold: float, tell: Tell, scratch: Path | None = None
) -> Mapping[int, tuple[int, float]]:
    """The places of the training rows whose Jaccard similarity to a validation row is at least
    `threshold`, each with the place of such a row and the similarity. `scratch` is as `Join` has
    it."""
    across = _Across(rows)
    found = _Found(len(rows))
    if across.held_out.any():
        for first, second, similarity in Join(rows, threshold, tell, scratch).pairs(across):
            row, other = (second, first) if across.held_out[first] else (first, second)
            if across.open[row]:
                across.open[row] = False
                found.add(row, other, similarity)
    return found


class _Found(Mapping[int, tuple[int, float]]):
    """What a row is alike to. 12 bytes of memory a row, whether or not there is something."""

    def __init__(self, rows: int) -> None:
        self._others = array("I", bytes(4 * rows))
        self._similarities = array("d", bytes(8 * rows))
        """0: there is none."""

    def add(self, row: int, other: int, similarity: float) -> None:
        self._others[row], self._similarities[row] = other, similarity

    def __getitem__(self, row: int) -> tuple[int, float]:
        if not self._similarities[row]:
            raise KeyError(row)
        return self._others[row], self._similarities[row]

    def __iter__(self) -> Iterator[int]:
        return (row for row, similarity in enumerate(self._similarities) if similarity)

    def __len__(self) -> int:
        return sum(map(bool, self._similarities))


class _Across:
    """A validation row and a training row that is not known to be like one."""

    def __init__(self, rows: Sequence[Example]) -> None:
        import numpy as np

        sides = (example.split == split.VALIDATION for example in rows)
        self.held_out = np.fromiter(sides, bool, len(rows))
        self.open = ~self.held_out
        """Training rows of which nothing is known."""

    def worth(self, first: Any, second: Any) -> Any:
        held_out, open = self.held_out, self.open
        return (held_out[first] & open[second]) | (held_out[second] & open[first])

    def ahead(self, rows: Any) -> Any:
        return self.held_out[rows]

    def settled(self, rows: Any) -> bool:
        return not (self.held_out[rows].any() and self.open[rows].any())
