"""What a runner that is a systemd service does when the machine goes down.

The unit's KillMode leaves the runs alone when the unit is stopped. When systemd itself ends, it
kills what is left with SIGKILL and no word before: the runner passes the word on, so that the
runs save a checkpoint first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from workbench.jobs import processes
from workbench.jobs.state import GOING_ON, JobState, describe

GRACE = 90.0
"""Seconds that the runs have for it; the unit's TimeoutStopSec leaves some more."""


def impends() -> bool:
    """Whether the systemd that this process is a service of is about to end."""
    if "INVOCATION_ID" not in os.environ:
        return False
    return any(_manager(*scope) == "stopping" for scope in (("--user",), ()))


def preempt(folders: Sequence[Path]) -> None:
    """Have the runs in `folders` save a checkpoint and end; returns when they have."""
    deadline = time.monotonic() + GRACE
    for folder in folders:
        state = JobState.read(folder)
        if state is not None and state.supervisor_alive():
            with suppress(ProcessLookupError):
                os.kill(state.supervisor_pid, signal.SIGTERM)
        else:
            processes.send(processes.of_job(folder), signal.SIGTERM)
    while any(describe(f)[0] in GOING_ON for f in folders) and time.monotonic() < deadline:
        time.sleep(0.1)


def _manager(*scope: str) -> str:
    """The state of a systemd, in its own word; empty where there is none."""
    try:
        said = subprocess.run(
            ["systemctl", *scope, "is-system-running"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
