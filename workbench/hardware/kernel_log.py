"""The kernel's log, as far as this person may read it: whom it killed for memory, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LOG = Path("/dev/kmsg")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_NAMESPACE = "pid:[4026531836]"
"""The one whose pids the kernel's log names; the number is the same in every kernel."""
_RECORD = 8192
"""Bytes; the longest record of the kernel's log."""
_KILLED = re.compile(r"\bKill(?:ed)? process (\d+) ")
_HELD = re.compile(r"\b(?:anon|shmem)-rss:(\d+)kB")
_GROUP = re.compile(r"\boom-kill:.*,oom_memcg=(.*),task_memcg=.*,pid=(\d+),")
_IN_GROUP = "Memory cgroup out of memory"


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that the kernel killed for memory."""

    pid: int
    in_group: bool
    """A control group was at its limit, not the whole machine out of memory."""
    group: str = ""
    """That group's name; empty where the kernel doesn't tell."""
    held: int | None = None
    """Bytes that the process held then."""


class KernelLog:
    """What the kernel logs from now on."""

    def __init__(self, path: Path = _LOG) -> None:
        self._path = path
        records = self._records()
        self._seen = records[-1][0] if records else -1

    def kills(self) -> dict[int, Kill] | None:
        """The processes that were killed for memory since, by pid.

        None where the log can't be read, or names processes by other pids than this process
        does, as in a container.
        """
        records = self._records()
        if records is None or not pids_are_the_kernels():
            return None
        return kills_in(text for number, text in records if number > self._seen)

    def _records(self) -> list[tuple[int, str]] | None:
        """Number and text of what the kernel itself has written; None if it can't be read."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return _read(handle)
        except OSError:
            return None
        finally:
            os.close(handle)


def _read(handle: int) -> list[tuple[int, str]]:
    records: list[tuple[int, str]] = []
    while True:
        try:
            record = os.read(handle, _RECORD)
        except BlockingIOError:
            return records
        except BrokenPipeError:
            continue  # the kernel has written over what was to be read next
        if not record:
            return records
        # What belongs to a record but is no text of it is in lines that begin with a space.
        lines = record.decode(errors="replace").splitlines()
        for head, _, text in (line.partition(";") for line in lines if line[:1].isdigit()):
            priority, number, *_ = head.split(",")
            # From 8 on it is what a program has written there, whatever it says.
            if int(priority) < 8:
                records.append((int(number), text))


def kills_in(texts: Iterable[str]) -> dict[int, Kill]:
    """The processes that the kernel's messages say it has killed for memory, by pid."""
    groups: dict[int, str] = {}
    found: dict[int, Kill] = {}
    for text in texts:
        if chosen := _GROUP.search(text):
            groups[int(chosen[2])] = chosen[1]
        elif killed := _KILLED.search(text):
            pid = int(killed[1])
            # Older kernels say it twice: first that they will, then that they have.
            before = found.get(pid)
            in_group = (
                _IN_GROUP in text or pid in groups or (before is not None and before.in_group)
            )
            held = sum(int(kib) for kib in _HELD.findall(text)) * 1024
            found[pid] = Kill(pid, in_group, groups.get(pid, ""), held or None)
    return found


def pids_are_the_kernels() -> bool:
    """Whether this process names others by the pids that the kernel, and its drivers, do."""
    try:
        return str(_PID_NAMESPACE.readlink()) == _FIRST_NAMESPACE
    except OSError:
        return False
