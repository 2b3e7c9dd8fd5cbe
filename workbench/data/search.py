"""Rows of a file that fit a query, in the order that is asked for, found by another process.

The screen or a verb starts `python -m workbench.data.search_worker`, and reads what it finds as
it comes: in the order of the rows, or sorted once all are found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.data import query
from workbench.errors import WorkbenchError

KEYS = (query.TOKENS, *query.NUMBERS, *query.EXACT, "source", "row")
"""What rows can be sorted by, besides their extra fields."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the rows of a file."""

    path: str
    query: str = ""
    sort: str = ""
    """One of `KEYS`, or an extra field; `-tokens` puts the longest first. Empty: as they stand
    in the file."""
    workspace: str = ""
    version: str = ""
    """The dataset version that the file is of, whose findings count; empty for another file."""
    base: str = ""
    """The folder of the base model whose tokens count."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it takes a base model's template."""
        return self.sort_key == query.TOKENS or query.parse(self.query).counts_tokens

    @property
    def sort_key(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")

    def in_order(self) -> Wanted:
        """With the hardest rows first where a run is named and no order is."""
        return replace(self, sort="rank") if query.parse(self.query).run and not self.sort else self

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has come to since it was last heard of."""

    rows: list[int]
    """From 0."""
    reached: int
    """Bytes of the file that are searched."""
    size: int
    """Bytes of the file."""


class Search:
    """A search in a process of its own."""

    def __init__(self, wanted: Wanted) -> None:
        """Start it. Raises WorkbenchError when no process can be started."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench.data.search_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Of a group of its own: it is ended with those that it has started.
                process_group=0,
            )
        except OSError as error:
            raise WorkbenchError(f"The rows can't be searched: {error}.") from error
        asking: Any = self._process.stdin
        with suppress(BrokenPipeError), asking as stream:
            stream.write(json.dumps(wanted.to_json()).encode())

    def found(self) -> Iterator[Found]:
        """What it finds, as it comes; ends with the search, also with one that is ended.

        Raises WorkbenchError for a query that can't be answered, and when the process dies.
        """
        answers: Any = self._process.stdout
        with answers as lines:
            for line in lines:
                body = json.loads(line)
                if "problem" in body:
                    raise WorkbenchError(body["problem"], body["hint"])
                yield Found(**body)
        status = self._process.wait()
        if status not in (0, -signal.SIGKILL):
            raise WorkbenchError(f"The search ended before it was done (status {status}).")

    def end(self) -> None:
        """End it, wherever it is. May be called by another thread than the one that reads."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
