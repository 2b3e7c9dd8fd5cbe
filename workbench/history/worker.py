"""Reads all of a run's logs: `python -m workbench.history.worker FOLDER LOG END LOG END`.

It writes how far it is as lines of JSON, then the length of the history in bytes and these, as
`cache.pack` makes them. It goes on from the run's cache and renews it, where the folder takes it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workbench.history import cache, scan
from workbench.history.cache import Exact
from workbench.history.history import History

_EVERY = 0.25
"""Seconds between two lines."""
_KINDNESS = 10
"""How much it lets others go first: a training may be on this machine."""


def read_all(
    folder: Path,
    training: Path,
    machine: Path,
    ends: tuple[int, int],
    say: Callable[[float], None] = lambda share: None,
) -> tuple[Exact, bytes]:
    """The history of both logs up to `ends`, from the cache on if there is one; as bytes, too.

    Raises OSError when a log can't be read or is another than it was.
    """
    known = cache.read(folder, training, machine)
    if known is None or known.training > ends[0] or known.machine > ends[1]:
        known = Exact(History())
    history, reached = known.history, [known.training, known.machine]
    logs = ((training, scan.training), (machine, scan.machine))
    before = [_identity(log) for log, _ in logs]
    for place, (log, take) in enumerate(logs):
        for offset in scan.pass_over(history, log, take, reached[place], ends[place]):
            reached[place] = offset
            say(sum(reached) / sum(ends))
    exact = Exact(history, *reached)
    content = cache.pack(exact, training, machine)
    if before != [_identity(log) for log, _ in logs]:
        raise OSError("a log was replaced while it was read")
    return exact, content


def _identity(log: Path) -> tuple[int, int] | None:
    try:
        status = log.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def main(arguments: list[str]) -> None:
    os.nice(_KINDNESS)
    folder, training, machine = (Path(arguments[place]) for place in (0, 1, 3))
    told = 0.0

    def say(share: float) -> None:
        nonlocal told
        if (now := time.monotonic()) > told + _EVERY:
            told = now
            _write(json.dumps({"share": share}).encode() + b"\n")

    _, content = read_all(folder, training, machine, (int(arguments[2]), int(arguments[4])), say)
    cache.write(folder, content)
    _write(json.dumps({"bytes": len(content)}).encode() + b"\n" + content)


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError:
        # Nobody wants it any more, or the logs are gone: there is nothing to tell.
        os._exit(1)
