"""Starts a job, samples the host, owns the socket, records how the job ended.

A process in a session of its own, without torch: some 30 MB that outlive the terminal.
`python -m workbench.jobs.supervisor FOLDER READY_FD [adopt]`; with `adopt` it takes over a
running job whose own supervisor was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.hardware.memory_kills import MemoryKills
from workbench.hardware.sample import Sampler
from workbench.jobs import closing, process, processes
from workbench.jobs.alarming import Alarming
from workbench.jobs.commands import Commands
from workbench.jobs.ending import Ending, own_words, tell_ending
from workbench.jobs.events import Notice, Sampled
from workbench.jobs.launch import read_job
from workbench.jobs.log import LogWriter
from workbench.jobs.orders import Orders
from workbench.jobs.own_command import OwnCommand
from workbench.jobs.process import CONTROL, Child, ControlLine, JobProcess, TakenOver
from workbench.jobs.restarts import Restarts, given_up
from workbench.jobs.socket import Server, socket_path
from workbench.jobs.state import HOST_LOG, STATE, JobState, beat, start_ticks
from workbench.jobs.watchdog import Verdict, Watchdog
from workbench.trackers.tensorboard import Mirror

SAMPLE_EVERY = 2.0
POLL_EVERY = 0.25
"""Seconds between two looks at the log: at most four ticks a second to a client."""
_STACKS_TAKE = 2.0
"""Seconds that a stalled job has to write its stacks before it is ended."""
_TRY_AGAIN = 1.0
"""Seconds between two tries to write the ending to a full disk."""


class Supervisor:
    """One job's guardian."""

    def __init__(self, folder: Path, *, adopt: bool = False) -> None:
        """Start the job, or take over the one that runs.

        Raises WorkbenchError or OSError when it can't be started, or is guarded already.
        """
        self.folder = folder
        self._plan = read_job(folder)
        # Held as long as this process lives: sockets can't tell, since two environments can
        # have them in two folders.
        self._lock = process.hold(folder)
        before = self._state_before(adopt=adopt)
        if adopt:
            if before is None or not before.job_alive():
                raise WorkbenchError(f"The job in {folder} is not running any more.")
        else:
            process.refuse_if_running(folder, before)
        self._log_path = folder / self._plan.log
        self._restarts = Restarts(self._plan.care)
        self._stalled_how = ""
        self._sample: dict[str, Any] | None = None
        self._pids: set[int] = set()
        self._environment = dict(os.environ)
        self._host_log = LogWriter(folder / HOST_LOG)
        self._commands = Commands(self._host_log, self._act)
        self._server = Server(socket_path(folder), self._commands.answer)
        try:
            self._control = ControlLine(self._server.path.with_suffix(CONTROL))
            self._orders = Orders(
                folder, self._control, self._restarts, self._keep_again, self._tell
            )
            self._watchdog = Watchdog(self._log_path, time.monotonic(), self._plan.care.stall_after)
            self._alarming = Alarming(
                folder,
                self._host_log,
                self._plan.care.on_alarm,
                standing=(before.alarms or ()) if adopt and before is not None else (),
                history=self._watchdog.news,
            )
            self._mirror = self._mirrored()
            if adopt and before is not None:
                self._adopt(before)
            else:
                self._start()
        except BaseException:
            self._server.close()
            raise
        # Before anybody is told that it is there: a word to it must not just end it.
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGINT, self._on_sigint)

    def _mirrored(self) -> Mirror | None:
        """What keeps the job's event file; None where none is wanted, or one can't be read."""
        with contextlib.suppress(OSError):
            return Mirror(self.folder, self._log_path) if self._plan.tensorboard else None
        return None

    def _state_before(self, *, adopt: bool) -> JobState | None:
        """The state as it was left. A damaged one is set aside: nobody guards the job, for this
        process holds its lock, and what it ran is found without it."""
        try:
            return JobState.read(self.folder)
        except WorkbenchError:
            if adopt or not (self.folder / STATE).is_file() or processes.of_job(self.folder):
                raise
            (self.folder / STATE).replace(self.folder / f"{STATE}.damaged")
            return None

    def _start(self) -> None:
        """Start the job's process, and write that it runs."""
        self._memory_kills = MemoryKills()
        self._stderr_from = _size(self.folder / "stderr.log")
        _, first_event = own_words(self._log_path)
        self._stay_reachable()
        self._control.begin_anew(self._server.path.with_suffix(CONTROL))
        self._watchdog.begin_again(time.monotonic())
        self._job: JobProcess = Child(
            self.folder, self._plan, self._control.path, self._environment
        )
        try:
            self._state = JobState.begun(
                self.folder,
                self._job.pid,
                self._plan.log,
                self._server.path,
                first_event=first_event,
                stderr_from=self._stderr_from,
                restarts=self._restarts.done,
                alarms=self._alarming.standing(),
            )
            self._state.write(self.folder)
            self._sampler = Sampler(self.folder, pid=self._job.pid)
        except BaseException:
            # Nobody would know of the job, let alone guard it.
            process.kill_all(self.folder)
            raise

    def _adopt(self, before: JobState) -> None:
        self._memory_kills = MemoryKills()
        self._stderr_from = before.stderr_from
        self._job = TakenOver(before)
        # That of whoever takes it over may be another: other GPUs, other folders.
        self._environment = processes.environment(before.pid) or self._environment
        self._control.reach(processes.of_job(self.folder))
        self._sampler = Sampler(self.folder, pid=self._job.pid)
        self._restarts.done, self._restarts.asked = before.restarts, before.again
        self._state = replace(
            before,
            supervisor_pid=os.getpid(),
            supervisor_start_ticks=start_ticks(os.getpid()) or 0,
            socket=str(self._server.path),
            alarms=self._alarming.standing(),
        )
        self._state.write(self.folder)
        self._tell("Its supervisor was killed; another has taken over.", "warning")

    def run(self) -> None:
        """Guard the job until it has ended for good, then record how."""
        while True:
            self._guard()
            ending = self._ending()
            wait = self._restarts.next(ending, self._watchdog.step)
            if wait is None or self._orders.end:
                break
            if not self._start_again(ending, wait):
                if self._orders.end:
                    ending = given_up(ending, preempted=self._orders.preempted)
                break
        # Before the ending is told: whoever reads it may start the job again at once.
        self._server.stop_listening()
        self._record(ending)
        self._server.tick(_size(self._log_path) + 1)
        self._server.serve(0)
        self._control.close()
        self._server.close()
        os.close(self._lock)
        # Nothing is written to the job's folder from here on: it may run again.
        command = OwnCommand("on_end", self._plan.care.on_end)
        command.start(ending.told(self.folder))
        self._alarming.wait()
        command.wait()

    def _guard(self) -> None:
        """Look after the job until its process has ended."""
        next_sample = 0.0
        # An end is told at once; where the system can't say, with the next look.
        with contextlib.suppress(OSError, AttributeError):
            self._server.be_roused_by(os.pidfd_open(self._job.pid))
        while not self._job.ended():
            now = time.monotonic()
            if now >= next_sample:
                next_sample = now + SAMPLE_EVERY
                self._look_around()
            self._server.serve(POLL_EVERY)
            self._server.tick(_size(self._log_path))
            self._watch(time.monotonic())
            if self._mirror is not None:
                self._mirror.look()
        if self._mirror is not None:
            self._mirror.finish()
        # What it wrote last, such as its last validation. No job that has ended is stalled.
        self._watchdog.look(time.monotonic())
        if self._alarming.looked(self._watchdog.news, Verdict()):
            self._note(alarms=self._alarming.standing())
        # Ranks and helpers of a process that was killed.
        process.kill_all(self.folder)

    def _look_around(self) -> None:
        """Append a sample of the machine, and move the heartbeat on."""
        self._pids.update(processes.of_job(self.folder), {self._job.pid})
        self._sample = self._sampler.sample(self._pids)
        # A full disk costs samples; the job needs its guardian then more than ever.
        with contextlib.suppress(OSError):
            beat(self.folder)
        sample = Sampled(**self._sample)
        with contextlib.suppress(WorkbenchError):
            self._host_log.write(sample)
        if self._mirror is not None:
            self._mirror.sampled(sample)
        if self._alarming.sampled(sample):
            self._note(alarms=self._alarming.standing())
        for text in self._sampler.news:
            self._tell(text, "warning")
        with contextlib.suppress(WorkbenchError, OSError):
            self._stay_reachable()

    def _stay_reachable(self) -> None:
        """Listen anew where the socket is gone: a system removes $XDG_RUNTIME_DIR with the
        person's last session. Raises WorkbenchError or OSError where that fails."""
        if self._server.path.exists():
            return
        self._server.listen_on(socket_path(self.folder))
        self._state = replace(self._state, socket=str(self._server.path))
        self._state.write(self.folder)

    def _tell(self, text: str, level: str = "info") -> None:
        with contextlib.suppress(WorkbenchError):
            self._host_log.write(Notice(text, level))

    def _watch(self, now: float) -> None:
        """Note how the job does, and do what is to be done of it."""
        self._orders.kill_if_due(now)
        verdict = self._watchdog.look(now)
        if self._alarming.looked(self._watchdog.news, verdict):
            self._note(alarms=self._alarming.standing())
        if verdict.word == self._state.condition:
            return
        self._note(condition=verdict.word, condition_text=verdict.text)
        if verdict.word == "stalled":
            if self._plan.care.on_stall in ("dump", "stop"):
                self._orders.dump_stacks()
            if self._plan.care.on_stall == "stop":
                self._stalled_how = verdict.text
                self._orders.kill_in(_STACKS_TAKE)

    def _note(self, **changes: Any) -> None:
        """Have the state say it; on a full disk it doesn't."""
        self._state = replace(self._state, **changes)
        with contextlib.suppress(WorkbenchError):
            self._state.write(self.folder)

    def _keep_again(self, wanted: bool) -> None:
        if wanted != self._state.again:
            self._note(again=wanted)

    def _act(self, command: str, message_id: str, value: int | None) -> str:
        """Do a command; why nothing comes of it, or nothing."""
        if self._state.condition == "restarting":
            if command not in ("stop", "stop_now"):
                return "It has failed and waits to be started again: it takes no command but stop."
            self._orders.stop = True
            return ""
        if self._job.ended():
            return "The job has ended."
        return self._orders.take(command, message_id, value)

    def _on_sigterm(self, *_: object) -> None:
        """The node is wanted: the job is not started again."""
        self._orders.preempt(self._job.pid)

    def _on_sigint(self, *_: object) -> None:
        """A person's `stop`; the second one `stop --now`."""
        self._act("stop_now" if self._orders.stop else "stop", "SIGINT", None)

    def _ending(self) -> Ending:
        return tell_ending(
            self.folder,
            self._plan.log,
            exit_code=self._job.exit_code,
            stopped_by_person=self._orders.stop_now,
            killed_for_memory=self._memory_kills.explain(self._pids, self._sample),
            first_event=self._state.first_event,
            stalled=self._stalled_how,
            # One that had no handler yet, while it loaded its libraries, dies of it.
            preempted=self._orders.preempted or self._job.exit_code == -signal.SIGTERM,
            stderr_from=self._stderr_from,
        )

    def _start_again(self, ending: Ending, wait: float) -> bool:
        """Wait and start the job again; not when a person, or the node, wants its end."""
        text, level = self._restarts.announce(ending, wait)
        self._tell(text, level)
        self._note(condition="restarting", condition_text=text)
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self._orders.end:
            with contextlib.suppress(OSError):
                beat(self.folder)
            self._server.serve(min(left, SAMPLE_EVERY / 2))
        if self._orders.end:
            return False
        self._orders.begin_again()
        self._stalled_how, self._pids = "", set()
        try:
            self._start()
        except (WorkbenchError, OSError) as error:
            self._tell(f"It could not be started again: {error}", "error")
            return False
        return True

    def _record(self, ending: Ending) -> None:
        self._state = self._state.ended_as(ending, self._job.exit_code)
        if self._plan.record:
            closing.close(self.folder / self._plan.record, self._log_path, ending)
        while True:
            try:
                self._state.write(self.folder)
                return
            except WorkbenchError as error:
                if error.cause != "disk_full":
                    return  # nobody frees some room there
            # However long it takes: without it nobody would know what ended the job.
            with contextlib.suppress(OSError):
                beat(self.folder)
            self._server.serve(_TRY_AGAIN)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def main() -> int:
    """Entry of the supervisor's process."""
    # Before the job is there, which begins with it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder, ready = Path(sys.argv[1]), int(sys.argv[2])
    try:
        supervisor = Supervisor(folder, adopt="adopt" in sys.argv[3:])
    except (WorkbenchError, OSError) as error:
        _answer(ready, str(error).encode())
        return 1
    _answer(ready, b"ready")
    supervisor.run()
    return 0


def _answer(handle: int, text: bytes) -> None:
    """Tell whoever started this process, who may have been killed meanwhile."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(handle, "wb") as stream:
        stream.write(text)


if __name__ == "__main__":
    sys.exit(main())
