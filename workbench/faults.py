"""A fault of workbench's own: one sentence for the person, the traceback for a file."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path

_FILE = "faults.log"


def tell(error: BaseException) -> str:
    """Keep the traceback, and return what to say instead of it."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"This is a fault of workbench's own: {what}\n"
        f"The details are in {_keep(error)}. Runs that were started go on."
    )


def _keep(error: BaseException) -> Path:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"{stamp}\n{''.join(traceback.format_exception(error))}\n"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = state / "workbench" / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError:
        handle, name = tempfile.mkstemp(prefix="workbench-fault-", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        return Path(name)
    return path
