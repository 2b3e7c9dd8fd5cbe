"""How many words on end of an output stand in the training rows, one after another."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from workbench.data.curate.findings import parts
from workbench.data.curate.grams import END, Words
from workbench.data.example import Example

LONG = 40
"""Words of a run that is long: some 50 tokens of English, from which on Carlini et al. 2022
("Quantifying Memorization Across Neural Language Models") call a text extractable."""


class Copies:
    """Finds the longest run of words of each of some texts in rows that come by one at a time.

    Memory grows with the texts alone, whose words are a suffix automaton (Blumer et al. 1985);
    time with the words of texts and rows: some million words of rows in two seconds. Words are told
    apart without case and punctuation, as the check of contamination has it; no run reaches over
    the end of a turn.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = Words()
        self._texts = [self._words.learn([text]) for text in texts]
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        for words in {text.tobytes(): text for text in self._texts}.values():
            self._add(words)
        self._seen = [0] * len(self._next)

    def look(self, rows: Iterable[Example]) -> None:
        """Look through rows, of which each is read once and none is kept."""
        for row in rows:
            for part in parts(row):
                self._walk(self._words.read(part.text))

    def longest(self) -> list[int]:
        """Of each text, the words of its longest run that was seen."""
        seen = self._seen[:]
        for state in sorted(range(1, len(seen)), key=self._length.__getitem__, reverse=True):
            link = self._link[state]
            if seen[state] and link > 0:
                # Where a run was seen, so was its end, of which the link knows.
                seen[link] = self._length[link]
        ends = [0] * len(seen)
        for state in sorted(range(1, len(seen)), key=self._length.__getitem__):
            ends[state] = seen[state] or ends[self._link[state]]
        return [self._longest(text, ends) for text in self._texts]

    def _longest(self, text: array[int], ends: list[int]) -> int:
        state = most = 0
        for word in text:
            if word == END:
                break
            state = self._next[state][word]
            most = max(most, ends[state])
        return most

    def _walk(self, words: array[int]) -> None:
        following, link, lengths, seen = self._next, self._link, self._length, self._seen
        state = length = 0
        for word in words:
            if word <= END:
                state = length = 0
                continue
            while state and word not in following[state]:
                state = link[state]
                length = lengths[state]
            if word in following[state]:
                state = following[state][word]
                length += 1
                if length > seen[state]:
                    seen[state] = length

    def _add(self, words: array[int]) -> None:
        """One more text: from the root on, so that no run reaches over into another."""
        last = 0
        for word in words:
            if word == END:
                break
            last = self._extend(last, word)

    def _extend(self, last: int, word: int) -> int:
        known = self._next[last].get(word)
        if known is not None:
            return self._split(last, known, word)
        new = self._state({}, self._length[last] + 1, 0)
        state = last
        while state != -1 and word not in self._next[state]:
            self._next[state][word] = new
            state = self._link[state]
        if state != -1:
            self._link[new] = self._split(state, self._next[state][word], word)
        return new

    def _split(self, state: int, target: int, word: int) -> int:
        """The state of just what leads from `state` over a word to `target`, apart from longer
        texts that end alike."""
        if self._length[target] == self._length[state] + 1:
            return target
        clone = self._state(dict(self._next[target]), self._length[state] + 1, self._link[target])
        self._link[target] = clone
        while state != -1 and self._next[state].get(word) == target:
            self._next[state][word] = clone
            state = self._link[state]
        return clone

    def _state(self, following: dict[int, int], length: int, link: int) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(link)
        return len(self._next) - 1
