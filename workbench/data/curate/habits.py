"""What a set's responses have in common: how long they are, how they open, close and end.

One response stands out, or is one of many, only beside the others of its task.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from workbench.data.curate.endings import Ending
from workbench.data.curate.tally import Tally
from workbench.data.curate.words import WORD, gram

FEWEST = 20
"""Responses of a task that say something about it."""
DEVIATIONS = 3.5
"""Iglewicz and Hoaglin's limit for the modified z-score ("How to Detect and Handle Outliers",
1993): of normally distributed values 1 in 2,000 is beyond it."""
_MAD_OF_NORMAL = 1.4826
"""A normal distribution's standard deviation is so many median absolute deviations."""
_NARROWEST = math.log(3)
"""A response of a third or three times the usual length never stands out, however alike the
others are."""
_TOO_MANY = 0.05
"""Where more than that are beyond the limits, the lengths are of several kinds, none odd."""
_LONG, _SHORT = 8, 4
"""Words that responses share where they open or close. The longer are named where both do."""
_BESIDE = 4
"""Words that a response has besides: a label is no opening of anything."""
_EDGE = 240
"""Characters among which they are looked for."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The words that a text opens or closes with."""

    closing: bool
    words: str
    start: int
    end: int

    @property
    def key(self) -> str:
        """What it is counted by."""
        return f"{'…' * self.closing}{self.words}"


def edges(text: str) -> Iterator[Edge]:
    """How a text opens, in more words and in fewer, and how it closes."""
    for closing in (False, True):
        start = max(0, len(text) - _EDGE) if closing else 0
        places = list(WORD.finditer(text, start, start + _EDGE))
        words = [place[0].casefold() for place in places]
        for n in (_LONG, _SHORT):
            count = gram(words, n)
            if len(words) < count + gram(words, _BESIDE):
                continue
            edge = slice(-count, None) if closing else slice(count)
            first, *_, last = places[edge]
            yield Edge(closing, " ".join(words[edge]), first.start(), last.end())


class Habits:
    """Of one task's responses: each is added, then they are settled, then one asks."""

    def __init__(self) -> None:
        self._logs = array("d")
        self._edges = Tally()
        self._endings: Counter[Ending] = Counter()
        self._middle = self._width = 0.0

    def add(self, text: str, end: Ending) -> None:
        """Take in a response that isn't empty."""
        self._logs.append(math.log(len(text)))
        self._endings[end] += 1
        for edge in edges(text):
            self._edges.add(edge.key)

    def settle(self, deviations: float, share: float) -> None:
        """All responses are added: lengths stand out from so many deviations on, words are
        shared by at least that share of the responses."""
        self._edges.keep(max(FEWEST // 2, math.ceil(share * len(self._logs))))
        if len(self._logs) < FEWEST:
            return
        self._middle = median(self._logs)
        spread = _MAD_OF_NORMAL * median(abs(log - self._middle) for log in self._logs)
        self._width = max(deviations * spread, _NARROWEST)
        beyond = sum(abs(log - self._middle) > self._width for log in self._logs)
        if beyond > _TOO_MANY * len(self._logs):
            self._width = 0.0

    @property
    def proper(self) -> float:
        """The share that ends as sentences end, of those that end with one; 0 for too few."""
        proper, cut = self._endings[Ending.PROPER], self._endings[Ending.CUT]
        return proper / (proper + cut) if proper >= FEWEST else 0.0

    @property
    def usual(self) -> tuple[float, float, float] | None:
        """The middle length in characters, the shortest and the longest that don't stand out;
        None where there are too few responses, or no usual length."""
        if not self._width:
            return None
        logs = (self._middle, self._middle - self._width, self._middle + self._width)
        return math.exp(logs[0]), math.exp(logs[1]), math.exp(logs[2])

    def shared(self, text: str) -> Iterator[tuple[Edge, float]]:
        """The words that a response opens or closes with as many others do, and what share of
        the responses does."""
        found: dict[bool, tuple[Edge, float]] = {}
        for edge in edges(text) if self._edges else ():
            if edge.closing not in found and (count := self._edges.count(edge.key)):
                found[edge.closing] = edge, count / len(self._logs)
        yield from found.values()
