"""Examples in a file of canonical lines, read by their number."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error


class Table(Sequence[Example]):
    """The examples of a file, each read when it is asked for. 8 bytes of memory a row.

    Raises WorkbenchError for a line that workbench can't have written, and when the file
    can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream = path.open("rb")
            self._starts = array("Q", [0])
            for line in self._stream:
                self._starts.append(self._starts[-1] + len(line))
        except OSError as error:
            raise explain_os_error(error, f"read {path}") from error

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        try:
            return Example.from_json(json.loads(self.lines(place, place + 1)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise spoilt(self.path) from error

    def lines(self, start: int, stop: int) -> bytes:
        """The lines of the rows from `start` up to `stop`, as they are. Raises IndexError past
        the end."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(start)
        self._stream.seek(self._starts[start])
        return self._stream.read(self._starts[stop] - self._starts[start])


def spoilt(path: Path) -> WorkbenchError:
    """That a file of workbench's own was changed by others."""
    return WorkbenchError(
        f"{path} was changed: it has lines that are no rows of a dataset version.",
        "`workbench data check` proves a version whole. Import the rows again.",
    )
