"""A search of rows: `python -m workbench.data.search_worker`, asked on its standard input.

Chunks of lines are dealt to workers in turn, one for each core that the file is worth, and each
one's answers come through its pipe: read in turn they are in the order of the rows, and a worker
that is ahead waits at a full pipe. A worker is this module again, with its place.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from workbench.data import browse, query, versions
from workbench.data.example import Example
from workbench.data.query import Known, Row
from workbench.data.search import KEYS, Wanted
from workbench.data.table import spoilt
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.workspace import Workspace

_ROWS = 1024
_BYTES = 1 << 20
"""Lines and bytes after which a chunk ends."""
_A_WORKER = 64 << 20
_A_COUNTER = 2 << 20
"""Bytes of rows that are worth a process more: some half second of work; by far fewer where
tokens are counted."""
_BLOCK = 4096
"""Rows that are told in a line."""
_EVERY = 0.1
"""Seconds between two lines, where little is found: who asks can show how far it is."""

Key = tuple[int, float | str]
"""Numbers, then texts, then nothing."""
Chunk = tuple[list[int], list[Key], int]
"""Rows that were found, what they are sorted by (if they are), and the bytes up to there."""
Say = Callable[[dict[str, Any]], None]


def search(wanted: Wanted, say: Say) -> None:
    """Search, and say what is found as `search.Found` takes it.

    Raises WorkbenchError for a file that can't be read, and a query that can't be answered.
    """
    size = Path(wanted.path).stat().st_size
    a_worker = _A_COUNTER if wanted.counts_tokens else _A_WORKER
    workers = min(len(os.sched_getaffinity(0)), 1 + size // a_worker)
    chunks = _beside(wanted, workers) if workers > 1 else _here(wanted)
    if wanted.sort:
        rows = _sorted(chunks, wanted, lambda reached: say(_found([], reached, size)))
        for start in range(0, len(rows), _BLOCK):
            say(_found(rows[start : start + _BLOCK], size, size))
        return
    waiting: list[int] = []
    told = 0.0
    for numbers, _, reached in chunks:
        waiting += numbers
        # The first ones at once: they fill the screen.
        if (now := time.monotonic()) >= told + _EVERY or len(waiting) >= _BLOCK:
            say(_found(waiting, reached, size))
            waiting, told = [], now
    say(_found(waiting, size, size))


def _found(rows: list[int], reached: int, size: int) -> dict[str, Any]:
    return {"rows": rows, "reached": reached, "size": size}


def _sorted(chunks: Iterator[Chunk], wanted: Wanted, tell: Callable[[int], None]) -> list[int]:
    """The rows in order. Raises WorkbenchError where none has what they are sorted by."""
    found: list[tuple[Key, int]] = []
    for numbers, keys, reached in chunks:
        found += zip(map(_key, keys), numbers, strict=True)
        tell(reached)
    here = [pair for pair in found if pair[0][0] < _NOTHING[0]]
    gone = [number for key, number in found if key[0] == _NOTHING[0]]
    if gone and not here:
        raise WorkbenchError(
            f"None of the rows has the field {wanted.sort_key} to sort them by.",
            f"Rows have {', '.join(KEYS)}, and their extra fields.",
        )
    # Stable in either order: of those that are alike the first in the file comes first.
    here.sort(key=lambda pair: pair[0], reverse=wanted.descending)
    return [number for _, number in here] + gone


def _key(key: Any) -> Key:
    """What came through a pipe is a list."""
    return key[0], key[1]


_NOTHING: Key = (2, "")


def _here(wanted: Wanted, place: int = 0, workers: int = 1) -> Iterator[Chunk]:
    looked_for, known = query.parse(wanted.query), _known(wanted)
    parse = _parse_own(wanted.path) if wanted.version else _parse_any
    for chunk, reached in itertools.islice(_chunks(wanted.path), place, None, workers):
        rows = [Row(number, line, parse) for number, line in chunk]
        found = [row for row in rows if looked_for.fits(row, known)]
        keys = [_sort_key(row, wanted.sort_key, known) for row in found] if wanted.sort else []
        yield [row.number for row in found], keys, reached


def _chunks(path: str) -> Iterator[tuple[list[tuple[int, bytes]], int]]:
    """The lines with their numbers, from 0, some at a time, and the bytes up to there."""
    chunk: list[tuple[int, bytes]] = []
    size = reached = 0
    with Path(path).open("rb") as stream:
        for number, line in enumerate(stream):
            chunk.append((number, line))
            size += len(line)
            if len(chunk) >= _ROWS or size >= _BYTES:
                reached += size
                yield chunk, reached
                chunk, size = [], 0
    if chunk:
        yield chunk, reached + size


def _sort_key(row: Row, name: str, known: Known) -> Key:
    if name == "row":
        return 0, row.number
    if name == query.TOKENS:
        return 0, known.count(row.example)
    if (number := query.NUMBERS.get(name)) is not None:
        return 0, number(row.example)
    if name == "source":
        return 1, row.example.source
    exact = query.EXACT.get(name)
    value = exact(row.example) if exact else row.example.extra.get(name)
    if isinstance(value, int | float):
        return 0, value
    return _NOTHING if value is None else (1, value if isinstance(value, str) else str(value))


def _parse_own(path: str) -> query.Parse:
    def parse(number: int, line: bytes) -> tuple[Example, str]:
        try:
            return Example.from_json(json.loads(line)), ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise spoilt(Path(path)) from error

    return parse


def _parse_any(number: int, line: bytes) -> tuple[Example, str]:
    looked = browse.look_at(number, line.rstrip(b"\r\n"))
    return (Example(text=looked.text) if looked.problem else looked.examples[0]), looked.problem


def _known(wanted: Wanted) -> Known:
    flags = {}
    if wanted.version and f"{query.FLAG}:" in wanted.query:
        version = versions.resolve(Workspace(Path(wanted.workspace)), wanted.version)
        flags = query.flags_of(version)
    if not (wanted.counts_tokens and wanted.base):
        return Known(flags)
    # Here: few searches count tokens, and the tokenizer takes a while to be there.
    from workbench.data.template import ChatTemplate, MaskError

    template = ChatTemplate.load(Path(wanted.base))

    def count(example: Example) -> int:
        try:
            return len(template.encode(example).ids)
        except MaskError:  # `workbench data tokens` names the rows that have none
            return 0

    return Known(flags, count)


def _beside(wanted: Wanted, workers: int) -> Iterator[Chunk]:
    with ExitStack() as ending:
        started = [_Worker(wanted, place, workers) for place in range(workers)]
        for worker in started:
            ending.callback(worker.end)
        for worker in itertools.cycle(started):
            chunk = worker.next_chunk()
            if chunk is None:
                return  # the lines end here, for all of them
            yield chunk


class _Worker:
    """A process that searches every so many-th chunk."""

    def __init__(self, wanted: Wanted, place: int, workers: int) -> None:
        command = [sys.executable, "-m", "workbench.data.search_worker", str(place), str(workers)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        asking: Any = self._process.stdin
        with asking as stream:
            stream.write(json.dumps(wanted.to_json()).encode())
        self._lines: Any = self._process.stdout

    def next_chunk(self) -> Chunk | None:
        """Its next chunk, once it is there; None after its last one."""
        line = self._lines.readline()
        if line:
            body = json.loads(line)
            if "problem" in body:
                raise WorkbenchError(body["problem"], body["hint"])
            numbers, keys, reached = body["chunk"]
            return numbers, keys, reached
        if status := self._process.wait():
            raise WorkbenchError(f"A process that searches rows ended too soon (status {status}).")
        return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.close()


def _write(body: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(body).encode() + b"\n")
    sys.stdout.buffer.flush()


def main(arguments: list[str]) -> None:
    """Answer the request on standard input, whole or as the worker of a place."""
    wanted = Wanted(**json.load(sys.stdin))
    try:
        if not arguments:
            search(wanted, _write)
            return
        place, workers = map(int, arguments)
        for chunk in _here(wanted, place, workers):
            _write({"chunk": chunk})
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        told = explain_os_error(error, f"read {wanted.path}")
        _write({"problem": told.message, "hint": told.hint})
    except WorkbenchError as error:
        _write({"problem": error.message, "hint": error.hint})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        # Nobody wants the rows any more; there is no one to tell, either.
        os._exit(0)
