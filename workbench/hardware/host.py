"""The host's memory, load and disk, from /proc and the control group."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.hardware.control_groups import memory_group


@dataclass(frozen=True, slots=True)
class Host:
    """The host at one moment; None is what it doesn't tell."""

    memory_used: int | None
    """Bytes that programs hold; caches are not counted."""
    memory_total: int | None
    memory_limit: int | None
    """Bytes that this container or job may use; None without a limit below the total."""
    memory_limit_used: int | None
    """Bytes that all who share this limit hold; caches are not counted."""
    load1: float | None
    """Mean number of runnable processes over the last minute."""
    cpus: int
    """Processors that this process may use."""
    cpu_percent: float | None
    """Use of all processors since the sample before, 0 to 100."""
    disk_free: int | None
    """Bytes free where the run's folder is."""
    rss: int | None
    """Bytes of memory that the run's process holds."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class HostSampler:
    """Samples the host; keeps what a difference needs."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where the run writes."""
        self._folder = folder
        self._group = memory_group()
        self._busy, self._all = _processor_times()

    def sample(self, pid: int | None = None) -> Host:
        """The host now; `pid` is the run's process."""
        memory = _memory()
        total, free = memory.get("MemTotal"), memory.get("MemAvailable")
        limit = self._group.limit() if self._group else None
        limited = limit if limit and total and limit.bytes < total else None
        return Host(
            memory_used=total - free if total is not None and free is not None else None,
            memory_total=total,
            memory_limit=limited.bytes if limited else None,
            memory_limit_used=limited.used if limited else None,
            load1=_load(),
            cpus=len(os.sched_getaffinity(0)),
            cpu_percent=self._cpu_percent(),
            disk_free=_disk_free(self._folder),
            rss=_rss(pid) if pid else None,
        )

    def _cpu_percent(self) -> float | None:
        busy, whole = _processor_times()
        spent, passed = busy - self._busy, whole - self._all
        self._busy, self._all = busy, whole
        return round(100 * spent / passed, 1) if passed > 0 else None


_VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
"""The kernel's names of vector units, the fastest first."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What computes where there is no GPU."""

    name: str
    """Empty where the kernel doesn't tell."""
    count: int
    """Processors that this process may use, as the system counts them."""
    vectors: str
    """The best vector unit, by the kernel's name of it; empty for one of none of `_VECTORS`."""

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in it: torch would say so of each with AVX-512."""
        return self.vectors.endswith("_bf16")


def processor() -> Processor:
    """The machine's processor, by /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(text.split())
    return Processor(
        named[1].strip() if named else "",
        len(os.sched_getaffinity(0)),
        next((name for name in _VECTORS if name in flags), ""),
    )


def processor_has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16."""
    return processor().bfloat16


def disk_free(folder: Path) -> int | None:
    """Bytes free where `folder` is, or will be; None where nobody tells."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return _disk_free(folder)


def memory_left() -> int | None:
    """Bytes that a new process can have, by the machine and by its control group; None where the
    kernel doesn't tell."""
    memory, group = _memory(), memory_group()
    limit = group.limit() if group is not None else None
    left = [memory["MemAvailable"]] if "MemAvailable" in memory else []
    if limit is not None and limit.used is not None:
        left.append(max(0, limit.bytes - limit.used))
    return min(left, default=None)


def _memory() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _processor_times() -> tuple[int, int]:
    """Busy and all ticks of all processors since boot."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return 0, 0
    ticks = [int(value) for value in first.split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _disk_free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _rss(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
