"""Near-duplicates across the splits: validation rows that say almost what a training row says.

As near-duplicates are found, but each validation row is compared with every training row that
shares a band with it, duplicates among themselves or not: the one that it is alike to may be a
duplicate of a third row that it is not alike to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

from workbench.data.curate.duplicates import (
    Options,
    band_keys,
    jaccard,
    shared_only,
    shingles,
    text_of,
)
from workbench.data.curate.findings import Finding, Other
from workbench.data.example import Example
from workbench.data.split import TRAIN
from workbench.jobs.progress import Tell, untold, watched

__all__ = ["KINDS", "NAME", "VERSION", "Options", "annotate"]

NAME = "near-duplicates-across-splits"
VERSION = 2
KINDS = ("across-splits",)
_KEPT = 4096
"""Rows whose shingles are kept for the next comparison."""
_DEFAULT = Options()


def annotate(
    rows: Sequence[Example], options: Options = _DEFAULT, *, tell: Tell = untold
) -> Iterator[Finding]:
    """The validation rows that are alike enough to a training row, in order; the other row of a
    finding is the most alike, and its score the Jaccard similarity of the threes of words.

    Rows are read twice, and those that have candidates once more: `rows` need not be in memory.
    Takes some 300 bytes a row. The same rows give the same findings.
    """
    keys = band_keys(rows, tell)
    shared = shared_only(keys, tell)
    validation: list[int] = []
    index: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row in watched(shared, "splits", tell):
        if rows[row].split != TRAIN:
            validation.append(row)
            continue
        for band in enumerate(keys[row].tolist()):
            if band[1]:
                index[band].append(row)

    @lru_cache(maxsize=_KEPT)
    def held(row: int) -> frozenset[str]:
        return shingles(text_of(rows[row]))

    for row in watched(validation, "comparing", tell):
        bands = enumerate(keys[row].tolist())
        candidates = {c for band in bands if band[1] for c in index.get(band, ())}
        # Of those that are alike to the same degree, the first.
        best = max(((jaccard(held(row), held(c)), -c) for c in candidates), default=(0.0, 0))
        if best[0] >= options.threshold:
            yield _found(row, -best[1], best[0])


def _found(row: int, trained: int, similarity: float) -> Finding:
    reason = f"{100 * similarity:.0f} % of the threes of words are those of row {trained + 1:,}"
    if similarity == 1:
        reason = f"it has the very words of row {trained + 1:,}"
    return Finding(
        row, KINDS[0], f"{reason}, which is trained on", similarity, other=Other(trained)
    )
