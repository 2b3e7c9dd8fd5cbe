"""An index of the n-grams of some texts: which of these share how much with each of many rows.

Words are numbers. A word that none of the texts has is 0, and after each turn stands END: no
n-gram reaches over either.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from workbench.data.curate.words import UNSPACED

# A sign of arithmetic counts where a number follows: 3 + 4 is not 3 - 4.
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[-+*/^<>=×÷−](?=\s?\d)")
END = 1
_MIX = 0x9E3779B97F4A7C15
_MUCH = 0.3
"""How much of a text is much, when rarity is counted. Without it, of 20 questions with 30 % of
their words changed that are there 200 times each half are missed, not a quarter."""
_CANDIDATES = 50
"""Texts of one row that are looked at closer, those that it holds the most of."""
_PAIRS = 1 << 20
"""Of a row's n-gram and a text, which are counted at once: takes some 50 MB."""


class Words:
    """The numbers of the words of some texts."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def learn(self, turns: Iterable[str]) -> array[int]:
        """The numbers of a text's words, all of which are known from now on."""
        known = self._numbers
        numbers = array("I")
        for turn in turns:
            for word in map(str.casefold, WORD.findall(turn)):
                numbers.append(known.setdefault(word, END + 1 + len(known)))
            numbers.append(END)
        return numbers

    def read(self, turn: str) -> array[int]:
        """The numbers of the words of a row's turn, and END."""
        words = map(str.casefold, WORD.findall(turn))
        numbers = array("I", map(self._numbers.get, words, repeat(0)))
        numbers.append(END)
        return numbers


def keys(numbers: array[int], gram: int) -> Any:
    """64 bits for each n-gram, at the place of its first word; 0 where there is none.

    Two that differ have the same once in 10^19.
    """
    import numpy as np

    words = np.frombuffer(numbers, np.uint32).astype(np.uint64)
    count = max(0, len(words) - gram + 1)
    found = np.zeros(count, np.uint64)
    whole = np.ones(count, bool)
    for place in range(gram):
        word = words[place : place + count]
        # Multiplied after the last word too, so that it changes the highest bits.
        found = (found + word) * np.uint64(_MIX)
        whole &= word > END
    return np.where(whole, found, np.uint64(0))


def distinct(numbers: array[int], gram: int) -> Any:
    """The keys of the n-grams, in order of the keys, each once."""
    import numpy as np

    found = np.unique(keys(numbers, gram))
    return found[found > 0]


def joined(turns: Iterable[array[int]]) -> array[int]:
    """The words of turns, one turn after another."""
    words = array("I")
    for turn in turns:
        words.extend(turn)
    return words


