"""Control groups with a small memory limit, where this machine lets a test make them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.polling import eventually
from workbench.hardware.control_groups import memory_group


@dataclass(frozen=True)
class SmallGroup:
    path: Path
    limit: int
    """Bytes."""

    def join(self) -> None:
        """Put the calling process into it; for `preexec_fn`."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))


@contextmanager
def small_group(limit: int) -> Iterator[SmallGroup]:
    """A memory control group of its own, removed in the end; skips the test without one."""
    own = memory_group()
    if own is None or os.geteuid() != 0:
        pytest.skip("no memory control group can be made here")
    path = own.top / f"workbench-test-{os.getpid()}-{time.monotonic_ns()}"
    first = own.version == 1
    try:
        path.mkdir()
        (path / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
        if (path / "memory.swap.max").exists():
            (path / "memory.swap.max").write_text("0")
    except OSError as error:
        if path.exists():
            path.rmdir()
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        yield SmallGroup(path, limit)
    finally:
        eventually(lambda: not (path / "cgroup.procs").read_text())
        eventually(lambda: _removed(path))


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:  # its last process is not quite gone
        return False
    return True
