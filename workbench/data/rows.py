"""Random access to a large JSONL file without loading it.

An index of line starts, 8 bytes a line, grows while it is being read: the first rows
are there after the first block. Rows are read with `pread`, not through a memory map:
a file that another program cuts short then gives an error instead of a SIGBUS.
"""

from __future__ import annotations

import bisect
import json
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

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
            self._handle = os.open(path, os.O_RDONLY)
            if path.is_dir():
                raise IsADirectoryError(21, "is a directory", str(path))
        except OSError as error:
            raise explain_os_error(error, f"read {path}") from error
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

        May run in a thread of its own while another reads rows.
        """
        while not self.complete and not cancelled():
            self.index_block()

    def index_block(self) -> None:
        """Index one more block (1 MiB: some thousand rows, about a millisecond)."""
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
            if found and found[-1] == self._size:
                found.pop()
        self._starts.extend(found)
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
        needles = {form.encode().lower() for form in _written(text)}
        number = 0
        while not cancelled():
            while number >= len(self) and not self.complete:
                self.index_block()
            if number >= len(self):
                return
            number, found = self._search_block(number, needles)
            yield found

    def _search_block(self, first: int, needles: set[bytes]) -> tuple[int, list[int]]:
        """Search some rows from `first` on; returns the row after them and those that match."""
        begin = self._starts[first]
        after = min(len(self), bisect.bisect_right(self._starts, begin + _BLOCK, lo=first + 1))
        end = self._starts[after] if after < len(self._starts) else self._size
        block = os.pread(self._handle, min(end - begin, _LONGEST), begin).lower()
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

    def close(self) -> None:
        os.close(self._handle)


def _written(text: str) -> tuple[str, str]:
    """How JSON may write `text`: with its characters, or with escapes for all but ASCII."""
    return json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]


def open_rows(path: Path) -> RowFile:
    """A RowFile whose first rows can be read at once.

    Raises WorkbenchError for a file that is empty or plainly no text.
    """
    rows = RowFile(path)
    if not rows.complete:
        rows.index_block()
    head = os.pread(rows._handle, 4096, 0)
    if head[:4] == b"PAR1" or b"\0" in head:
        rows.close()
        raise WorkbenchError(
            f"{path} is not JSONL: it holds binary data.",
            "Import it first: workbench data import FILE --name NAME.",
        )
    return rows
