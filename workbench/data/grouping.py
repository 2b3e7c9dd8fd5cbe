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
    import numpy as np

    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(labels.max(initial=-1) + 2))
    members: dict[int, list[int]] = {}

    def of(label: int) -> list[int]:
        return members.pop(label, None) or order[starts[label] : starts[label + 1]].tolist()

    def apart(first: Any, second: Any) -> Any:
        return labels[first] != labels[second]

    for first, second, _ in Join(rows, threshold, tell).pairs(apart):
        one, other = int(labels[first]), int(labels[second])
        if one == other:
            continue
        larger, smaller = of(one), of(other)
        if len(larger) < len(smaller):
            one, larger, smaller = other, smaller, larger
        labels[smaller] = one
        larger += smaller
        members[one] = larger
    return labels
