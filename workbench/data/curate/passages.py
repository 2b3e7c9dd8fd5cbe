"""Sentences that many rows have word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.data.curate.tally import Tally
from workbench.data.curate.words import WORD, gram

FEWEST_WORDS = 8
"""Shorter sentences are common by chance."""
_SENTENCE = re.compile(r"[^\n.!?。！？]+")

Place = tuple[int, int]


class Passages:
    """The sentences of a set's rows: each row's texts are added, then they are settled, then
    one asks. Case and punctuation make no difference."""

    def __init__(self) -> None:
        self._tally = Tally()

    def add(self, texts: Iterator[str]) -> None:
        """Take in what one row has; what it has twice counts once."""
        for words in {words for text in texts for words, _ in _sentences(text)}:
            self._tally.add(words)

    def settle(self, rows: int) -> None:
        """All rows are added; keep what is in that many of them."""
        self._tally.keep(rows)

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Start and end of each passage that many rows have, sentences that follow each other
        as one, and how many rows have its first sentence."""
        start = end = rows = 0
        for words, place in _sentences(text) if self._tally else ():
            count = self._tally.count(words)
            if not count:
                continue
            if rows and not WORD.search(text, end, place[0]):
                end = place[1]
                continue
            if rows:
                yield start, end, rows
            (start, end), rows = place, count
        if rows:
            yield start, end, rows


def _sentences(text: str) -> Iterator[tuple[str, Place]]:
    """The words of each sentence that has enough, and where it is."""
    for found in _SENTENCE.finditer(text):
        sentence = found[0]
        words = WORD.findall(sentence.casefold())
        if len(words) >= gram(words, FEWEST_WORDS):
            before = len(sentence) - len(sentence.lstrip())
            after = len(sentence) - len(sentence.rstrip())
            yield " ".join(words), (found.start() + before, found.end() - after)
