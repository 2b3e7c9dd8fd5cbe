"""The command of the person's own at a job's end."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from workbench.jobs.ending import Ending

_MAY_TAKE = 60.0
"""Seconds; a supervisor must not stay for a command that hangs."""
_PLACE = re.compile(r"\{(run|status|cause|text|folder)\}")


def run(command: Sequence[str], folder: Path, ending: Ending) -> None:
    """Run `command`, filled in, without a shell; what it says goes to where this process's does.

    Raises nothing: the job has ended as it has, whatever becomes of the command.
    """
    told = {
        "run": folder.name,
        "status": ending.status,
        "cause": ending.cause,
        "text": ending.text,
        "folder": str(folder),
    }
    try:
        ended = subprocess.run(
            [_PLACE.sub(lambda place: told[place[1]], word) for word in command],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **{f"WORKBENCH_{k.upper()}": v for k, v in told.items()}},
            timeout=_MAY_TAKE,
            check=False,
        )
        problem = f"exit code {ended.returncode}" if ended.returncode else ""
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        # ValueError: a text with a NUL, which no command line can hold.
        problem = str(error)
    if problem:
        print(f"on_end: {command[0]} failed: {problem}", flush=True)
