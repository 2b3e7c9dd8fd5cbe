"""Groups of rows that a split must not part: the same key, or alike to some degree."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import split
from workbench.data.curate.alike import Join
from workbench.data.example import Example
from workbench.data.split import Key
from workbench.jobs.progress import Tell, watched


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each row, and what a split knows of each group."""

    of_row: Any
    """Of each row the number of its group, counted from 0; uint32."""
    places: Any
    """Of each group a number in [0, 1) that the seed and one of its keys stand for; float64."""
    sizes: Any
    """Of each group its rows, int64."""

    def __len__(self) -> int:
        return len(self.places)


def grouped(
    rows: Sequence[Example],
    seed: int,
    key: Key,
    threshold: float | None,
    tell: Tell,
    scratch: Path | None = None,
) -> Groups:
    """The groups of rows that have the same key and, with a threshold, of those with a Jaccard
    similarity of at least that: the components of both relations together, so that no two rows
    of different groups are alike.

    A group's place is that of the row whose key has the least SHA-256 of all its keys, which the
    order of the rows does not change. A row that is added changes the place of no group that it
    isn't alike to; of one of n keys that it joins, with a chance of 1 in n + 1. `scratch` is
    where the join of rows that are alike keeps what is on disk.
    """
    import numpy as np

    digests, drawn = array("Q"), array("d")
    for example in watched(rows, "grouping", tell):
        digest = hashlib.sha256(key(example).encode("utf-8", "surrogatepass")).digest()
        digests.append(int.from_bytes(digest[:8]))
        drawn.append(split.place_of(example, seed, key))
    keys, places = np.asarray(digests), np.asarray(drawn)
    labels = np.unique(keys, return_inverse=True)[1].astype(np.uint32)
    if threshold is not None:
        components = _Components(labels)
        for first, second, _ in Join(rows, threshold, tell, scratch).pairs(components):
            components.join(first, second)
        labels = components.labels
    _, of_row, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # The first of each group in this order is the row with its least key.
    firsts = np.lexsort((keys, of_row))[np.cumsum(sizes) - sizes]
    return Groups(of_row.astype(np.uint32), places[firsts], sizes)


class _Components:
    """Rows by the component that they are in so far: those of one need not be compared.

    12 bytes of memory a row.
    """

    def __init__(self, labels: Any) -> None:
        """`labels` are numbers from 0, one a row, uint32."""
        import numpy as np

        order = np.argsort(labels, kind="stable").astype(np.uint32)
        sizes = np.bincount(labels).astype(np.uint32)
        ends = np.cumsum(sizes)
        following = np.roll(order, -1)
        following[ends - 1] = order[ends - sizes]
        circles = np.empty(len(order), np.uint32)
        circles[order] = following
        self._label = array("I", labels.tobytes())
        self._next = array("I", circles.tobytes())
        """Of each row the next one of its component: they stand in a circle."""
        self._sizes = array("I", sizes.tobytes())
        self.labels = np.asarray(self._label)

    def worth(self, first: Any, second: Any) -> Any:
        return self.labels[first] != self.labels[second]

    def ahead(self, rows: Any) -> Any:
        return rows < 0  # None: what comes first is as good as any.

    def settled(self, rows: Any) -> bool:
        return bool((self.labels[rows] == self.labels[rows[0]]).all())

    def join(self, first: int, second: int) -> None:
        """Make one component of those of two rows."""
        if self._label[first] == self._label[second]:
            return
        if self._sizes[self._label[first]] < self._sizes[self._label[second]]:
            first, second = second, first
        label = self._label[first]
        self._sizes[label] += self._sizes[self._label[second]]
        row = second
        while self._label[row] != label:
            self._label[row] = label
            row = self._next[row]
        self._next[first], self._next[second] = self._next[second], self._next[first]
