"""Which label an answer gives, and whether a task's references are labels at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workbench.data.curate.words import WORD

FEWEST_ROWS = 2
"""Rows for each label at least: else every reference is an answer of its own."""
MOST_LABELS = 100
MOST_WORDS = 5
_SAID = re.compile(
    r"\b(?:answer|label|category|class|classification|sentiment|topic)\b\s*(?:is|:|=)+\s*",
    re.IGNORECASE,
)

_Words = tuple[str, ...]


class Tally:
    """Takes in a task's references one by one, and says whether they are labels."""

    def __init__(self) -> None:
        self._found: dict[_Words, str] | None = {}
        self._rows = 0

    def add(self, reference: str) -> None:
        """One more reference."""
        self._rows += 1
        if self._found is None:
            return
        words = _words(reference)
        if not reference.strip() or len(words) > MOST_WORDS:
            self._found = None
            return
        self._found.setdefault(words, reference.strip())
        if len(self._found) > MOST_LABELS:
            self._found = None

    def labels(self) -> tuple[str, ...]:
        """The labels, in order of the alphabet; empty where the references are something else:
        more than 100 different ones, fewer than two rows for each, one alone, more than five
        words."""
        if not self._found or len(self._found) < 2:
            return ()
        if self._rows < FEWEST_ROWS * len(self._found):
            return ()
        return tuple(sorted(self._found.values()))


def of_references(references: Iterable[str]) -> tuple[str, ...]:
    """The labels that a task's references are, as `Tally` tells them."""
    tally = Tally()
    for reference in references:
        tally.add(reference)
    return tally.labels()


class Labels:
    """Finds a task's labels in answers. Case, punctuation and white space count for nothing."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._by_words = {_words(label): label for label in labels}
        self._longest_first = sorted(self._by_words, key=len, reverse=True)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_words.values())

    def exactly(self, text: str) -> str | None:
        """The label that a text is, such as a reference; None for any other text."""
        return self._by_words.get(_words(text))

    def find(self, text: str) -> str | None:
        """The label that an answer gives; None where it gives none, or several.

        In this order: the whole answer, its first line, what follows the last `answer is`,
        `label:` or the like, what it begins with, the only one that is in it. A label of one
        letter must be the whole, or stand before one of `.):,`: "a" is a word as well.
        """
        stripped = text.strip()
        first_line = stripped.partition("\n")[0]
        if (whole := self.exactly(stripped) or self.exactly(first_line)) is not None:
            return whole
        said = list(_SAID.finditer(stripped))
        if said and (begun := self._beginning(stripped[said[-1].end() :])) is not None:
            return begun
        if (begun := self._beginning(stripped)) is not None:
            return begun
        inside = self._inside(_words(stripped))
        return inside.pop() if len(inside) == 1 else None

    def _beginning(self, text: str) -> str | None:
        places = list(WORD.finditer(text[:1000]))
        words = tuple(place[0].casefold() for place in places)
        for label in self._longest_first:
            if words[: len(label)] != label:
                continue
            after = text[places[len(label) - 1].end() :]
            if not _is_letter(label) or not after.strip() or after[0] in ".):,\n":
                return self._by_words[label]
        return None

    def _inside(self, words: _Words) -> set[str]:
        found: set[str] = set()
        place = 0
        while place < len(words):
            here = next(
                (
                    label
                    for label in self._longest_first
                    if not _is_letter(label) and words[place : place + len(label)] == label
                ),
                None,
            )
            if here is not None:
                found.add(self._by_words[here])
            place += len(here) if here else 1
        return found


def _words(text: str) -> _Words:
    # What has no word, such as `+`, is compared as it is.
    return tuple(map(str.casefold, WORD.findall(text))) or (text.strip(),)


def _is_letter(label: _Words) -> bool:
    return len(label) == 1 and len(label[0]) == 1
