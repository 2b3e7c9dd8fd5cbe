"""The lines of a dataset version -> how long each row is and where it is trained, on all cores.

Lines are dealt to workers (`data.dealing`); one is `python -m workbench.data.measure_worker
REQUEST PLACE`, and writes a line of JSON a chunk.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from workbench.data import dealing
from workbench.data.example import Example
from workbench.data.masking import NO_END
from workbench.data.table import spoilt
from workbench.data.template import ChatTemplate, MaskError
from workbench.files import write_json

_ROWS = 256
"""Lines of a chunk."""
_A_WORKER = 4 << 20
"""Bytes of rows that are worth a process more, as for encoding."""
_REQUEST = "request.json"

Measured = dict[str, Any]
"""A row: `split`, `task`, and either `tokens`, `runs` (start and end of each stretch of trained
tokens, flat) and `ended` (whether each stretch ends with a token that ends an answer), or
`refused`: the kind of a MaskError, the row's source and the reason."""
Batches = Generator[list[Measured], None, None]


def measure(path: Path, template: ChatTemplate, folder: Path) -> Batches:
    """The rows of a file of canonical lines, in order, some at a time.

    In this process if one is enough, else by workers, which end with the generator; `folder` is a
    place for what they are told. Raises WorkbenchError for a line that workbench can't have
    written, and when a worker ends before its work is done.
    """
    workers = dealing.worth(path.stat().st_size, _A_WORKER)
    if workers == 1:
        return _here(path, template, template.stop_ids)
    return _beside(path, template, workers, folder)


def _here(
    path: Path, template: ChatTemplate, ends: frozenset[int], place: int = 0, workers: int = 1
) -> Batches:
    for chunk, _ in dealing.chunks(path, _ROWS, place, workers):
        yield [_measured(_row(path, line), template, ends) for _, line in chunk]


def _row(path: Path, line: bytes) -> Example:
    try:
        return Example.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise spoilt(path) from error


def _measured(example: Example, template: ChatTemplate, ends: frozenset[int]) -> Measured:
    about = {"split": example.split, "task": example.task}
    try:
        encoded = template.encode(example)
    except MaskError as error:
        return {**about, "refused": [error.kind, example.source, error.message]}
    runs = runs_of(encoded.trained)
    ended = all(encoded.ids[end - 1] in ends for end in runs[1::2])
    measured = {**about, "tokens": len(encoded.ids), "runs": runs, "ended": ended}
    return measured if ended else {**measured, "refused": [NO_END, example.source, _UNENDED]}


_UNENDED = "its last trained token is none that ends an answer"


def runs_of(trained: list[bool]) -> list[int]:
    """Start and end of each stretch of trained tokens, flat."""
    # Found in bytes: ten times as fast as token by token.
    marks = bytes(trained)
    runs = []
    start = marks.find(1)
    while start >= 0:
        end = marks.find(0, start)
        end = len(marks) if end < 0 else end
        runs += [start, end]
        start = marks.find(1, end)
    return runs


def _beside(path: Path, template: ChatTemplate, workers: int, folder: Path) -> Batches:
    request = folder / _REQUEST
    body = {"path": os.fspath(path), "template": template.to_json(), "workers": workers}
    write_json(request, {**body, "ends": sorted(template.stop_ids)})
    try:
        yield from dealing.in_turn(partial(_start, request), workers, _next_rows)
    finally:
        request.unlink(missing_ok=True)


def _start(request: Path, place: int) -> dealing.Worker:
    arguments = [os.fspath(request), str(place)]
    return dealing.Worker("workbench.data.measure_worker", arguments, "measures rows")


def _next_rows(worker: dealing.Worker) -> list[Measured] | None:
    line = worker.line()
    return None if line is None else json.loads(line)


def _work(request: Path, place: int) -> None:
    """What a worker does: measure every so many-th chunk, and send its rows."""
    body = json.loads(request.read_text(encoding="utf-8"))
    template, ends = ChatTemplate.from_json(body["template"]), frozenset(body["ends"])
    for rows in _here(Path(body["path"]), template, ends, place, body["workers"]):
        print(json.dumps(rows), flush=True)


if __name__ == "__main__":
    try:
        _work(Path(sys.argv[1]), int(sys.argv[2]))
    except BrokenPipeError:
        # Nobody wants the rows any more; there is no one to tell, either.
        os._exit(0)
