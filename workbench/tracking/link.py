"""How fresh what is known of a run is: its heartbeat, its machine, the file system between."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from workbench.jobs.state import STATE, JobState

_REMOTE = ("nfs", "cifs", "smb", "9p", "lustre", "ceph", "beegfs", "gpfs", "afs", "glusterfs")
"""What the types of network file systems begin with, after `fuse.` if they are that."""
_OLD = 10.0
"""Seconds: five heartbeats."""


@dataclass(frozen=True, slots=True)
class Link:
    """The way from a run to who watches it."""

    heartbeat: float | None = None
    """When its supervisor last gave a sign, unix seconds; None before its start."""
    host: str = ""
    """The machine that it runs on, where that is another one."""
    file_system: str = ""
    """The network file system that its folder is on, such as `nfs4`; empty for a local one."""
    lags: bool = False
    """Whether the heartbeat is older than it should be."""

    @classmethod
    def of(cls, run: Path, state: JobState | None, now: float | None = None) -> Link:
        """Of the run's folder as it is now."""
        now = time.time() if now is None else now
        try:
            heartbeat = (run / STATE).stat().st_mtime
        except OSError:
            heartbeat = None
        host = "" if state is None or state.is_here() else state.host
        late = heartbeat is not None and now - heartbeat > _OLD
        return cls(heartbeat, host, network_file_system(run), late)


def network_file_system(folder: Path, mounts: str | None = None) -> str:
    """The type of the network file system that `folder` is on; empty where it is on none, or
    that can't be told. `mounts` is what /proc/self/mountinfo says, see proc(5)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
        place = str(folder.resolve())
    except OSError:
        return ""
    longest, kind = "", ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5:
            continue
        # Spaces and the like are octal escapes there.
        point = fields[4].encode().decode("unicode_escape").rstrip("/")
        inside = place == point or place.startswith(f"{point}/")
        # Of two at one place the later hides the earlier.
        if inside and len(point) >= len(longest):
            longest, kind = point, after.split()[0]
    remote = kind.removeprefix("fuse.").startswith(_REMOTE) or kind == "fuse.sshfs"
    return kind if remote else ""
