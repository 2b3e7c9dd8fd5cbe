"""The lines of a file, dealt in chunks to processes, and what these make of them in order.

Each process takes every so many-th chunk, and what it makes comes through its pipe: who reads the
pipes in turn has all of it in the order of the lines, and a process that is ahead waits at a full
pipe, so that little exists at once, however many lines there are.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import WorkbenchError

_BYTES = 1 << 20
"""After so many bytes a chunk ends, too: long documents make small ones."""
_Made = TypeVar("_Made")


def worth(size: int, a_worker: int) -> int:
    """Workers that `size` bytes of rows are worth, where one more is worth it every `a_worker`
    bytes: at least 1 and at most one a core."""
    return min(len(os.sched_getaffinity(0)), 1 + size // a_worker)


def chunks(
    path: Path, rows: int, place: int = 0, workers: int = 1
) -> Iterator[tuple[list[tuple[int, bytes]], int]]:
    """Each `workers`-th chunk from that at `place` on: up to `rows` lines with their numbers, from
    0, and the bytes of the file up to its end. Chunks are the same for every worker."""
    return itertools.islice(_chunks(path, rows), place, None, workers)


def _chunks(path: Path, rows: int) -> Iterator[tuple[list[tuple[int, bytes]], int]]:
    chunk: list[tuple[int, bytes]] = []
    size = reached = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream):
            chunk.append((number, line))
            size += len(line)
            if len(chunk) >= rows or size >= _BYTES:
                reached += size
                yield chunk, reached
                chunk, size = [], 0
    if chunk:
        yield chunk, reached + size


class Worker:
    """A process that makes something of its chunks: `python -m MODULE ARGUMENTS`."""

    def __init__(
        self, module: str, arguments: Sequence[str], doing: str, asked: bytes | None = None
    ) -> None:
        """`doing` says what it does, as in `encodes rows`; `asked` is what it reads on its
        standard input."""
        self._doing = doing
        command = [sys.executable, "-m", module, *arguments]
        given = subprocess.DEVNULL if asked is None else subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE)
        self.pipe: Any = self._process.stdout
        """What it makes."""
        if asked is not None:
            stdin: Any = self._process.stdin
            with stdin as stream:
                stream.write(asked)

    def check_ended(self) -> None:
        """Wait for its end, which is near. Raises WorkbenchError when it died."""
        if status := self._process.wait():
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            raise WorkbenchError(
                f"A process that {self._doing} ended before its work was done ({how}).",
                "stderr.log has what it said; signal 9 is mostly a lack of memory.",
                "out_of_host_memory" if status == -signal.SIGKILL else "error",
            )

    def line(self) -> bytes | None:
        """The next line that it writes; None after its last one. Raises as `check_ended`."""
        line: bytes = self.pipe.readline()
        if line.endswith(b"\n"):
            return line
        # Half a line is all that one that was killed has left.
        self.check_ended()
        return None

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self.pipe.close()


_Worker = TypeVar("_Worker", bound=Worker)


def in_turn(
    start: Callable[[int], _Worker], workers: int, read: Callable[[_Worker], _Made | None]
) -> Iterator[_Made]:
    """What workers make of their chunks, in order.

    `start` starts the one of a place; `read` gives what it made next, None after its last. They
    end with the iterator. Raises WorkbenchError when one ends before its work is done.
    """
    with ExitStack() as ending:
        started = []
        for place in range(workers):
            worker = start(place)
            ending.callback(worker.end)
            started.append(worker)
        for worker in itertools.cycle(started):
            made = read(worker)
            if made is None:
                break  # the lines end here, for all of them
            yield made
        for worker in started:
            worker.check_ended()
