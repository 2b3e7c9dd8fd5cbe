"""The job's process as its supervisor sees it: a child, or one that was taken over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs import control, processes
from workbench.jobs.launch import JobPlan
from workbench.jobs.state import JobState, start_ticks


class JobProcess(Protocol):
    """The process that a supervisor guards."""

    pid: int
    exit_code: int | None
    """Negative: a signal. None before the end, and where it can't be known."""

    def ended(self) -> bool: ...


class Child:
    """A process that this supervisor has started."""

    def __init__(self, folder: Path, plan: JobPlan, fifo: Path) -> None:
        """Raises OSError when it can't be started."""
        environment = {
            **os.environ,
            **plan.environment,
            processes.MARK: str(folder),
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
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
            # For reading and writing: opening never waits for the job, writing never fails
            # for want of it.
            self._handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise explain_os_error(error, f"make the control line {path}") from error

    def reach(self, pid: int) -> None:
        """Take up the very FIFO that a process listens to, also where its name is gone."""
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                target = str(entry.readlink()).removesuffix(" (deleted)")
                if target == str(self.path):
                    os.close(self._handle)
                    self._handle = os.open(entry, os.O_RDWR | os.O_NONBLOCK)
                    return

    def empty(self) -> None:
        """Forget what no job has read: it was meant for the one before."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._handle, 1 << 16):
                pass

    def send(self, line: bytes) -> bool:
        """Whether the line is on its way; not when a job has read none for a long time."""
        try:
            return os.write(self._handle, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._handle)
        self.path.unlink(missing_ok=True)


def end_at_once(folder: Path) -> None:
    """Ask every process of the job to end now; one that isn't listening yet just ends."""
    processes.send(processes.of_job(folder), control.STOP_NOW)


def kill_all(folder: Path, pid: int) -> None:
    """Kill every process of the job."""
    processes.send({*processes.of_job(folder), pid}, signal.SIGKILL)


def refuse_if_running(folder: Path, state: JobState | None) -> None:
    """Raises WorkbenchError when the job runs already; what is left of a dead one is killed.

    Ranks that outlived their launcher wait for each other in vain, and hold their GPUs.
    """
    if state is not None and state.job_alive():
        raise WorkbenchError(f"The job in {folder} is running already.")
    processes.send(processes.of_job(folder), signal.SIGKILL)
