"""Rows on their way to a dataset version, step after step, on disk.

A step says what becomes of the rows that it changes; the others are copied as they are. So a
gigabyte of rows needs no more memory than 12 bytes for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from workbench.data import versions
from workbench.data.example import Example
from workbench.data.table import Table
from workbench.data.versions import Removed, Step, Version
from workbench.files import scratch_folder
from workbench.jobs.progress import Tell, untold
from workbench.workspace import Workspace

_BLOCK = 1024
"""Rows that are copied at once."""


@dataclass(frozen=True, slots=True)
class Gone:
    """That a row is left out."""

    reason: str


@dataclass(frozen=True, slots=True)
class Times:
    """That a row is there several times, one after another."""

    count: int


Change = tuple[int, Example | tuple[Example, ...] | Gone | Times]
"""The place of a row in the table, and what becomes of it: another one, several, none, or itself
several times."""


class Making:
    """The rows as they are after the last step, and what was taken from them."""

    def __init__(self, workspace: Workspace, name: str, folder: Path, tell: Tell) -> None:
        self._workspace = workspace
        self._name = name
        self._folder = folder
        self.tell = tell
        self.steps: list[Step] = []
        self.removed = 0
        self.origins = array("I")
        """Of each row the number of its source, from 0; empty where nobody said."""
        self._removed = (folder / versions.REMOVED).open("wb")
        with self._writing():
            pass

    def read(self, rows: Iterable[Example | Removed]) -> None:
        """Take the rows that everything begins with."""
        with self._writing() as stream:
            for row in rows:
                if isinstance(row, Removed):
                    self._remove(row)
                else:
                    stream.write(_line(row))

    def step(self, name: str, changes: Iterable[Change], **parameters: Any) -> None:
        """Make the changes, which come in the order of the rows."""
        old, done, changed = self.table, 0, 0
        origins = array("I")
        first = next(changes := iter(changes), None)
        if first is not None:
            with self._writing() as stream:
                for place, becomes in chain([first], changes):
                    _copy(old, done, place, stream)
                    origins += self.origins[done:place]
                    done = place + 1
                    times = _times(becomes)
                    origins += self.origins[place:done] * times
                    if isinstance(becomes, Gone):
                        row = old[place]
                        self._remove(Removed(name, row.source, becomes.reason, row.to_json()))
                    elif isinstance(becomes, Times):
                        stream.write(old.lines(place, done) * times)
                    else:
                        several = becomes if isinstance(becomes, tuple) else (becomes,)
                        stream.writelines(map(_line, several))
                        changed += 1
                _copy(old, done, len(old), stream)
            self.origins = origins + self.origins[done:]
        self.steps.append(Step(name, len(old), len(self.table), parameters, changed))

    def keep(
        self, *, sources: list[dict[str, Any]], recipe: dict[str, Any] | None = None
    ) -> Version:
        """Make a version of the rows, and return it. Raises WorkbenchError when there is none."""
        self._removed.flush()
        return versions.keep(
            self._workspace,
            self._name,
            self._folder,
            sources=sources,
            steps=self.steps,
            removed=self.removed,
            recipe=recipe,
            tell=self.tell,
        )

    def _remove(self, row: Removed) -> None:
        self._removed.write(f"{row.to_line()}\n".encode())
        self.removed += 1

    @contextmanager
    def _writing(self) -> Iterator[IO[bytes]]:
        """The file of the next table; the one before is gone then."""
        path = self._folder / "next.jsonl"
        with path.open("wb") as stream:
            yield stream
        path.replace(self._folder / versions.DATA)
        self.table = Table(self._folder / versions.DATA)


def _times(becomes: Example | tuple[Example, ...] | Gone | Times) -> int:
    """How many rows there are of one after the step."""
    if isinstance(becomes, Times):
        return becomes.count
    if isinstance(becomes, tuple):
        return len(becomes)
    return not isinstance(becomes, Gone)


def _line(example: Example) -> bytes:
    return f"{example.to_line()}\n".encode()


def _copy(table: Table, start: int, stop: int, stream: IO[bytes]) -> None:
    for place in range(start, stop, _BLOCK):
        stream.write(table.lines(place, min(place + _BLOCK, stop)))


@contextmanager
def making(workspace: Workspace, name: str, tell: Tell = untold) -> Iterator[Making]:
    """A version of the dataset `name` on its way; what isn't kept of it is gone at the end.

    Raises WorkbenchError when the workspace can't be written.
    """
    workspace.ensure()
    with scratch_folder(workspace.datasets / name / "making") as folder:
        yield Making(workspace, name, folder, tell)
