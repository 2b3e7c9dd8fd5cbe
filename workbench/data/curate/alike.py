"""Every pair of rows that is alike enough, with none missed: a set similarity join.

MinHash finds candidates with a small chance to miss one, which is enough to look at
near-duplicates and too little to prove that none is on both sides of a split. Here a row is
indexed by its rarest shingles, as many as it can't do without: two rows at a Jaccard similarity of
t have one of the rarest (1 - t) of each in common (prefix filter: Bayardo, Ma and Srikant, Scaling
up all pairs similarity search, WWW 2007), not far down in either (positional filter: Xiao, Wang,
Lin and Yu, Efficient similarity joins for near duplicate detection, WWW 2008). What many rows say
is rare in none of them, so a prompt that all share makes no candidates.

Rows are compared as `near-duplicates` compares them. Shingles are counted by 32-bit checksums, of
which two in a row are the same once in a million rows; what is found is proved by the words.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol
from zlib import crc32

from workbench.data.curate.duplicates import jaccard, shingles, text_of
from workbench.data.example import Example
from workbench.jobs.progress import Tell, watched

_COUNTED = 8
"""Bits of a checksum that the table of how frequent a shingle is leaves out: 64 MB of counters."""
_CHUNK = 4096
"""Rows whose rarest shingles are picked at once."""
_FEW = 16
"""Rows that share a shingle and are all compared at once; more are compared one by one, with
those that are still worth it."""
_BATCH = 1 << 20
"""Shingles that are compared at once, and candidates that are gathered."""
_KEPT = 4096
"""Rows whose words are kept for the next proof."""


class Relation(Protocol):
    """Which pairs are looked for. Rows are arrays of places, int64."""

    def worth(self, first: Any, second: Any) -> Any:
        """Whether each pair of a first and a second row need be looked at, bool, as these."""
        ...

    def ahead(self, rows: Any) -> Any:
        """Which rows are best compared with all others before the rest is, bool, as these."""
        ...

    def settled(self, rows: Any) -> bool:
        """Whether no pair of these rows is worth it any more."""
        ...


class Join:
    """The pairs of `rows` whose Jaccard similarity is at least `threshold`.

    Takes 4 bytes a shingle (some 400 a row of 100 words), and 64 MB.
    """

    def __init__(self, rows: Sequence[Example], threshold: float, tell: Tell) -> None:
        import numpy as np

        self._rows = rows
        self._threshold = threshold
        self._tell = tell
        tokens, sizes = array("I"), array("I")
        for example in watched(rows, "shingles", tell):
            found = sorted(
                {crc32(s.encode("utf-8", "replace")) for s in shingles(text_of(example))}
            )
            tokens.extend(found)
            sizes.append(len(found))
        self._tokens = np.frombuffer(tokens, np.uint32) if tokens else np.empty(0, np.uint32)
        self._sizes = np.array(sizes, np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def pairs(self, relation: Relation) -> Iterator[tuple[int, int, float]]:
        """The pairs that are worth it, each with its similarity, always in the same order.

        The relation is asked anew as the search goes on, so that what a pair settles is not looked
        at again; a pair may still come that it has just ruled out.
        """
        held = lru_cache(maxsize=_KEPT)(self._held)
        for first, second in self._candidates(relation):
            for a, b in zip(first.tolist(), second.tolist(), strict=True):
                if (similarity := jaccard(held(a), held(b))) >= self._threshold:
                    yield a, b, similarity

    def _held(self, row: int) -> frozenset[str]:
        return shingles(text_of(self._rows[row]))

    def _candidates(self, relation: Relation) -> Iterator[tuple[Any, Any]]:
        """Pairs that are alike enough by their checksums, each with the earlier row first."""
        import numpy as np

        tokens, rows, ranks = self._prefixes()
        _, heads, lengths = np.unique(tokens, return_index=True, return_counts=True)
        few = np.repeat(lengths <= _FEW, lengths)
        yield from self._among_few(tokens[few], rows[few], ranks[few], relation)
        many = np.flatnonzero(lengths > _FEW).tolist()
        for done, place in enumerate(many):
            part = slice(heads[place], heads[place] + lengths[place])
            for pairs in self._among_many(rows[part], ranks[part], relation):
                yield pairs
                self._tell("comparing", done, len(many), "frequent shingles")
        self._tell("comparing", len(many), len(many), "frequent shingles")

    def _among_few(
        self, tokens: Any, rows: Any, ranks: Any, relation: Relation
    ) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        gathered: list[Any] = []
        total = 0
        for start in range(0, len(tokens), _BATCH):
            self._tell("candidates", start, len(tokens), "shingles")
            # Those of a shingle that begins in this part and ends in the next are here, too.
            part = tokens[start : start + _BATCH + _FEW]
            for distance in range(1, min(_FEW, len(part))):
                meet = np.flatnonzero(part[:-distance] == part[distance:]) + start
                pairs = self._possible(rows, ranks, meet, meet + distance, relation)
                gathered.append(pairs)
                total += len(pairs)
            if total >= _BATCH:
                yield from self._alike(np.unique(np.concatenate(gathered)), relation)
                gathered, total = [], 0
        if total:
            yield from self._alike(np.unique(np.concatenate(gathered)), relation)
        self._tell("candidates", len(tokens), len(tokens), "shingles")

    def _among_many(self, rows: Any, ranks: Any, relation: Relation) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        order = np.argsort(~relation.ahead(rows), kind="stable")
        rows, ranks = rows[order], ranks[order]
        for place in range(len(rows) - 1):
            others = np.arange(place + 1, len(rows))
            pairs = self._possible(rows, ranks, np.full(len(others), place), others, relation)
            if len(pairs):
                yield from self._alike(pairs, relation)
            elif relation.settled(rows[place:]):
                # Of rows that are all alike, the first has settled it.
                return

    def _possible(self, rows: Any, ranks: Any, one: Any, other: Any, relation: Relation) -> Any:
        """Pairs of the entries at `one` and `other` that can be alike enough, as a number each:
        the earlier row in its upper 32 bits, the later one in its lower."""
        import numpy as np

        a, b = rows[one], rows[other]
        size_a, size_b = self._sizes[a], self._sizes[b]
        needed = self._threshold / (1 + self._threshold) * (size_a + size_b) - 1e-6
        # If this is the first shingle that they share; if not, they met at that one.
        most = np.minimum(size_a - ranks[one], size_b - ranks[other])
        kept = (most >= needed) & relation.worth(a, b)
        a, b = a[kept], b[kept]
        return np.minimum(a, b).astype(np.uint64) << 32 | np.maximum(a, b).astype(np.uint64)

    def _alike(self, pairs: Any, relation: Relation) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        first, second = (pairs >> 32).astype(np.int64), (pairs & 0xFFFFFFFF).astype(np.int64)
        ends = np.cumsum(self._sizes[first] + self._sizes[second])
        cuts = np.searchsorted(ends, np.arange(_BATCH, ends[-1] + _BATCH, _BATCH))
        for start, stop in zip([0, *(cuts + 1).tolist()], (cuts + 1).tolist(), strict=False):
            a, b = first[start:stop], second[start:stop]
            asked = relation.worth(a, b)
            a, b = a[asked], b[asked]
            common = self._common(a, b)
            alike = common >= self._threshold * (self._sizes[a] + self._sizes[b] - common) - 1e-6
            yield a[alike], b[alike]

    def _common(self, first: Any, second: Any) -> Any:
        """How many shingles the rows of each pair have in common."""
        import numpy as np

        owned = []
        for rows in (first, second):
            sizes = self._sizes[rows]
            pair = np.repeat(np.arange(len(rows), dtype=np.uint64), sizes)
            inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            tokens = self._tokens[np.repeat(self._starts[rows], sizes) + inside]
            owned.append(pair << 32 | tokens)
        both = np.sort(np.concatenate(owned))
        same = both[1:][both[1:] == both[:-1]]
        return np.bincount((same >> 32).astype(np.int64), minlength=len(first))

    def _prefixes(self) -> tuple[Any, Any, Any]:
        """The rarest shingles of each row that another one may have: their checksums in order,
        whose they are, and how many rarer ones that row has."""
        import numpy as np

        counts = np.zeros(1 << (32 - _COUNTED), np.uint32)
        for start in range(0, len(self._tokens), _BATCH):
            np.add.at(counts, self._tokens[start : start + _BATCH] >> _COUNTED, 1)
        least = np.ceil(self._threshold * self._sizes - 1e-6).astype(np.int64)
        wanted = self._sizes - least + 1
        parts = []
        for start in range(0, len(self._sizes), _CHUNK):
            sizes = self._sizes[start : start + _CHUNK]
            rows = np.repeat(np.arange(start, start + len(sizes)), sizes)
            begin = int(self._starts[start])
            tokens = self._tokens[begin : begin + len(rows)]
            often = counts[tokens >> _COUNTED]
            order = np.lexsort((tokens, often, rows))
            # Sorted by row, so each row's stand where they stood.
            ranks = np.arange(len(rows)) - np.repeat(self._starts[start : start + _CHUNK], sizes)
            ranks += begin
            kept = (ranks < wanted[rows]) & (often[order] > 1)
            chosen = order[kept]
            parts.append((tokens[chosen], rows[kept].astype(np.uint32), ranks[kept]))
        if not parts:
            return (np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.int64))
        tokens, rows, ranks = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(tokens, kind="stable")
        return tokens[order], rows[order], ranks[order].astype(np.int64)
