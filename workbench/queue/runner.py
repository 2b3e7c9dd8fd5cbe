"""Starts the runs of the queue in their turn.

It keeps nothing in its memory that it needs: killed at any moment, the next one finds in the
runs' own folders what goes on and on which GPUs.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from workbench.errors import WorkbenchError
from workbench.hardware.nvml import Nvml
from workbench.jobs.state import NOT_STARTED, describe
from workbench.queue import attendance, entries, machine, shutdown, standing
from workbench.queue.choice import Machine, Turn, choose
from workbench.queue.entries import Entry
from workbench.queue.standing import BROKEN, OVER, RUNNING, WAITING, Standing
from workbench.saying import Say
from workbench.tracking import runs
from workbench.workspace import Workspace

LOOK_EVERY = 1.0
"""Seconds between two looks at the queue and the GPUs."""
_TRY_AGAIN = 30.0
"""Seconds before a run that could not be started is tried again."""
_TELL_EVERY = 600.0
"""Seconds at least between two words on why the first in the queue waits."""


class QueueRunner:
    """The one process that starts what is in a workspace's queue."""

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self._workspace = workspace
        self._say = say
        self._nvml = Nvml()
        self._gpus_unseen = False
        self._visible = os.environ.get(machine.VISIBLE)
        self._try_again: dict[str, float] = {}
        """When a run that could not be started is tried again, by the monotonic clock."""
        self._told: dict[str, tuple[str, float]] = {}
        """What was said last about what, and when."""
        self._asked_to_end = False

    def run(self, *, until_empty: bool) -> None:
        """Start what is in the queue, each in its turn, until SIGTERM or SIGINT, which the runs
        outlive, or until it is empty.

        Raises WorkbenchError when another runner is at it.
        """
        with attendance.attending(self._workspace, until_empty=until_empty), self._waking() as wake:
            self._tell(f"the queue of {self._workspace.root} is run by pid {os.getpid()}")
            while not self._asked_to_end:
                attendance.beat(self._workspace)
                try:
                    left = self.look()
                    if until_empty and not left and self._end():
                        return
                except (WorkbenchError, OSError) as error:
                    # A full disk, a file that somebody spoilt or removed: it can be mended.
                    self._tell_anew("trouble", " ".join(str(error).split()))
                else:
                    self._told.pop("trouble", None)
                _sleep(wake, LOOK_EVERY)
            self._leave()

    @contextmanager
    def _waking(self) -> Iterator[int]:
        """A descriptor with something to read once a signal has come, or a supervisor ended."""
        read, write = os.pipe()
        for end in (read, write):
            os.set_blocking(end, False)
        handlers: dict[int, Any] = {
            signal.SIGHUP: signal.SIG_IGN,
            signal.SIGTERM: self._on_signal,
            signal.SIGINT: self._on_signal,
            signal.SIGCHLD: lambda *_: None,
        }
        before = {number: signal.signal(number, new) for number, new in handlers.items()}
        woken_before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        try:
            yield read
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, old in before.items():
                signal.signal(number, old)
            os.close(read)
            os.close(write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_end = True

    def look(self) -> bool:
        """Start what can start now, and drop what has ended; returns whether anything is left
        to be waited for.

        Raises WorkbenchError when the queue can't be read, or written.
        """
        standings = [standing.of(self._workspace, e) for e in entries.read(self._workspace)]
        self._drop([s for s in standings if s.word == OVER])
        for broken in (s for s in standings if s.word == BROKEN):
            self._tell_anew(broken.entry.run or broken.text, f"passed over: {broken.text}")
        waiting = [s.entry for s in standings if s.word == WAITING]
        ready = [e for e in waiting if self._try_again.get(e.run, 0) <= time.monotonic()]
        if ready:
            self._let_start(ready)
        return bool(waiting) or any(s.word == RUNNING for s in standings)

    def _drop(self, over: Sequence[Standing]) -> None:
        """Take out what has ended."""
        if not over:
            return
        gone = {s.entry.run for s in over}
        with entries.changing(self._workspace) as queue:
            # Looked at again: somebody may have queued it anew since.
            queue[:] = [
                e
                for e in queue
                if e.run not in gone or standing.of(self._workspace, e).word != OVER
            ]
        for ended in over:
            word, text = describe(self._workspace.runs / ended.entry.run)
            self._tell(f"{ended.entry.run} {word}: {text}")

    def _let_start(self, waiting: Sequence[Entry]) -> None:
        if self._gpus_unseen:
            # At boot the queue may be there before the driver.
            self._nvml = Nvml()
        here = machine.look(self._workspace, self._nvml, self._visible)
        self._gpus_unseen = bool(here.unseen)
        turns = choose(here, waiting)
        for turn in turns:
            if turn.start and not self._asked_to_end:
                self._start(here, turn)
        if not turns[0].start:
            self._tell_anew(turns[0].entry.run, f"{turns[0].entry.run} {turns[0].text}")

    def _start(self, here: Machine, turn: Turn) -> None:
        run = turn.entry.run
        folder = self._workspace.runs / run
        with entries.changing(self._workspace) as queue:
            place = next((i for i, e in enumerate(queue) if e.run == run), None)
            if place is None or standing.of(self._workspace, queue[place]).word != WAITING:
                return
            if folder in machine.supervised():
                # Just started by a runner that was killed, or not yet done with its end.
                return
            before = describe(folder)[0]
            problem = ""
            try:
                runs.start(folder, environment=machine.environment(here, turn))
            except WorkbenchError as error:
                problem = " ".join(str(error).split())
                self._try_again[run] = time.monotonic() + _TRY_AGAIN
            queue[place] = replace(queue[place], problem=problem)
        if problem:
            self._tell_anew(run, f"{run} could not be started: {problem}")
            return
        self._told.pop(run, None)
        place_text = ", ".join(f"GPU {gpu.index}" for gpu in turn.gpus) or "the processor"
        how = "started" if before == NOT_STARTED else f"goes on (it was {before})"
        self._tell(f"{run} {how} on {place_text}")

    def _end(self) -> bool:
        """End if nothing is left; what is added later finds no runner and starts one."""
        with entries.changing(self._workspace) as queue:
            words = {standing.of(self._workspace, e).word for e in queue}
            if words - {BROKEN}:
                return False
            attendance.leave(self._workspace)
        left = "what is left can't be started; `workbench queue list` says why"
        self._tell(f"ends: {left if words else 'the queue is empty'}")
        return True

    def _leave(self) -> None:
        """End because of a signal: the runs go on, unless they would be killed in a moment."""
        if not shutdown.impends():
            self._tell("ends; the runs that it has started go on")
            return
        self._tell("the machine goes down: the runs save a checkpoint and end")
        with suppress(WorkbenchError):
            queue = [standing.of(self._workspace, e) for e in entries.read(self._workspace)]
            running = [s.entry.run for s in queue if s.word == RUNNING]
            shutdown.preempt([self._workspace.runs / run for run in running])

    def _tell_anew(self, subject: str, text: str) -> None:
        """Say what hasn't just been said of `subject`."""
        last, then = self._told.get(subject, ("", 0.0))
        if text != last and (not last or time.monotonic() - then > _TELL_EVERY):
            self._told[subject] = (text, time.monotonic())
            self._tell(text)

    def _tell(self, text: str) -> None:
        # A terminal that is gone, or a full disk, is no reason to end.
        with suppress(OSError):
            self._say(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}")


def _sleep(wake: int, seconds: float) -> None:
    """Return after `seconds`, or when there is something to read from `wake`."""
    if select.select([wake], [], [], seconds)[0]:
        os.read(wake, 1 << 10)
