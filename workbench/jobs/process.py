"""The job's process as its supervisor sees it: a child, or one that was taken over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs import control, launcher, processes
from workbench.jobs.launch import JobPlan
from workbench.jobs.state import JobState, start_ticks

CONTROL = ".control"
"""What a FIFO's name ends in; for the rest it is that of the socket beside it."""
_LEAVES_WITHIN = 5.0
"""Seconds that a supervisor may take to leave once it has told how its job ended."""


class JobProcess(Protocol):
    """The process that a supervisor guards."""

    pid: int
    exit_code: int | None
    """Negative: a signal. None before the end, and where it can't be known."""

    def ended(self) -> bool: ...


class Child:
    """A process that this supervisor has started."""

    def __init__(
        self, folder: Path, plan: JobPlan, fifo: Path, environment: Mapping[str, str]
    ) -> None:
        """`environment` is what the job's own variables are added to. Raises OSError when it
        can't be started."""
        environment = {
            **environment,
            **plan.environment,
            processes.MARK: str(folder.resolve()),
            control.PATH_VARIABLE: str(fifo),
            # torch's launcher otherwise dies of the SIGHUP that a lost terminal sends.
            "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT,SIGQUIT",
            "PYTHONUNBUFFERED": "1",
        }
        with (
            (folder / "stdout.log").open("ab") as output,
            (folder / "stderr.log").open("ab") as errors,
        ):
            self._process = subprocess.Popen(
                plan.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                process_group=0,
            )
        self.pid = self._process.pid
        self.exit_code: int | None = None

    def ended(self) -> bool:
        self.exit_code = self._process.poll()
        return self.exit_code is not None


class TakenOver:
    """A process whose supervisor was killed: no child of this one, so its exit code is not told."""

    exit_code: int | None = None

    def __init__(self, state: JobState) -> None:
        self.pid = state.pid
        self._start_ticks = state.start_ticks

    def ended(self) -> bool:
        return start_ticks(self.pid) != self._start_ticks


class ControlLine:
    """The supervisor's end of the FIFO through which a job gets its commands."""

    def __init__(self, path: Path) -> None:
        """`path` is in the private folder of sockets. The FIFO that is there is taken up."""
        self.path = path
        self._handle = _open_fifo(path)
        self._reaches = True

    def reach(self, pids: Iterable[int]) -> None:
        """Take up the very FIFO that one of a job's processes listens to: its name may be gone,
        or in another folder of sockets. Where none listens yet, the one that they will open."""
        variables = {pid: processes.environment(pid) for pid in pids}
        named = {
            p: v[control.PATH_VARIABLE] for p, v in variables.items() if control.PATH_VARIABLE in v
        }
        for pid, name in named.items():
            if (handle := _fifo_of(pid, name)) is not None:
                self._take_up(handle)
                return
        for name in named.values():
            if Path(name).exists():
                self._take_up(_open_fifo(Path(name)))
                return
        self._reaches = False

    def begin_anew(self, path: Path) -> None:
        """Be ready for a new process: what the one before has not read is forgotten, and a FIFO
        whose name was removed is made again, at `path`."""
        self._reaches = True
        if _is_at(self._handle, self.path):
            with contextlib.suppress(BlockingIOError):
                while os.read(self._handle, 1 << 16):
                    pass
            return
        self.path = path
        self._take_up(_open_fifo(path))

    def _take_up(self, handle: int) -> None:
        os.close(self._handle)
        self._handle = handle

    def send(self, line: bytes) -> bool:
        """Whether the line is on its way, whole; not when a job has read none for a long time,
        or can't be reached."""
        if not self._reaches or len(line) > select.PIPE_BUF:  # which could be cut in two
            return False
        try:
            return os.write(self._handle, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._handle)
        self.path.unlink(missing_ok=True)


def _open_fifo(path: Path) -> int:
    """Open a FIFO, made where there is none. Raises WorkbenchError when it can't be."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # For reading and writing: opening never waits for the job, writing never fails for want
        # of it.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise explain_os_error(error, f"make the control line {path}") from error


def _fifo_of(pid: int, name: str) -> int | None:
    """The FIFO of this name that a process has open; None where it has none."""
    with contextlib.suppress(OSError):  # it has ended
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).removesuffix(" (deleted)") == name:
                return os.open(entry, os.O_RDWR | os.O_NONBLOCK)
    return None


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def end_at_once(folder: Path) -> None:
    """Ask every process of the job to end now; one that isn't listening yet just ends."""
    processes.send(processes.of_job(folder), control.STOP_NOW)


def preempt(folder: Path, first: int) -> None:
    """Tell every process of the job that the node is wanted; `first` is the one it began with.

    Not the launcher of ranks, which would give them 30 s; without a word it waits for them.
    """
    pids = processes.of_job(folder)
    others = [pid for pid in pids if pid != first]
    launched = any(launcher.RANK in processes.environment(pid) for pid in others)
    processes.send(others if launched else pids, signal.SIGTERM)


def kill_all(folder: Path) -> None:
    """Kill every process of the job. By their mark: a pid may be somebody else's by now."""
    processes.send(processes.of_job(folder), signal.SIGKILL)


def refuse_if_running(folder: Path, state: JobState | None) -> None:
    """Raises WorkbenchError when the job runs already; what is left of a dead one is killed.

    Ranks that outlived their launcher wait for each other in vain, and hold their GPUs.
    """
    if state is not None and state.job_alive():
        raise WorkbenchError(f"The job in {folder} is running already.")
    processes.send(processes.of_job(folder), signal.SIGKILL)


def hold(folder: Path) -> int:
    """Be a job's supervisor: its lock, which goes with this process.

    Raises WorkbenchError when another one holds it.
    """
    path = folder / "supervisor.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until = time.monotonic() + _LEAVES_WITHIN
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError as error:
                state = JobState.read(folder)
                if state is None or state.ended is None or time.monotonic() > until:
                    os.close(handle)
                    raise WorkbenchError(
                        f"Another supervisor guards the job in {folder}."
                    ) from error
            # The one before has told the ending and is about to leave.
            time.sleep(0.01)
    except OSError as error:
        raise explain_os_error(error, f"take the lock {path}") from error
