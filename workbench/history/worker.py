"""Reads all of a run's logs: `python -m workbench.history.worker FOLDER LOG END LOG END`.

It writes how far it is as lines of JSON, then the length of the history in bytes and these, as
`cache.pack` makes them. It goes on from the run's cache and renews it, where the folder takes it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from workbench.history import cache, reading
from workbench.history.logs import Logs

_EVERY = 0.25
"""Seconds between two lines."""
_KINDNESS = 10
"""How much it lets others go first: a training may be on this machine."""


def main(arguments: list[str]) -> None:
    os.nice(_KINDNESS)
    logs = Logs(*(Path(arguments[place]) for place in (0, 1, 3)))
    ends = (int(arguments[2]), int(arguments[4]))
    told = 0.0

    def say(share: float) -> None:
        nonlocal told
        if (now := time.monotonic()) > told + _EVERY:
            told = now
            _write(json.dumps({"share": share}).encode() + b"\n")

    exact = reading.read_to(logs, ends, say)
    cache.write(logs.folder, exact.content)
    _write(json.dumps({"bytes": len(exact.content)}).encode() + b"\n" + exact.content)


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError:
        # Nobody wants it any more, or the logs are gone: there is nothing to tell.
        os._exit(1)
