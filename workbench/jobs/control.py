"""The job's end of the control line: commands that it acts on between two steps or batches."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from workbench.jobs.events import CommandHandled
from workbench.jobs.log import LogWriter

FD_VARIABLE = "WORKBENCH_CONTROL_FD"
"""Names the file descriptor that the supervisor writes commands to."""

JOB_COMMANDS = ("stop", "save_now")
"""`stop`: save a checkpoint after this step and end. `save_now`: save and go on. A job without
checkpoints ends after this batch, with nothing half-done left, and passes over `save_now`."""


@dataclass(frozen=True, slots=True)
class Command:
    id: str
    command: str


class Stopped(Exception):
    """A person asked for the end before the work was done."""


class Control:
    """Reads commands without ever waiting. Without a supervisor there are none."""

    def __init__(self) -> None:
        value = os.environ.get(FD_VARIABLE)
        self._handle = int(value) if value else None
        self._buffer = b""
        if self._handle is not None:
            os.set_blocking(self._handle, False)

    def poll(self) -> list[Command]:
        """The commands that came since the last call."""
        if self._handle is None:
            return []
        try:
            while data := os.read(self._handle, 1 << 16):
                self._buffer += data
            # End of file: the supervisor is gone, and the job goes on without it.
            self._handle = None
        except BlockingIOError:
            pass
        *lines, self._buffer = self._buffer.split(b"\n")
        return [Command(**json.loads(line)) for line in lines]

    def end_if_asked(self, log: LogWriter) -> None:
        """For jobs without checkpoints, between batches: raises Stopped once `stop` has come."""
        for command in self.poll():
            log.write(CommandHandled(command.id, command.command))
            if command.command == "stop":
                raise Stopped
