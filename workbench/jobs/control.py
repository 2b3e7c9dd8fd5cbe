"""The job's end of the control line: commands that it acts on between two steps or batches.

Commands come through a FIFO that the supervisor names, and as signals: SIGTERM says that
the node is wanted for something else, SIGINT is a person's `stop`, a second one and STOP_NOW
end the job at once. SIGHUP does nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections import deque
from dataclasses import asdict, dataclass
from types import FrameType

from workbench.jobs.events import CommandHandled, Paused, WentOn
from workbench.jobs.log import LogWriter

PATH_VARIABLE = "WORKBENCH_CONTROL"
"""Names the FIFO that the supervisor writes commands to."""

JOB_COMMANDS = ("stop", "pause", "resume", "save_now", "evaluate_now", "set_interval")
"""What the job does itself. `stop`: save a checkpoint after this step and end. `pause`: wait
after this step, holding all memory, until `resume`. `save_now`, `evaluate_now`: after this step,
and go on. `set_interval`: log figures every so many steps. A job without checkpoints ends after
this batch, with nothing half-done left, and passes over what it has no use for."""

PREEMPT = "preempt"
"""What SIGTERM asks for: save a checkpoint without finishing this step, and end."""
STOP_NOW = signal.SIGUSR2
"""Ends a job at once. Not SIGTERM, which a node sends, too."""


@dataclass(frozen=True, slots=True)
class Command:
    id: str
    command: str
    value: int | None = None


class Stopped(Exception):
    """The end was asked for before the work was done."""

    def __init__(self, *, preempted: bool = False) -> None:
        super().__init__()
        self.preempted = preempted


class Interrupted(BaseException):
    """A signal asked for the end; no Exception, so that nothing takes it for one.

    `command` is `preempt`, `stop` or `stop_now`.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command


class Control:
    """Reads commands without ever waiting. Without a supervisor there are signals only."""

    def __init__(self) -> None:
        path = os.environ.get(PATH_VARIABLE)
        first_rank = os.environ.get("RANK", "0") == "0"
        self._handle = _open(path) if path and first_rank else None
        self._buffer = b""
        self._kept: deque[Command] = deque()
        """Signals, and commands that were put off, for the next `poll`."""
        self._patient = False
        self._interrupted = False
        self.preempted = False
        """SIGTERM has come."""

    def listen_to_signals(self) -> None:
        """Take up SIGTERM, SIGINT and STOP_NOW; SIGHUP does nothing from now on."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, STOP_NOW):
            signal.signal(number, self._on_signal)

    def be_patient(self) -> None:
        """From now on a first signal waits for `poll`: the caller comes by between batches.

        Until then it raises Interrupted wherever the job is.
        """
        self._patient = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == STOP_NOW or (number == signal.SIGINT and self._interrupted):
            raise Interrupted("stop_now")
        command = PREEMPT if number == signal.SIGTERM else "stop"
        if command == PREEMPT and self.preempted:
            return  # that it is told again must not break off its cleaning up
        self._interrupted |= command == "stop"
        self.preempted |= command == PREEMPT
        # Kept in any case: what raises in a finaliser is swallowed there.
        self._kept.append(Command(signal.Signals(number).name, command))
        if not self._patient:
            raise Interrupted(command)

    def poll(self) -> list[Command]:
        """The commands that came since the last call."""
        if self._handle is not None:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._handle, 1 << 16):
                    self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        came = [command for line in lines if (command := _parse(line)) is not None]
        while self._kept:
            came.append(self._kept.popleft())
        return came

    def hand_over(self) -> None:
        """Be ready for another program in this process: what was put off goes back to the control
        line, and from now on a signal ends the process.

        Raises Interrupted for one that has come already.
        """
        for number in (signal.SIGTERM, signal.SIGINT, STOP_NOW):
            # Raises what is pending; a handler of Python's would lose what comes after.
            signal.signal(number, signal.SIG_DFL)
        while self._kept and self._handle is not None:
            os.write(self._handle, json.dumps(asdict(self._kept.popleft())).encode() + b"\n")

    def wait(self, seconds: float = 0.5) -> None:
        """Return when a command may have come, or after `seconds`."""
        # A signal that is only noted doesn't end the call: hence short waits.
        select.select([] if self._handle is None else [self._handle], [], [], seconds)

    def end_if_asked(self, log: LogWriter, *, put_off: bool = False) -> None:
        """Between batches: waits while paused, and raises Stopped once `stop` has come.

        Other commands are passed over; with `put_off` they are left for the next `poll`.
        """
        paused: float | None = None
        others: list[Command] = []
        while True:
            for command in self.poll():
                if put_off and command.command not in ("stop", PREEMPT, "pause", "resume"):
                    others.append(command)
                    continue
                log.write(CommandHandled(command.id, command.command, command.value))
                if command.command in ("stop", PREEMPT):
                    raise Stopped(preempted=command.command == PREEMPT)
                if command.command == "pause" and paused is None:
                    paused = time.monotonic()
                    log.write(Paused())
                elif command.command == "resume" and paused is not None:
                    log.write(WentOn(time.monotonic() - paused))
                    paused = None
            if paused is None:
                self._kept.extend(others)
                return
            self.wait()


def _parse(line: bytes) -> Command | None:
    """The command of a line; None for half of one, which a supervisor that was killed left."""
    try:
        return Command(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _open(path: str) -> int | None:
    """The control line; None where a system has removed it with the person's last session."""
    try:
        # For reading and writing: then it has no end, whatever becomes of the supervisor.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
