"""Random access to a large JSONL file without loading it.

An index of line starts, 8 bytes a line, grows while it is being read: the first rows
are there after the first block. Rows are read with `pread`, not through a memory map:
a file that another program cuts short then gives an error instead of a SIGBUS.
"""

from __future__ import annotations

import bisect
import errno
import json
import os
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.data.raw import refuse_binary
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

_BLOCK = 1 << 20
_LONGEST = 8 << 20
"""Bytes of a line that are read; a longer one is shown cut."""


class RowFile:
    """The lines of a file by number, from 0."""

    def __init__(self, path: Path) -> None:
        """Open `path`. Raises WorkbenchError when it can't be read."""
        self.path = path
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise explain_os_error(error, f"read {path}") from error
        self.close = weakref.finalize(self, os.close, self._handle)
        """Closes the file; so does letting go of the last reference."""
        self._indexing = threading.Lock()
        self._size = os.fstat(self._handle).st_size
        self._starts = array("Q", [0] if self._size else [])
        self._indexed = 0
        self.complete = not self._size
        """Whether the whole file is indexed."""

    def __len__(self) -> int:
        """Rows that can be read now. The last one indexed waits for its end."""
        return len(self._starts) if self.complete else max(0, len(self._starts) - 1)

    @property
    def progress(self) -> float:
        """Share of the file that is indexed."""
        return self._indexed / self._size if self._size else 1.0

    def index(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Index what is left, block by block, until done or cancelled.

        May run in a thread of its own while others read and search rows.
        """
        while not self.complete and not cancelled():
            self.index_block()

    def index_block(self) -> None:
        """Index one more block (1 MiB: some thousand rows, about a millisecond)."""
        with self._indexing:
            if not self.complete:
                self._index_block()

    def _index_block(self) -> None:
        block = os.pread(self._handle, _BLOCK, self._indexed)
        found = array("Q")
        place = block.find(b"\n")
        while place >= 0:
            found.append(self._indexed + place + 1)
            place = block.find(b"\n", place + 1)
        self._indexed += len(block)
        ended = not block or self._indexed >= self._size
        if ended:
            self._size = self._indexed
        self._starts.extend(found)
        while ended and self._starts and self._starts[-1] >= self._size:
            # What follows the last line end is no row.
            self._starts.pop()
        self.complete = ended

    def line(self, number: int) -> bytes:
        """The bytes of row `number`, without the line end. Raises IndexError past the end."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = self._starts[number]
        after = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        data = os.pread(self._handle, min(after - start, _LONGEST), start)
        return data.rstrip(b"\r\n")

    def search(
        self, text: str, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[list[int]]:
        """Numbers of the rows that hold `text`, block by block, in order.

        Found in the JSON as it is written, so field names match too; letters of ASCII
        match in either case. Indexes what isn't indexed yet.
        """
        needles = {form.encode("utf-8", "surrogatepass").lower() for form in _written(text)}
        number = 0
        while not cancelled():
            if number >= len(self):
                if self.complete:
                    return
                self.index_block()
                continue
            number, found = self._search_block(number, needles)
            yield found

    def _search_block(self, first: int, needles: set[bytes]) -> tuple[int, list[int]]:
        """Search some rows from `first` on; returns the row after them and those that match."""
        begin = self._starts[first]
        last = bisect.bisect_right(self._starts, begin + _BLOCK, lo=first + 1) - 1
        # Whole rows only; one that is longer than a block is searched by itself.
        after = max(first + 1, len(self) if self._size <= begin + _BLOCK else min(last, len(self)))
        end = self._starts[after] if after < len(self._starts) else self._size
        block = os.pread(self._handle, min(end - begin, _LONGEST), begin).lower()
        if needles == {b""}:
            return after, list(range(first, after))
        found: set[int] = set()
        for needle in needles:
            place = block.find(needle)
            while place >= 0:
                row = bisect.bisect_right(self._starts, begin + place, lo=first, hi=after) - 1
                found.add(row)
                # On with the next row: one hit is enough.
                skip = self._starts[row + 1] - begin if row + 1 < after else len(block)
                place = block.find(needle, skip)
        return after, sorted(found)


def _written(text: str) -> tuple[str, str]:
    """How JSON may write `text`: with its characters, or with escapes for all but ASCII."""
    return json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]


def open_rows(path: Path) -> RowFile:
    """A RowFile whose first rows can be read at once.

    Raises WorkbenchError for a file that is empty or plainly no text.
    """
    rows = RowFile(path)
    try:
        if rows.complete:
            raise WorkbenchError(f"{path} is empty: it has no rows.")
        refuse_binary(path, os.pread(rows._handle, 4096, 0))
        rows.index_block()
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    return rows
