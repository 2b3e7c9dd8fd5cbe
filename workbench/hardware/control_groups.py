"""The memory control group that a process is in: its limit, its use, whom the kernel killed.

Both versions of the kernel's interface. A container sees its own part of the tree alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROCESS = Path("/proc/self")
_UNLIMITED = 1 << 60
"""Version 1 writes a limit of nearly 2^63 for none."""
_RECLAIMABLE = {
    1: ("total_active_file", "total_inactive_file"),
    2: ("active_file", "inactive_file", "slab_reclaimable"),
}
"""What the kernel gives up before it kills: files it holds, weights mapped from disk among them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a control group may use."""

    bytes: int
    used: int | None
    """Bytes that its processes hold; what the kernel would give up is not counted."""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A memory control group, by its folder in the kernel's file system."""

    path: Path
    top: Path
    """Where the tree begins as far as it can be seen."""
    version: int

    @property
    def name(self) -> str:
        return f"/{self.path.relative_to(self.top)}" if self.path != self.top else "/"

    def limit(self) -> Limit | None:
        """The smallest limit of this group and those around it; None without one."""
        limits = (limit for group in self._upwards() if (limit := group._own_limit()))
        return min(limits, key=lambda limit: limit.bytes, default=None)

    def kills(self) -> int | None:
        """How often the kernel has killed one of its processes for memory, be it this group's or
        the whole machine's that was short; None where it doesn't say, as before Linux 4.13."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return counts(self.path / name).get("oom_kill")

    def _upwards(self) -> Iterator[MemoryGroup]:
        path = self.path
        yield self
        while path != self.top:
            path = path.parent
            yield MemoryGroup(path, self.top, self.version)

    def _own_limit(self) -> Limit | None:
        first = self.version == 1
        limit = _number(self.path / ("memory.limit_in_bytes" if first else "memory.max"))
        if limit is None or limit >= _UNLIMITED:
            return None
        used = _number(self.path / ("memory.usage_in_bytes" if first else "memory.current"))
        if used is not None:
            held = counts(self.path / "memory.stat")
            used = max(0, used - sum(held.get(name, 0) for name in _RECLAIMABLE[self.version]))
        return Limit(limit, used)


def memory_group(process: Path = _PROCESS) -> MemoryGroup | None:
    """The group that a process (its folder in /proc) is in; None where the kernel has none."""
    try:
        groups = [line.split(":", 2) for line in _lines(process / "cgroup")]
        mounts = [line for line in _lines(process / "mountinfo") if " - cgroup" in line]
    except OSError:
        return None
    first = next((path for _, names, path in groups if "memory" in names.split(",")), None)
    second = next((path for number, _, path in groups if number == "0"), None)
    if first is not None:
        return _find(first, mounts, 1)
    return _find(second, mounts, 2) if second is not None else None


def _find(path: str, mounts: list[str], version: int) -> MemoryGroup | None:
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if version == 1 and not (kind == "cgroup" and "memory" in options.split(",")):
            continue
        if version == 2 and kind != "cgroup2":
            continue
        _, _, _, root, top, *_ = before.split(" ")
        return _group(path, _plain(root), Path(_plain(top)), version)
    return None


def _group(path: str, root: str, top: Path, version: int) -> MemoryGroup | None:
    """The group at `path` where the tree from `root` on is mounted at `top`."""
    inside = path.removeprefix(root.rstrip("/")).strip("/")
    folder = top / inside
    if ".." in inside.split("/") or not folder.is_dir():
        # Mounted from a container's own group on, which its processes see under another name.
        folder = top
    # Memory need not be accounted for down to the last group of version 2.
    present = "memory.usage_in_bytes" if version == 1 else "memory.current"
    while not (folder / present).exists():
        if folder == top:
            return None
        folder = folder.parent
    return MemoryGroup(folder, top, version)


def _plain(path: str) -> str:
    """A path of mountinfo, whose spaces and the like are in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="surrogateescape").splitlines()


def _number(path: Path) -> int | None:
    """A file's number; None when it can't be read or says `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def counts(path: Path) -> dict[str, int]:
    """A file of the kernel's with a name and a number a line; empty when it can't be read."""
    try:
        pairs = (line.split() for line in _lines(path))
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except OSError:
        return {}
