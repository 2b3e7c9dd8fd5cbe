"""Groups of rows that a split must not part: the same key, or alike to some degree."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data import split
from workbench.data.curate.alike import Join
from workbench.data.example import Example
from workbench.data.split import Key
from workbench.jobs.progress import Tell, watched


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each row, and what a split knows of each group."""

    of_row: list[int]
    """Of each row the number of its group, counted from 0."""
    places: list[float]
    """Of each group a number in [0, 1) that the seed and one of its keys stand for."""
    sizes: list[int]
    """Of each group its rows."""

    def __len__(self) -> int:
        return len(self.places)


def grouped(
    rows: Sequence[Example], seed: int, key: Key, threshold: float | None, tell: Tell
) -> Groups:
    """The groups of rows that have the same key and, with a threshold, of those with a Jaccard
    similarity of at least that: the components of both relations together, so that no two rows
    of different groups are alike.

    A group's place is that of the row whose key has the least SHA-256 of all its keys, which the
    order of the rows does not change. A row that is added changes the place of no group that it
    isn't alike to; of one of n keys that it joins, with a chance of 1 in n + 1.
    """
    import numpy as np

    digests, places = array("Q"), array("d")
    for example in watched(rows, "grouping", tell):
        digest = hashlib.sha256(key(example).encode("utf-8", "surrogatepass")).digest()
        digests.append(int.from_bytes(digest[:8]))
        places.append(split.place_of(example, seed, key))
    keys = np.array(digests, np.uint64)
    labels = np.unique(keys, return_inverse=True)[1]
    if threshold is not None:
        labels = _joined(rows, labels, threshold, tell)
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # The first of each group in this order is the row with its least key.
    order = np.lexsort((keys, labels))
    firsts = order[np.cumsum(sizes) - sizes]
    return Groups(labels.tolist(), np.array(places)[firsts].tolist(), sizes.tolist())


def _joined(rows: Sequence[Example], labels: Any, threshold: float, tell: Tell) -> Any:
    """The labels, with one for all groups that have rows alike."""
    components = _Components(labels)
    for first, second, _ in Join(rows, threshold, tell).pairs(components):
        components.join(first, second)
    return components.labels


class _Components:
    """Rows by the component that they are in so far: those of one need not be compared."""

    def __init__(self, labels: Any) -> None:
        """`labels` are numbers from 0, one a row, and are changed."""
        import numpy as np

        self.labels = labels
        self._order = np.argsort(labels, kind="stable")
        numbers = np.arange(labels.max(initial=-1) + 2)
        self._starts = np.searchsorted(labels[self._order], numbers)
        self._members: dict[int, list[int]] = {}

    def worth(self, first: Any, second: Any) -> Any:
        return self.labels[first] != self.labels[second]

    def ahead(self, rows: Any) -> Any:
        return rows < 0  # None: what comes first is as good as any.

    def settled(self, rows: Any) -> bool:
        return bool((self.labels[rows] == self.labels[rows[0]]).all())

    def join(self, first: int, second: int) -> None:
        """Make one component of those of two rows."""
        one, other = int(self.labels[first]), int(self.labels[second])
        if one == other:
            return
        larger, smaller = self._take(one), self._take(other)
        if len(larger) < len(smaller):
            one, larger, smaller = other, smaller, larger
        self.labels[smaller] = one
        larger += smaller
        self._members[one] = larger

    def _take(self, label: int) -> list[int]:
        known = self._members.pop(label, None)
        if known is not None:
            return known
        return list(self._order[self._starts[label] : self._starts[label + 1]].tolist())
