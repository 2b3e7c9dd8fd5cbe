"""Whether the kernel has killed a process of a job for want of memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workbench.hardware.control_groups import MemoryGroup, counts, memory_group
from workbench.hardware.kernel_log import KernelLog, Kill
from workbench.text import size

_COUNTS = Path("/proc/vmstat")
_NEARLY = 0.05
"""Share of the memory: with less than that free, it counts as nearly used up."""


class MemoryKills:
    """Knows what the kernel does from now on: made before a job is started, asked after its end.

    A job is in its supervisor's control group, so it is this process's that is looked at.
    """

    def __init__(
        self,
        log: KernelLog | None = None,
        group: MemoryGroup | None = None,
        machine: Path = _COUNTS,
    ) -> None:
        """By default the kernel's own log, this process's group and the machine's own counts."""
        self._log = log or KernelLog()
        self._group = group or memory_group()
        self._machine = machine
        self._before_in_group = self._kills_in_group()
        self._before = self._kills()

    def explain(self, pids: Collection[int], sample: Mapping[str, Any] | None) -> str | None:
        """Why one of `pids`, which SIGKILL ended, was killed for memory; None if it wasn't.

        The kernel's log names whom it killed; where it can't be read, the control group's count
        tells; where there is none, it is inferred from `sample`, the last one before (its `host`
        is as of `hardware.host.Host`), and said to be.
        """
        logged = self._log.kills()
        if logged is not None:
            found = next((logged[pid] for pid in pids if pid in logged), None)
            return _by_log(found, self._group) if found else _guarded(sample)
        if self._before_in_group is not None:
            killed = (self._kills_in_group() or 0) > self._before_in_group
            return _by_count(self._group) if killed and self._group else _guarded(sample)
        kills = self._kills()
        if self._before is not None and kills == self._before:
            return _guarded(sample)
        return _inferred(sample, known=self._before is not None)

    def _kills_in_group(self) -> int | None:
        return self._group.kills() if self._group else None

    def _kills(self) -> int | None:
        """How often the kernel has killed for memory on this whole machine, if it says so."""
        return counts(self._machine).get("oom_kill")


def _by_log(kill: Kill, own: MemoryGroup | None) -> str:
    where = "the machine's memory was used up"
    if kill.in_group:
        limit = own.limit() if own and kill.group == own.name else None
        of = f" of {size(limit.bytes)}" if limit else ""
        group = f"control group {kill.group}" if kill.group else "its control group"
        where = f"{group} was at its limit{of}"
    held = f", and process {kill.pid} held {size(kill.held)}" if kill.held else ""
    return f"Killed by the kernel for memory: {where}{held}. The kernel's log says so."


def _by_count(group: MemoryGroup) -> str:
    limit = group.limit()
    of = f", whose limit is {size(limit.bytes)}," if limit else ""
    return (
        f"Killed by the kernel for memory: its control group {group.name}{of} has counted "
        "such a kill since the job was started."
    )


def _inferred(sample: Mapping[str, Any] | None, *, known: bool) -> str | None:
    """What to think where neither log nor group can be read; `known`: it has killed somebody."""
    short = _shortage(sample)
    if not known and short is None:
        return None
    seen = "it killed a process of this machine for that while the job ran" if known else ""
    reasons = " and ".join(reason for reason in (seen, short) if reason)
    return f"Killed, it seems by the kernel for memory: its log can't be read here, but {reasons}."


def _guarded(sample: Mapping[str, Any] | None) -> str | None:
    """What to think where it wasn't the kernel: there are programs that kill before it must."""
    short = _shortage(sample)
    if short is None:
        return None
    return (
        "Killed, it seems for memory: it wasn't the kernel itself, but "
        f"{short}, and programs such as earlyoom and systemd-oomd kill then."
    )


def _shortage(sample: Mapping[str, Any] | None) -> str | None:
    """That memory was nearly used up, of the control group where it has a limit."""
    if sample is None:
        return None
    host = sample["host"]
    whole, used = host.get("memory_limit"), host.get("memory_limit_used")
    if whole is None or used is None:
        whole, used = host.get("memory_total"), host.get("memory_used")
    if whole is None or used is None or whole - used > _NEARLY * whole:
        return None
    free = max(0, whole - used)
    return f"when last looked at, seconds before, {size(free)} of {size(whole)} were free"
