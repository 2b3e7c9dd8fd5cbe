"""Fetches or converts one base model: `python -m workbench.fetch_worker WORKSPACE NAME`.

A process of its own, since neither a hub's client nor pip can be ended from within. It tells
what it does in lines of JSON on stdout, each of one kind: `say`, `watch`, `result`, `error`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from workbench import base_models
from workbench.errors import WorkbenchError
from workbench.jobs.control import STOP_NOW
from workbench.workspace import Workspace

_ENDS = (signal.SIGTERM, STOP_NOW)


class _Lines:
    """Stdout, kept free of what libraries print; sentences come from a thread of their own."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="ascii")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def write(self, **line: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()


def main(root: str, name: str) -> int:
    """Returns 2 where there is something for a person to mend, which the last line tells."""
    for number in _ENDS:
        signal.signal(number, _leave)
    lines = _Lines()

    def watch(phase: str, folder: Path, size: int) -> None:
        lines.write(watch=[phase, str(folder), size])

    try:
        folder = base_models.prepare(
            Workspace(Path(root)), name, lambda text: lines.write(say=text), watch
        )
    except WorkbenchError as error:
        lines.write(error=[error.message, error.hint, error.cause])
        return 2
    lines.write(result=str(folder))
    return 0


def _leave(number: int, frame: object) -> NoReturn:
    # As an exception, so that what was begun is cleaned up; a second signal must not end that.
    for other in _ENDS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
