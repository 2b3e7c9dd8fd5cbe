"""The shingles of rows as checksums, on disk.

A million rows of 100 words have 100 million shingles: 400 MB, where 8 bytes a row say where those
of each are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from typing import IO, Any
from zlib import crc32

from workbench.data.curate.duplicates import GRAM, text_of
from workbench.data.curate.words import WORD
from workbench.data.example import Example
from workbench.jobs.progress import Tell, watched

BLOCK = 1 << 18
"""Shingles that are in memory at once, some 50 bytes each while they are sorted; but those of a
row are never parted."""
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""Odd numbers of 64 bits, one for each word of a shingle."""


class Shingled:
    """The checksums of each row's shingles, uint32, each once, in order. 12 bytes of memory a row.

    Two different shingles of a row have the same checksum once in a million rows of 100 words.
    """

    def __init__(self, rows: Sequence[Example], file: IO[bytes], tell: Tell) -> None:
        """Writes to `file`, which is empty, and must stay open. Raises OSError."""
        import numpy as np

        sizes, lengths, words = array("I"), array("I"), array("I")
        for example in watched(rows, "shingles", tell):
            found = [crc32(word.encode("utf-8", "replace")) for word in _words(text_of(example))]
            words.extend(found)
            lengths.append(len(found))
            if len(words) >= BLOCK:
                sizes.extend(_write(words, lengths, file))
                lengths, words = array("I"), array("I")
        if words:
            sizes.extend(_write(words, lengths, file))
        file.flush()
        self._file = file
        self.sizes = np.array(sizes, np.uint32)
        """Of each row how many it has."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        self.total = int(ends[-1]) if len(ends) else 0
        self._starts = ends - self.sizes

    def blocks(self) -> Iterator[tuple[Any, Any, Any]]:
        """The rows in order, some at a time: the numbers of these, the checksums of all of them,
        and the row of each checksum, int64."""
        import numpy as np

        first = 0
        while first < len(self.sizes):
            reach = np.searchsorted(self._starts, self._starts[first] + BLOCK, "right")
            rows = np.arange(first, max(first + 1, int(reach) - 1))
            tokens = np.frombuffer(self._read(first, int(rows[-1])), np.uint32)
            yield rows, tokens, np.repeat(rows, self.sizes[rows])
            first = int(rows[-1]) + 1

    def common(self, first: Any, second: Any) -> Any:
        """How many checksums the rows of each pair have in common, int64."""
        import numpy as np

        owned = []
        for rows in (first, second):
            pair = np.repeat(np.arange(len(rows), dtype=np.uint64), self.sizes[rows])
            tokens = b"".join([self._read(row, row) for row in rows.tolist()])
            owned.append(pair << 32 | np.frombuffer(tokens, np.uint32))
        both = np.concatenate(owned)
        both.sort()
        same = both[1:][both[1:] == both[:-1]]
        return np.bincount((same >> 32).astype(np.int64), minlength=len(first))

    def _read(self, first: int, last: int) -> bytes:
        """The checksums of rows that follow each other."""
        start = int(self._starts[first])
        stop = int(self._starts[last]) + int(self.sizes[last])
        data = os.pread(self._file.fileno(), 4 * (stop - start), 4 * start)
        if len(data) < 4 * (stop - start):
            raise OSError(f"{4 * (stop - start) - len(data)} bytes of a scratch file are gone")
        return data


def _words(text: str) -> list[str]:
    """The words whose threes are a text's shingles: a text of fewer is one, as `shingles` says."""
    words = WORD.findall(text.casefold())
    if len(words) < GRAM:
        return [" ".join(words or text.split()), *[""] * (GRAM - 1)]
    return words


def _write(words: array[int], lengths: array[int], file: IO[bytes]) -> list[int]:
    """Write the checksums of rows whose words have these, and so many; returns how many each row
    has."""
    import numpy as np

    mixed = np.zeros(len(words) - GRAM + 1, np.uint64)
    for place, factor in enumerate(_MIX):
        mixed += np.array(words[place : place + len(mixed)], np.uint64) * np.uint64(factor)
    owners = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    whole = owners[: len(mixed)] == owners[GRAM - 1 :]
    keys = owners[: len(mixed)][whole] << 32 | mixed[whole] >> 32
    keys.sort()
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    file.write(keys.astype(np.uint32).tobytes())
    sizes: list[int] = np.bincount((keys >> 32).astype(np.int64), minlength=len(lengths)).tolist()
    return sizes
