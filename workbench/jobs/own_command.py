"""Commands of the person's own, run without a shell when something has happened to a job."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence

MAY_TAKE = 60.0
"""Seconds; a supervisor must not stay for a command that hangs."""


class OwnCommand:
    """One that is run each time something happens, beside the supervisor's own work."""

    def __init__(self, setting: str, words: Sequence[str]) -> None:
        """`setting` names it in what is said of its failing."""
        self._setting = setting
        self._words = words
        self._running: list[tuple[subprocess.Popen[bytes], float]] = []

    def start(self, told: Mapping[str, str], **environment: str) -> None:
        """Run it with `told` filled in in its words, as `{name}`, and set as `WORKBENCH_NAME`.

        What it says goes to where this process's does. Raises nothing.
        """
        if not self._words:
            return
        place = re.compile(r"\{(" + "|".join(told) + r")\}")
        variables = {f"WORKBENCH_{name.upper()}": value for name, value in told.items()}
        try:
            process = subprocess.Popen(
                [place.sub(lambda found: told[found[1]], word) for word in self._words],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **variables, **environment},
            )
        except (OSError, ValueError) as error:
            # ValueError: a text with a NUL, which no command line can hold.
            self._complain(str(error))
        else:
            self._running.append((process, time.monotonic() + MAY_TAKE))

    def look(self) -> None:
        """See to those that have ended, and kill those that take too long."""
        left = []
        for process, until in self._running:
            if process.poll() is None and time.monotonic() < until:
                left.append((process, until))
            else:
                self._see_off(process)
        self._running = left

    def wait(self) -> None:
        """Wait for all that run, as long as they may take."""
        for process, until in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            self._see_off(process)
        self._running = []

    def _see_off(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
            process.wait()
            self._complain(f"it took longer than {MAY_TAKE:.0f} s")
        elif process.returncode:
            self._complain(f"exit code {process.returncode}")

    def _complain(self, problem: str) -> None:
        print(f"{self._setting}: {self._words[0]} failed: {problem}", flush=True)
