"""A run's event file, which `tensorboard --logdir WORKSPACE/runs` shows by the run's id.

Its supervisor writes it as the log grows: the training process never waits for it, and whatever
goes wrong with it costs the run nothing.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from workbench.files import writing
from workbench.jobs.events import Record, Sampled
from workbench.jobs.log import LogReader
from workbench.trackers import event_file
from workbench.trackers.points import Point, Reading

_NAMES = "events.out.tfevents.{}.workbench"
_AT_ONCE = 1 << 18
"""Bytes of the log that one look takes: some hundreds of steps, in some 50 ms."""
_LOOKS = 64
"""Looks that the end of a job may take: what is behind by more is left to `runs track`."""


class Mirror:
    """Follows a run's log, and writes its points into its event file."""

    def __init__(self, folder: Path, log: Path) -> None:
        """Goes on with the file that is there, from where in the log it ends. Raises OSError."""
        self._reading = Reading()
        self._reader = LogReader(log)
        self.path = newest(folder) or folder / _NAMES.format(int(time.time()))
        self._size, last = event_file.whole(self.path) if self.path.exists() else (0, None)
        if last is not None:
            self._reader.skip_to(_behind(log, last))

    def sampled(self, sample: Sampled) -> None:
        """Take in a sample of the machine."""
        self._reading.take(Record(0, time.time(), sample))

    def look(self) -> bool:
        """Write what the log has more, a stretch of it; whether there was any."""
        if self._reader.replaced() or _size(self.path) < self._size:
            self._size = 0
            self._reader.skip_to(0)
        before = self._reader.offset
        try:
            records = self._reader.read(_AT_ONCE)
            self._append(point for record in records if (point := self._reading.take(record)))
        except OSError:  # a full disk, say: the same stretch is tried again
            self._reader.skip_to(before)
            return False
        return bool(records)

    def finish(self) -> None:
        """Write all that is left."""
        for _ in range(_LOOKS):
            if not self.look():
                return

    def _append(self, points: Iterable[Point]) -> None:
        content = b"".join(_encoded(point) for point in points)
        if not content:
            return
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if self._size == 0:
                content = event_file.version(time.time()) + content
            # Whatever lies behind is the torn end of a write that failed.
            os.ftruncate(handle, self._size)
            if os.pwrite(handle, content, self._size) < len(content):
                os.ftruncate(handle, self._size)
                raise OSError("The disk is full.")
        finally:
            os.close(handle)
        self._size += len(content)


def newest(folder: Path) -> Path | None:
    """The run's event file; None where it has none."""
    return max(folder.glob(_NAMES.format("*")), default=None, key=lambda path: path.name)


def write(folder: Path, points: Iterable[Point], texts: Mapping[str, str]) -> Path:
    """Write a run's event file anew, with texts by name, in place of the one that is there.

    Raises WorkbenchError where it can't be written.
    """
    before = newest(folder)
    now = time.time()
    # Never the same name: who has the old one open would read the new one from its middle.
    taken = int(before.name.split(".")[3]) if before else 0
    path = folder / _NAMES.format(max(int(now), taken + 1))
    with writing(path) as stream:
        stream.write(event_file.version(now) + event_file.begins(now, 0))
        for name, markdown in texts.items():
            stream.write(event_file.text(now, name, markdown))
        for point in points:
            stream.write(_encoded(point))
    if before is not None:
        with contextlib.suppress(OSError):
            before.unlink()
    return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _encoded(point: Point) -> bytes:
    if point.begins:
        return event_file.begins(point.time, point.step)
    return event_file.scalars(point.time, point.step, point.values)


def _behind(log: Path, moment: float) -> int:
    """The byte of a log behind its last line of this time; 0 where it has none."""
    try:
        with log.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as m:
            place = m.rfind(f'"t":{moment!r},"type":'.encode())
            return m.find(b"\n", place) + 1 if place != -1 else 0
    except (OSError, ValueError):  # none yet, or an empty one
        return 0
