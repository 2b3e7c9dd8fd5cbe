"""What a log says at both its ends: it may be gigabytes."""

from __future__ import annotations

from pathlib import Path

from workbench.jobs.events import Record, Started, decode
from workbench.jobs.log import LogReader

_HEAD = 1 << 16
"""Bytes: what a run starts with is there, behind the notices of its loading."""
_STARTED = f'"type":"{Started.type}"'.encode()


def glance(log: Path, size: int) -> list[Record]:
    """The log's first `Started`, if it has one, and about its last `size` bytes."""
    end = tail(log, size)
    started = _first_start(log)
    return end if started is None or (end and end[0].seq <= started.seq) else [started, *end]


def tail(log: Path, size: int) -> list[Record]:
    """The events in about the last `size` bytes of a log; none where there is no log."""
    reader = LogReader(log)
    reader.skip_to_tail(size)
    return reader.read()


def _first_start(log: Path) -> Record | None:
    try:
        with log.open("rb") as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError:
        return None
    place = head.find(_STARTED)
    end = head.find(b"\n", place)
    return decode(head[head.rfind(b"\n", 0, place) + 1 : end]) if -1 not in (place, end) else None