class Index:
    """The n-grams of some texts, and which of the texts hold each."""

    def __init__(self, texts: Sequence[array[int]], gram: int, common: int) -> None:
        """An n-gram that more than `common` of the texts hold counts for none of them, but for
        a text that holds no rarer one."""
        import numpy as np

        self.gram = gram
        held = [distinct(text, gram) for text in texts]
        holders = np.repeat(np.arange(len(texts), dtype=np.uint32), [len(of) for of in held])
        flat = np.concatenate([np.zeros(0, np.uint64), *held])
        self._keys, grams, self._holding = np.unique(flat, return_inverse=True, return_counts=True)
        self._limits = np.full(len(texts), len(texts))
        np.minimum.at(self._limits, holders, self._holding[grams])
        self._limits = np.maximum(self._limits, common)
        counts = np.flatnonzero(self._holding[grams] <= self._limits[holders])
        counts = counts[np.argsort(grams[counts], kind="stable")]
        # The texts of each n-gram, one n-gram after another.
        self._holders, self._grams = holders[counts], grams[counts]
        self._counted = np.bincount(self._grams, minlength=len(self._keys))
        self._starts = np.cumsum(self._counted) - self._counted
        # A table of bits tells most n-grams that are none of these at once.
        bits = max(16, (8 * len(self._keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self._keys >> self._shift] = True
        self._set_weights(np.ones(len(self._keys)))

    def _set_weights(self, weights: Any) -> None:
        self._weights = weights
        self._totals = self._of_texts(weights)

    def _of_texts(self, worth: Any) -> Any:
        """Of each text, what its n-grams are worth in all."""
        import numpy as np

        return np.bincount(self._holders, worth[self._grams], minlength=len(self._limits))

    def own(self) -> Any:
        """Of each text, how many n-grams are its own; of one that n texts hold each has 1/n."""
        return self._of_texts(1 / self._holding)

    def weigh(self, samples: Iterable[Sequence[array[int]]]) -> None:
        """Let an n-gram count the more, the fewer of these rows and of the texts hold it.

        By the logarithm of its rarity among the rows: what many hold, one more holds by chance.
        And by the square of the number of texts: ten lines of examples that 25 questions begin
        with outweigh each of these still if they count 1/25. A row that holds much of a text says
        nothing of chance, and isn't counted.
        """
        import numpy as np

        self._set_weights(1 / self._holding**2)
        much = np.full(len(self._limits), _MUCH)
        rows, seen = 0, np.zeros(len(self._keys))
        for sample in samples:
            of, grams = self._shared(sample)
            holding = [row for row, _ in self._near(of, grams, much)]
            seen += np.bincount(grams[~np.isin(of, holding)], minlength=len(seen))
            rows += len(sample)
        self._set_weights(np.log((rows + 2) / np.maximum(seen, 1)) / self._holding**2)

    def weights(self, text: int, numbers: array[int]) -> dict[int, float]:
        """What each n-gram of a text, of which these are the words, counts for, by its key: 1 in
        all."""
        import numpy as np

        held = distinct(numbers, self.gram)
        places = np.searchsorted(self._keys, held)
        counts = self._holding[places] <= self._limits[text]
        weights = np.where(counts, self._weights[places] / self._totals[text], 0)
        return dict(zip(held.tolist(), weights.tolist(), strict=True))

    def near(self, rows: Sequence[array[int]], needed: Any) -> list[tuple[int, int]]:
        """The rows that hold at least the share of a text's n-grams that is `needed` of it, each
        with that text; in order of the rows, the most first."""
        return self._near(*self._shared(rows), needed)

    def _shared(self, rows: Sequence[array[int]]) -> tuple[Any, Any]:
        """The n-grams that rows share with the texts, each once a row: which row it is, and
        which n-gram."""
        import numpy as np

        found = keys(joined(rows), self.gram)
        maybe = np.flatnonzero(self._table[found >> self._shift])
        places = np.searchsorted(self._keys, found[maybe])
        known = self._keys[np.minimum(places, len(self._keys) - 1)] == found[maybe]
        of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])[maybe[known]]
        return np.divmod(np.unique(of * len(self._keys) + places[known]), len(self._keys))

    def _near(self, of: Any, grams: Any, needed: Any) -> list[tuple[int, int]]:
        import numpy as np

        sizes = self._counted[grams]
        if sizes.sum() > _PAIRS and of[0] < of[-1]:
            half = np.searchsorted(of, (of[0] + of[-1] + 1) // 2)
            first = self._near(of[:half], grams[:half], needed)
            return first + self._near(of[half:], grams[half:], needed)
        # The places of the texts of each n-gram, one n-gram after another.
        places = np.repeat(self._starts[grams] - np.cumsum(sizes) + sizes, sizes)
        places += np.arange(len(places))
        pairs = np.repeat(of, sizes) * len(needed) + self._holders[places]
        met, which = np.unique(pairs, return_inverse=True)
        rows, texts = np.divmod(met, len(needed))
        shares = np.bincount(which, np.repeat(self._weights[grams], sizes)) / self._totals[texts]
        enough = np.flatnonzero(shares >= needed[texts])
        # Rounded, so that of those with the same share the first text comes first.
        enough = enough[np.lexsort((-shares[enough].round(9), rows[enough]))]
        rows, texts = rows[enough], texts[enough]
        few = np.arange(len(rows)) - np.searchsorted(rows, rows) < _CANDIDATES
        return list(zip(rows[few].tolist(), texts[few].tolist(), strict=True))
