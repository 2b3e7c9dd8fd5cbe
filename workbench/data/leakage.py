"""Training rows that say almost what a validation row says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.data import split
from workbench.data.curate.alike import Join
from workbench.data.example import Example
from workbench.jobs.progress import Tell


def alike_across(
    rows: Sequence[Example], threshold: float, tell: Tell
) -> dict[int, tuple[int, float]]:
    """The places of the training rows whose Jaccard similarity to a validation row is at least
    `threshold`, each with the place of such a row and the similarity."""
    across = _Across(rows)
    found: dict[int, tuple[int, float]] = {}
    if across.held_out.any():
        for first, second, similarity in Join(rows, threshold, tell).pairs(across):
            row, other = (second, first) if across.held_out[first] else (first, second)
            found.setdefault(row, (other, similarity))
            across.open[row] = False
    return found


class _Across:
    """A validation row and a training row that is not known to be like one."""

    def __init__(self, rows: Sequence[Example]) -> None:
        import numpy as np

        self.held_out = np.array([example.split == split.VALIDATION for example in rows], bool)
        self.open = ~self.held_out
        """Training rows of which nothing is known."""

    def worth(self, first: Any, second: Any) -> Any:
        held_out, open = self.held_out, self.open
        return (held_out[first] & open[second]) | (held_out[second] & open[first])

    def ahead(self, rows: Any) -> Any:
        return self.held_out[rows]

    def settled(self, rows: Any) -> bool:
        return not (self.held_out[rows].any() and self.open[rows].any())
