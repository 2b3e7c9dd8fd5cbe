"""The rarest shingles of rows, on disk, in parts that can be searched one after another.

Of a million rows of 100 words there are 31 million at a similarity of 0.7: 370 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any

from workbench.data.curate.shingled import Shingled
from workbench.jobs.progress import Tell

_COUNTED = 8
"""Bits of a checksum that the table of how frequent a shingle is leaves out: 64 MB of counters.
With a million rows six shingles share a counter, which tells those of many rows as well."""
_DIVIDED = 16
"""Bits of a checksum that say nothing of the part that it is in."""
_PART = 1 << 21
"""Shingles of a part, counting those, too, that aren't among the rarest of their rows: at most 36
bytes of memory each."""
_PARTS = 128
"""Parts at most, since each is an open file."""
_ENTRY = [("token", "<u4"), ("row", "<u4"), ("rank", "<u4")]


class Prefixes:
    """The shingles of each row by which it must meet whatever is alike to it at `threshold`."""

    def __init__(
        self, held: Shingled, threshold: float, scratch: Callable[[], IO[bytes]], tell: Tell
    ) -> None:
        """`scratch` gives an empty file, which must stay open. Raises OSError."""
        import numpy as np

        counts = _counts(held)
        coarse = counts.reshape(-1, 1 << (_DIVIDED - _COUNTED)).sum(axis=1, dtype=np.int64)
        number = min(_PARTS, max(1, -(-held.total // _PART)))
        # As many shingles in each, so that what all rows say isn't all in one.
        parts = ((np.cumsum(coarse) - coarse) * number // max(1, held.total)).astype(np.uint8)
        self._files = [scratch() for _ in range(number)]
        self.total = 0
        """How many there are of all rows."""
        tell("rarest shingles", 0, len(held.sizes), "rows")
        for rows, tokens, owners in held.blocks():
            entries = _rarest(held.sizes[rows], tokens, owners, counts, threshold)
            part = parts[entries["token"] >> _DIVIDED]
            order = np.argsort(part, kind="stable")
            entries = entries[order]
            bounds = np.searchsorted(part[order], np.arange(number + 1))
            for place, file in enumerate(self._files):
                file.write(entries[bounds[place] : bounds[place + 1]].tobytes())
            self.total += len(entries)
            tell("rarest shingles", int(rows[-1]) + 1, len(held.sizes), "rows")

    def parts(self) -> Iterator[tuple[Any, Any, Any]]:
        """The shingles' checksums in order, whose they are, and how many rarer ones that row has,
        uint32; all that are the same are in one part."""
        import numpy as np

        for file in self._files:
            file.seek(0)
            entries = np.frombuffer(file.read(), _ENTRY)
            order = np.argsort(entries["token"], kind="stable").astype(np.uint32)
            tokens, rows, ranks = (entries[name][order] for name, _ in _ENTRY)
            del entries, order
            yield tokens, rows, ranks


def _counts(held: Shingled) -> Any:
    """How often there is a shingle, by the upper bits of its checksum."""
    import numpy as np

    counts = np.zeros(1 << (32 - _COUNTED), np.uint32)
    for _, tokens, _ in held.blocks():
        np.add.at(counts, tokens >> _COUNTED, 1)
    return counts


def _rarest(sizes: Any, tokens: Any, owners: Any, counts: Any, threshold: float) -> Any:
    """The entries of rows that have so many shingles: those that each can't do without, of which
    another row may have one, row by row."""
    import numpy as np

    least = np.ceil(threshold * sizes - 1e-6).astype(np.int64)
    wanted = sizes - least + 1
    often = counts[tokens >> _COUNTED]
    order = np.lexsort((tokens, often, owners))
    # Sorted by row, so each row's stand where they stood.
    ranks = np.arange(len(tokens)) - np.repeat(np.cumsum(sizes, dtype=np.int64) - sizes, sizes)
    kept = (ranks < np.repeat(wanted, sizes)) & (often[order] > 1)
    entries = np.empty(int(kept.sum()), _ENTRY)
    entries["token"] = tokens[order[kept]]
    entries["row"] = owners[kept]
    entries["rank"] = ranks[kept]
    return entries
