"""What people, the node and the watchdog want of a running job, and how it is made to do it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from workbench.jobs import process, processes
from workbench.jobs.process import ControlLine
from workbench.jobs.restarts import Restarts
from workbench.jobs.runner import DUMP_STACKS

_KILL_AFTER = 20.0
"""Seconds that a job asked to stop at once has before it is killed."""
_DEAF = (
    "The job can't be reached, or has taken no commands for a long time; what ends it all the "
    "same is `workbench stop --now`."
)


class Orders:
    """What was asked of one job, done at once or passed on to it."""

    def __init__(
        self,
        folder: Path,
        control: ControlLine,
        restarts: Restarts,
        keep: Callable[[bool], None],
        tell: Callable[[str], None],
    ) -> None:
        """`keep` writes down whether the job is to be started again, for a supervisor that takes
        over; `tell` takes a sentence for the log."""
        self._folder, self._control, self._restarts = folder, control, restarts
        self._keep, self._tell = keep, tell
        self.stop = False
        """A person wants its end."""
        self.stop_now = False
        """Without waiting for a checkpoint."""
        self.preempted = False
        """The node is wanted."""
        self._kill_at: float | None = None

    @property
    def end(self) -> bool:
        """Whether the job is to end for good."""
        return self.stop or self.stop_now or self.preempted

    def take(self, command: str, message_id: str, value: int | None) -> str:
        """Do a command; why nothing comes of it, or nothing."""
        if command == "dump_stacks":
            return "" if self.dump_stacks() else "No process of it can write its stacks yet."
        if command in ("restart", "restart_now"):
            return self._restart(message_id, at_once=command == "restart_now")
        if command in ("stop", "stop_now"):
            self._want_again(False)
        if command == "stop_now":
            if not self.stop_now:
                self.stop_now = True
                self._end_at_once()
            return ""
        self.stop |= command == "stop"
        return "" if self._pass_on(command, message_id, value) else _DEAF

    def preempt(self, pid: int) -> None:
        """The node is wanted: the job, which began with `pid`, saves a checkpoint and ends."""
        self.preempted = True
        process.preempt(self._folder, pid)

    def dump_stacks(self) -> bool:
        """Have each process that can write the stacks of its threads; whether any can."""
        able = [p for p in processes.of_job(self._folder) if processes.catches(p, DUMP_STACKS)]
        processes.send(able, DUMP_STACKS)
        if able:
            who = "1 process writes its" if len(able) == 1 else f"{len(able)} processes write their"
            self._tell(f"{who} stacks to {self._folder / 'stacks'}.")
        return bool(able)

    def kill_in(self, seconds: float) -> None:
        """Give the job so long, then kill it."""
        self._kill_at = time.monotonic() + seconds

    def kill_if_due(self, now: float) -> None:
        """Kill the job whose time is over."""
        if self._kill_at is not None and now > self._kill_at:
            process.kill_all(self._folder)
            self._kill_at = None

    def begin_again(self) -> None:
        """The job is being started again: what was asked of its last process is done."""
        self._restarts.forget()
        self._kill_at = None

    def _end_at_once(self) -> None:
        self.kill_in(_KILL_AFTER)
        process.end_at_once(self._folder)

    def _restart(self, message_id: str, *, at_once: bool) -> str:
        """End the job and start it again, with a checkpoint unless that is not waited for."""
        if self.preempted or self.stop_now:
            return "It is being ended already."
        self._restarts.ask(at_once=at_once)
        self._want_again(True)
        if at_once:
            self._end_at_once()
        elif not self._pass_on("stop", message_id):
            self._want_again(False)
            return _DEAF.replace("stop --now", "restart --now")
        # What was asked for last counts: a stop before this no longer does.
        self.stop = False
        return ""

    def _want_again(self, wanted: bool) -> None:
        if not wanted:
            self._restarts.forget()
        self._keep(wanted)

    def _pass_on(self, command: str, message_id: str, value: int | None = None) -> bool:
        body = {"id": message_id, "command": command, "value": value}
        return self._control.send(json.dumps(body).encode() + b"\n")
