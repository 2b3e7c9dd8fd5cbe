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
All that grows with the rows but for 12 bytes each is on disk, and searched part by part: the two
of a pair meet in the part of the shingle that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from workbench.data.curate.duplicates import jaccard, shingles, text_of
from workbench.data.curate.prefixes import Prefixes
from workbench.data.curate.shingled import BLOCK, Shingled
from workbench.data.example import Example
from workbench.jobs.progress import Tell

_FEW = 16
"""Rows that share a shingle and are all compared at once; more are compared one by one, with
those that are still worth it."""
_MET = 1 << 17
"""Shingles whose rows are paired at once: a million pairs at most."""
_BATCH = 1 << 20
"""Pairs that are gathered, 8 bytes each, so that one that shares several shingles is compared
once."""
_KEPT = 256
"""Rows whose words are kept for the next proof, 15 KB each of 100 words."""


class Relation(Protocol):
    """Which pairs are looked for. Rows are arrays of places, unsigned or int64."""

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

    Takes 12 bytes of memory a row, and some 80 MB; on disk 4 bytes a shingle, and 12 for each of
    the rarest (some 800 a row of 100 words at 0.7).
    """

    def __init__(
        self, rows: Sequence[Example], threshold: float, tell: Tell, scratch: Path | None = None
    ) -> None:
        """`scratch` is the folder for what is on disk, which has no name there and is gone with
        the search, or with the process; None: the system's for such files."""
        self._rows = rows
        self._threshold = threshold
        self._tell = tell
        self._scratch = scratch

    def pairs(self, relation: Relation) -> Iterator[tuple[int, int, float]]:
        """The pairs that are worth it, each with its similarity, always in the same order.

        The relation is asked anew as the search goes on, so that what a pair settles is not looked
        at again; a pair may still come that it has just ruled out, or that came before. Raises
        OSError when there is no room on disk.
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
        with ExitStack() as files:

            def scratch() -> Any:
                return files.enter_context(TemporaryFile(dir=self._scratch))

            held = Shingled(self._rows, scratch(), self._tell)
            prefixes = Prefixes(held, self._threshold, scratch, self._tell)
            search = _Search(held, self._threshold, relation)
            done = 0
            self._tell("comparing", 0, prefixes.total, "shingles")
            for tokens, rows, ranks in prefixes.parts():

                def tell(reached: int, before: int = done) -> None:
                    self._tell("comparing", before + reached, prefixes.total, "shingles")

                yield from search.through(tokens, rows, ranks, tell)
                done += len(tokens)
            self._tell("comparing", done, prefixes.total, "shingles")


class _Search:
    """The candidates among entries of `Prefixes`, a part of them at a time."""

    def __init__(self, held: Shingled, threshold: float, relation: Relation) -> None:
        self._held = held
        self._threshold = threshold
        self._relation = relation

    def through(
        self, tokens: Any, rows: Any, ranks: Any, tell: Callable[[int], None]
    ) -> Iterator[tuple[Any, Any]]:
        """The pairs among the rows of these shingles, which are in order; `tell` is called with
        how many of these are done."""
        import numpy as np

        heads = np.flatnonzero(np.concatenate(([True], tokens[1:] != tokens[:-1])))
        lengths = np.diff(heads, append=len(tokens))
        few = np.repeat((lengths > 1) & (lengths <= _FEW), lengths)
        yield from self._among_few(tokens[few], rows[few], ranks[few], tell)
        done = len(tokens) - int(lengths[lengths > _FEW].sum())
        for place in np.flatnonzero(lengths > _FEW).tolist():
            part = slice(heads[place], heads[place] + lengths[place])
            for pairs in self._among_many(rows[part], ranks[part]):
                tell(done)
                yield pairs
            done += int(lengths[place])
            tell(done)

    def _among_few(
        self, tokens: Any, rows: Any, ranks: Any, tell: Callable[[int], None]
    ) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        gathered: list[Any] = []
        total = 0
        for start in range(0, len(tokens), _MET):
            tell(start)
            # Those of a shingle that begins in this part and ends in the next are here, too.
            part = tokens[start : start + _MET + _FEW]
            for distance in range(1, min(_FEW, len(part))):
                meet = np.flatnonzero(part[:-distance] == part[distance:]) + start
                pairs = self._possible(rows, ranks, meet, meet + distance)
                gathered.append(pairs)
                total += len(pairs)
            if total >= _BATCH:
                yield from self._alike(np.unique(np.concatenate(gathered)))
                gathered, total = [], 0
        if total:
            yield from self._alike(np.unique(np.concatenate(gathered)))

    def _among_many(self, rows: Any, ranks: Any) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        sizes = self._held.sizes[rows]
        # Of two rows the one with fewer shingles has as many from this one on, or the pair isn't
        # possible: so one of any two does.
        able = sizes - ranks >= 2 * self._threshold / (1 + self._threshold) * sizes - 1e-6
        order = np.lexsort((~able, ~self._relation.ahead(rows)))
        rows, ranks = rows[order], ranks[order]
        last = np.flatnonzero(able[order]).max(initial=-1)
        for place in range(min(int(last) + 1, len(rows) - 1)):
            found = False
            for start in range(place + 1, len(rows), BLOCK):
                others = np.arange(start, min(start + BLOCK, len(rows)))
                pairs = self._possible(rows, ranks, np.full(len(others), place), others)
                if len(pairs):
                    found = True
                    yield from self._alike(pairs)
            if not found and self._relation.settled(rows[place:]):
                # Of rows that are all alike, the first has settled it.
                return

    def _possible(self, rows: Any, ranks: Any, one: Any, other: Any) -> Any:
        """Pairs of the entries at `one` and `other` that can be alike enough, as a number each:
        the earlier row in its upper 32 bits, the later one in its lower."""
        import numpy as np

        a, b = rows[one], rows[other]
        size_a, size_b = self._held.sizes[a], self._held.sizes[b]
        needed = self._threshold / (1 + self._threshold) * (size_a + size_b) - 1e-6
        # If this is the first shingle that they share; if not, they met at that one.
        most = np.minimum(size_a - ranks[one], size_b - ranks[other])
        kept = (most >= needed) & self._relation.worth(a, b)
        a, b = a[kept], b[kept]
        return np.minimum(a, b).astype(np.uint64) << 32 | np.maximum(a, b).astype(np.uint64)

    def _alike(self, pairs: Any) -> Iterator[tuple[Any, Any]]:
        import numpy as np

        first, second = (pairs >> 32).astype(np.uint32), pairs.astype(np.uint32)
        sizes = self._held.sizes
        ends = np.cumsum(sizes[first] + sizes[second], dtype=np.int64)
        cuts = np.searchsorted(ends, np.arange(BLOCK, ends[-1] + BLOCK, BLOCK))
        for start, stop in zip([0, *(cuts + 1).tolist()], (cuts + 1).tolist(), strict=False):
            a, b = first[start:stop], second[start:stop]
            asked = self._relation.worth(a, b)
            a, b = a[asked], b[asked]
            common = self._held.common(a, b)
            alike = common >= self._threshold * (sizes[a] + sizes[b] - common) - 1e-6
            yield a[alike], b[alike]
