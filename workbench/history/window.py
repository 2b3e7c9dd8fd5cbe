"""The exact events of a part of a run, read from its logs: for charts that zoom in further than
the buckets of its history."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.history import scan
from workbench.history.history import AXES, History
from workbench.history.logs import whole

_NEAR = 1 << 13
"""Bytes within which an offset is looked for line by line."""
_LONGEST = 1 << 20
"""Bytes of a line, at most, where a place is looked for."""

_MOST = 16 << 20
"""Bytes of a log that are read for a part, 50,000 steps in a second: beyond that buckets do."""
_FEW = 1024
"""Buckets that don't: fewer than two for each dot column of a chart 250 cells wide."""
_MOST_FOR_FEW = 6 * _MOST
"""Bytes that are read where there are so few: of a run of 10 million steps 500 to 600 buckets."""

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a run, and where in its logs it is."""

    left: float
    """Its first step."""
    right: float
    """Its last."""
    events: tuple[float, float]
    """Numbers of the run's events between which its own are."""
    times: tuple[float, float]
    """Unix seconds between which it was."""
    before: list[float]
    """Where the run was then on the axes of `history.AXES`."""
    few: bool = False
    """Whether the buckets of its history are too few to be drawn."""


def window(history: History, left: float, right: float) -> Window | None:
    """The part of a run from one step to another; None where its history has nothing more to be
    read: no two steps share a bucket there. Takes no time."""
    track = history.training
    if track.single("step", left, right):
        return None
    events, times = (track.enclosing("step", left, right, axis) for axis in ("seq", "time"))
    reached = [track.enclosing("step", left, right, axis)[0] for axis in AXES]
    before = [place if math.isfinite(place) else 0.0 for place in reached]
    where = track.between("step", left, right)
    return Window(left, right, events, times, before, where.stop - where.start < _FEW)


def read(
    wanted: Window, training: Path, machine: Path, stop: Stop = lambda: False
) -> History | None:
    """The events of a part of a run, from its own log and its supervisor's; None where `stop`
    says so, or where there is too much of its own to be read soon. Of the machine as much is left
    out.

    What comes back is a history of the part alone, over the same axes; where a resumed run did
    steps again, the last count. Meant for a thread: it takes some seconds at most. Raises OSError
    when a log can't be read.
    """
    part = History()
    part.go_on_from(wanted.before)
    for log, take, key, (low, high) in (
        (training, scan.training, "seq", wanted.events),
        (machine, scan.machine, "t", wanted.times),
    ):
        if not log.exists():
            continue
        with log.open("rb") as stream:
            size = whole(log)
            start = _find(stream.fileno(), size, key, low)
            end = _find(stream.fileno(), size, key, high)
        if end - start > (_MOST_FOR_FEW if wanted.few else _MOST):
            if log == training:
                return None
            continue
        for _ in scan.pass_over(part, log, take, start, end):
            if stop():
                return None
    part.training.cut_after(wanted.right)
    part.training.cut_before(wanted.left)
    return part


def _find(handle: int, size: int, key: str, wanted: float) -> int:
    """Where the first line begins whose `key` is beyond `wanted`."""
    low, high = 0, size
    while high - low > _NEAR:
        middle = (low + high) // 2
        start, value = _line_behind(handle, middle, high, key)
        if value is None:
            high = middle
        elif value <= wanted:
            low = start
        else:
            high = middle
    content = os.pread(handle, min(size, high + _LONGEST) - low, low)
    place = 0
    while place < len(content):
        end = content.find(b"\n", place) + 1 or len(content)
        value = _value(content[place:end], key)
        if value is not None and value > wanted:
            break
        place = end
    return low + place


def _line_behind(handle: int, offset: int, end: int, key: str) -> tuple[int, float | None]:
    """The first line that begins behind an offset and has the key: where, and its value."""
    for size in (1 << 14, _LONGEST):
        block = os.pread(handle, min(size, end - offset), offset)
        place = block.find(b"\n") + 1
        while place:
            stop = block.find(b"\n", place) + 1
            if not stop:
                break
            if (value := _value(block[place:stop], key)) is not None:
                return offset + place, value
            place = stop
    return end, None


def _value(line: bytes, key: str) -> float | None:
    try:
        body = json.loads(line)
        return float(body[key])
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
