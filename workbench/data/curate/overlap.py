"""What of a text is in a row, to the word: the proof of what an index of n-grams found."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workbench.data.curate.grams import END, keys


@dataclass(frozen=True, slots=True)
class Overlap:
    """Words are counted from 0, with the end of each turn as one."""

    share: float
    """How much of the text is in the row."""
    here: list[range]
    """Which words of the row."""
    there: list[range]
    """Which words of the text."""

    @property
    def stretch(self) -> range:
        """From the first of these words of the row to the last."""
        return range(self.here[0].start, self.here[-1].stop)


def whole(text: array[int], row: array[int]) -> Overlap | None:
    """Whether a row holds every turn of a text, word for word."""
    here, there = [], []
    start = 0
    for place, number in enumerate(text):
        if number == END:
            if place > start:
                found = _find(row, text[start:place])
                if found < 0:
                    return None
                here.append(range(found, found + place - start))
                there.append(range(start, place))
            start = place + 1
    return Overlap(1.0, sorted(here, key=lambda run: run.start), there)


def _find(row: array[int], wanted: array[int]) -> int:
    """Where a row has these words, one after another; -1 where it doesn't."""
    bytes_of_row, bytes_wanted = row.tobytes(), wanted.tobytes()
    place = bytes_of_row.find(bytes_wanted)
    while place % row.itemsize and place >= 0:
        place = bytes_of_row.find(bytes_wanted, place + 1)
    return place // row.itemsize


def of_grams(
    text: array[int],
    row: array[int],
    gram: int,
    weights: Mapping[int, float],
    *,
    within: int | None = None,
    of_words: bool = False,
) -> Overlap | None:
    """How much of a text's n-grams a row holds, by their weights, or how many of its words are
    in one of them.

    With `within`, only in that stretch of so many words that holds the most.
    """
    theirs = keys(text, gram).tolist()
    ours = keys(row, gram).tolist()
    found = [(place, key) for place, key in enumerate(ours) if key in weights]
    if within is not None:
        found = _densest(found, within, weights)
    if not found:
        return None
    shared = {key for _, key in found}
    here = _runs((place for place, _ in found), gram)
    there = _runs((place for place, key in enumerate(theirs) if key in shared), gram)
    if of_words:
        share = sum(map(len, there)) / (len(text) - text.count(END))
    else:
        share = math.fsum(weights[key] for key in shared)
    return Overlap(share, here, there)


def _densest(
    found: list[tuple[int, int]], within: int, weights: Mapping[int, float]
) -> list[tuple[int, int]]:
    """Those of the n-grams found, each with its place, that begin within so many words of each
    other and weigh the most, each counted once."""
    held: Counter[int] = Counter()
    weight, most, best, first = 0.0, 0.0, (0, 0), 0
    for last, (place, key) in enumerate(found):
        if not held[key]:
            weight += weights[key]
        held[key] += 1
        while place - found[first][0] >= within:
            gone = found[first][1]
            held[gone] -= 1
            if not held[gone]:
                weight -= weights[gone]
            first += 1
        if weight > most:
            most, best = weight, (first, last + 1)
    start, end = best
    while 0 < end < len(found) and found[end][0] == found[end - 1][0] + 1:
        # It goes on with n-grams that it has already.
        end += 1
    return found[start:end]


def _runs(places: Iterable[int], gram: int) -> list[range]:
    """The words of n-grams at these places, in order; those that touch are one run."""
    runs: list[range] = []
    for place in places:
        if runs and place <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, place + gram)
        else:
            runs.append(range(place, place + gram))
    return runs
