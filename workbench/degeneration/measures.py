"""How much a text repeats itself, in numbers: plain functions of one text.

Words are those of `workbench.data.curate.words`, in lower case: a sign of Chinese is one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.data.curate.words import WORD

WINDOW = 1000
"""Bytes whose compression is measured: some 220 tokens of English, which is as much as one of
Whisper's segments has (224 tokens). Longer texts compress better by their length alone."""
_LOOKED_AT = 8000
"""Characters of a text's end in which a loop is looked for."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A phrase that a text ends in, over and over."""

    phrase: str
    start: int
    """Where the first of them begins, in the text."""
    times: float
    """How many times it stands there; the last may be a part of it."""


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return WORD.findall(text.casefold())


def rep(found: Sequence[str], n: int) -> float:
    """rep-n: 1 - unique n-grams / n-grams, 0 where there is none.

    seq-rep-n of Welleck et al. 2020 (Neural Text Generation with Unlikelihood Training, section
    6.1), which counts tokens; here `found` are words.
    """
    grams = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(found: Sequence[str], n: int) -> float:
    """distinct-n: unique n-grams / words, 1 where there is no n-gram.

    Li et al. 2016 (A Diversity-Promoting Objective Function for Neural Conversation Models,
    section 5.2). It falls with a text's length.
    """
    grams = {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}
    return len(grams) / len(found) if grams else 1.0


def compression(text: str) -> float:
    """Bytes over compressed bytes (zlib), of the `WINDOW` bytes that compress best; 0 of nothing.

    As Whisper's `compression_ratio` (Radford et al. 2022, section 4.5), which is of a segment.
    """
    content = text.encode("utf-8", "surrogatepass")
    starts = range(0, max(1, len(content) - WINDOW // 2), WINDOW // 2)
    windows = [content[start : start + WINDOW] for start in starts]
    return max(len(window) / len(zlib.compress(window)) for window in windows)


def loop(text: str) -> Loop | None:
    """The phrase that the text ends in at least twice in a row: that which covers most of it, the
    shortest of those. White space at the end counts for nothing.

    Linear: the Z-function of the reversed text tells, for each length of a phrase, how far back
    from the end the text is the same as that much before.
    """
    text = text.rstrip()
    backwards = text[: -_LOOKED_AT - 1 : -1]
    same = _same_as_beginning(backwards)
    size = len(backwards)
    periods = (p for p in range(1, size // 2 + 1) if same[p] >= p)
    period = max(periods, key=lambda p: (same[p] + p, -p), default=0)
    if not period:
        return None
    covered = same[period] + period
    start = len(text) - covered
    return Loop(text[start : start + period], start, covered / period)


def _same_as_beginning(text: str) -> list[int]:
    """The Z-function: for each place, how many characters from there on are those that the text
    begins with (Gusfield 1997, Algorithms on Strings, 1.4)."""
    size = len(text)
    same = [0] * size
    left = right = 0
    for place in range(1, size):
        count = min(right - place, same[place - left]) if place < right else 0
        while place + count < size and text[count] == text[place + count]:
            count += 1
        same[place] = count
        if place + count > right:
            left, right = place, place + count
    return same
