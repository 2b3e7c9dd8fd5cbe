"""A search of rows: `python -m workbench.data.search_worker`, asked on its standard input.

Lines are dealt to workers (`data.dealing`), one for each core that the file is worth. A worker is
this module again, with its place.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.data import browse, dealing, query, versions
from workbench.data.example import Example
from workbench.data.query import Known, Row
from workbench.data.search import KEYS, Wanted
from workbench.data.table import spoilt
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.learning.courses import Course
from workbench.workspace import Workspace

_ROWS = 1024
"""Lines of a chunk."""
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
    wanted = wanted.in_order()
    a_worker = _A_COUNTER if wanted.counts_tokens else _A_WORKER
    workers = dealing.worth(size, a_worker)
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
    for chunk, reached in dealing.chunks(Path(wanted.path), _ROWS, place, workers):
        rows = [Row(number, line, parse) for number, line in chunk]
        found = [row for row in rows if looked_for.fits(row, known)]
        keys = [_sort_key(row, wanted.sort_key, known) for row in found] if wanted.sort else []
        yield [row.number for row in found], keys, reached


def _sort_key(row: Row, name: str, known: Known) -> Key:
    if name == "row":
        return 0, row.number
    if name == query.TOKENS:
        return 0, known.count(row.example)
    if known.course and (learnt := query.LEARNT.get(name)):
        course = known.course(row)
        return _NOTHING if course is None else (0, learnt(course))
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
    flags, course = {}, None
    if wanted.version:
        version = versions.resolve(Workspace(Path(wanted.workspace)), wanted.version)
        if f"{query.FLAG}:" in wanted.query:
            flags = query.flags_of(version)
        if run := query.parse(wanted.query).run:
            course = _course(Workspace(Path(wanted.workspace)), run, version)
    if not (wanted.counts_tokens and wanted.base):
        return Known(flags, course=course)
    # Here: few searches count tokens, and the tokenizer takes a while to be there.
    from workbench.data.template import ChatTemplate, MaskError

    template = ChatTemplate.load(Path(wanted.base))

    def count(example: Example) -> int:
        try:
            return len(template.encode(example).ids)
        except MaskError:  # `workbench data tokens` names the rows that have none
            return 0

    return Known(flags, count, course)


def _course(
    workspace: Workspace, run: str, version: versions.Version
) -> Callable[[Row], Course | None]:
    from workbench.learning import learnt

    find = learnt.finder(workspace, run, version)
    return lambda row: find(row.number, lambda: row.example)


def _beside(wanted: Wanted, workers: int) -> Iterator[Chunk]:
    asked = json.dumps(wanted.to_json()).encode()

    def start(place: int) -> dealing.Worker:
        arguments = [str(place), str(workers)]
        return dealing.Worker("workbench.data.search_worker", arguments, "searches rows", asked)

    return dealing.in_turn(start, workers, _next_chunk)


def _next_chunk(worker: dealing.Worker) -> Chunk | None:
    line = worker.line()
    if line is None:
        return None
    body = json.loads(line)
    if "problem" in body:
        raise WorkbenchError(body["problem"], body["hint"])
    numbers, keys, reached = body["chunk"]
    return numbers, keys, reached


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
