"""A run's curves at once, however large its logs are, and exact a while later.

What is small is read whole by who follows the log. Of a large log the cache tells up to where it
was read; what lies behind that, if it is much, is sketched, and then read by another process.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workbench.history import cache, sketch
from workbench.history.cache import Exact
from workbench.history.history import History
from workbench.history.logs import Logs, whole
from workbench.history.reading import LARGE

_NEARLY = 0.99
"""The most that is read before it is told what it came to."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A history to begin with."""

    history: History
    training: int
    """The offset from which on the run's own log is to be followed."""
    machine: int
    """And the supervisor's."""
    sketched: bool
    """Whether a part of it is a sketch."""


def begin(logs: Logs) -> Opened:
    """What can be had at once: exact where the logs are small or the cache is fresh."""
    known = cache.read(logs.folder, logs.training, logs.machine) or Exact(History())
    history, follow = known.history, [known.training, known.machine]
    sketched = False
    kinds = ((logs.training, sketch.training), (logs.machine, sketch.machine))
    for place, (log, draw) in enumerate(kinds):
        end = whole(log)
        if end - follow[place] > LARGE:
            draw(history, log, follow[place], end)
            follow[place], sketched = end, True
    return Opened(history, follow[0], follow[1], sketched)


class ExactPass:
    """All of a run's logs, read by a process of its own. It ends with this object."""

    def __init__(self, logs: Logs, ends: tuple[int, int]) -> None:
        """Begin to read up to these offsets. Raises OSError when no process can be started."""
        self._logs = logs
        self.share = 0.0
        """The part of the logs that is read, by it or by those before."""
        arguments = [str(logs.folder)]
        for log, end in zip((logs.training, logs.machine), ends, strict=True):
            arguments += [str(log), str(end)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workbench.history.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers: Any = self._process.stdout
        self.over = False

    def poll(self) -> Exact | None:
        """What it came to, once it is through; never waits but for the last megabytes."""
        while not self.over and self._ready():
            line = self._answers.readline()
            body = json.loads(line) if line.endswith(b"\n") else {}
            if "share" in body:
                self.share = min(body["share"], _NEARLY)
                continue
            content = self._answers.read(body.get("bytes", 0))
            self.end()
            self.share = 1.0 if content else 0.0
            return cache.unpack(content, self._logs.training, self._logs.machine)
        return None

    def end(self) -> None:
        """End it, wherever it is."""
        self.over = True
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._answers.close()

    def __del__(self) -> None:
        if not getattr(self, "over", True):
            self.end()

    def _ready(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            return bool(selector.select(0))
