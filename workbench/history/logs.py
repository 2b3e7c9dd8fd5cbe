"""Where a run's logs are, and how long."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Logs:
    """The files that a run's curves are read from."""

    folder: Path
    """For the cache."""
    training: Path
    """The run's own log."""
    machine: Path
    """Its supervisor's."""


def whole(log: Path) -> int:
    """Bytes of a log up to the end of its last whole line; 0 where there is none."""
    try:
        with log.open("rb") as stream:
            place = stream.seek(0, os.SEEK_END)
            while place:
                start = max(0, place - _BLOCK)
                stream.seek(start)
                if (last := stream.read(place - start).rfind(b"\n")) != -1:
                    return start + last + 1
                place = start
    except OSError:
        return 0
    return 0


def identity(log: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None where there is none."""
    try:
        status = log.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
