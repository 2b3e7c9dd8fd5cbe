"""The processes of a job: its ranks and helpers, found by a mark in their environment.

Ranks that a launcher starts get sessions of their own, and orphans get another parent; the
environment that a process began with stays.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

MARK = "WORKBENCH_JOB"
"""The variable that names a job's folder to its processes."""


def of_job(folder: Path) -> list[int]:
    """The pids of this person's processes that were started for the job in `folder`."""
    mark = os.fsencode(f"{MARK}={folder.resolve()}")
    return [pid for pid in _own() if mark in _variables(pid)]


def environment(pid: int) -> dict[str, str]:
    """What a process began with; empty where it can't be read, or the process is gone."""
    pairs = (os.fsdecode(variable).partition("=") for variable in _variables(pid))
    return {name: value for name, equals, value in pairs if equals}


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def _own() -> list[int]:
    pids = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # it has ended since
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    pids.append(int(entry.name))
    return pids


def _variables(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
