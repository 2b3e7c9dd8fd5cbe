"""A large log at a glance: evenly spaced places of it, before all of it is read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.history import scan
from workbench.history.history import History
from workbench.jobs.events import Step

SECONDS = 0.3
"""What looking at places may take, for one log."""
_PLACES = 511
"""At most: a chart 250 cells wide has as many dot columns."""
_BLOCK = 1 << 12
_LONGEST = 1 << 17
"""Bytes that are read at a place: first few, then as many where no whole line is among them."""
_LINES = 4
"""Of a place."""
_ENDS = 1 << 16
"""Bytes at either end that are read whole."""


def training(history: History, log: Path, start: int, end: int) -> None:
    """Feed the run's own log from one offset to another as it looks from some places. Tokens of
    what lies between are estimated by those on either side."""
    rate = 0.0
    for lines in _glances(log, start, end):
        if (step := _first_step(lines)) is not None:
            before = rate
            rate = step["tokens"] / max(1, step.get("steps", 1))
            last = history.span()
            between = step["step"] - step.get("steps", 1) - (last[1] if last else 0)
            if between > 0:
                history.add_unseen(between * (before + rate) / (2 if before else 1))
        scan.training(history, lines)


def machine(history: History, log: Path, start: int, end: int) -> None:
    """Feed the supervisor's log from one offset to another as it looks from some places."""
    for lines in _glances(log, start, end):
        scan.machine(history, lines)


def places(count: int) -> Iterator[float]:
    """Parts of 1 in the order of bisecting: whenever one stops, they are evenly spaced.

    The sequence of van der Corput, in base 2.
    """
    for number in range(1, count + 1):
        part, digit = 0.0, 0.5
        while number:
            part += digit * (number & 1)
            number >>= 1
            digit /= 2
        yield part


def _glances(log: Path, start: int, end: int) -> Iterator[bytes]:
    """Whole lines from both ends and from places between, in their order."""
    until = time.monotonic() + SECONDS
    handle = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # What lies beside a place isn't wanted: on a cold disk it would take as long again.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        head = _lines(os.pread(handle, min(_ENDS, end - start), start))
        first, last = start + len(head), max(start + len(head), end - _ENDS)
        tail = os.pread(handle, end - last, last)
        if last > first:
            tail = tail[tail.find(b"\n") + 1 :]
        found: dict[int, bytes] = {}
        for part in places(_PLACES):
            if last - first <= _BLOCK or time.monotonic() > until:
                break
            offset = first + int(part * (last - first))
            found[offset] = _at(handle, offset, last)
        yield head
        for offset in sorted(found):
            yield found[offset]
        yield _lines(tail)
    finally:
        os.close(handle)


def _at(handle: int, offset: int, last: int) -> bytes:
    """The first whole lines behind an offset."""
    for size in (_BLOCK, _LONGEST):
        block = os.pread(handle, min(size, last - offset), offset)
        begin = block.find(b"\n") + 1
        lines = block[begin : block.rfind(b"\n") + 1] if begin else b""
        if lines:
            return b"".join(lines.splitlines(keepends=True)[:_LINES])
    return b""


def _lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _first_step(lines: bytes) -> dict[str, float] | None:
    mark = f'"type":"{Step.type}"'.encode()
    line = next((line for line in lines.splitlines() if mark in line), None)
    try:
        body = json.loads(line) if line else None
        if body is not None:
            # Numbers that can be reckoned with, or it tells nothing.
            return {name: float(body[name]) for name in ("step", "tokens")} | {
                "steps": float(body.get("steps", 1))
            }
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return None
