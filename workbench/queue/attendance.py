"""One runner a workspace: who it is, and starting one in the background."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json_object, write_json
from workbench.jobs import launch
from workbench.jobs.state import boot_id, start_ticks
from workbench.queue.machine import VISIBLE
from workbench.workspace import Workspace

LOG = "queue.log"
"""Where a runner in the background writes."""
_MARK = "queue-runner.json"
_LOCK = ".queue-runner.lock"
_FRESH = 30.0
"""Seconds since its last round in which a runner on another machine counts as alive."""
_PATIENCE = 60.0
"""Seconds that a runner may take to begin, or to end: its imports take some on a busy machine."""


@dataclass(frozen=True, slots=True)
class Runner:
    """The process that starts what is in the queue."""

    pid: int
    start_ticks: int
    host: str
    boot: str
    since: float
    """Unix seconds."""
    visible: str | None
    """Its CUDA_VISIBLE_DEVICES: the GPUs that it has for the queue."""
    until_empty: bool

    def __str__(self) -> str:
        here = self.host == socket.gethostname()
        return f"pid {self.pid}" if here else f"pid {self.pid} on {self.host}"


def current(workspace: Workspace) -> Runner | None:
    """The runner of a workspace; None when there is none."""
    path = workspace.root / _MARK
    try:
        body = read_json_object(path)
        runner = Runner(**{name: body[name] for name in Runner.__dataclass_fields__})
        age = time.time() - path.stat().st_mtime
    except (WorkbenchError, LookupError, OSError):
        return None
    if runner.host != socket.gethostname():
        return runner if age < _FRESH else None
    same = runner.boot == boot_id() and start_ticks(runner.pid) == runner.start_ticks
    return runner if same else None


@contextmanager
def attending(workspace: Workspace, *, until_empty: bool) -> Iterator[None]:
    """Be the runner of a workspace.

    Raises WorkbenchError that says who is, when somebody is already.
    """
    workspace.ensure()
    path = workspace.root / _LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise explain_os_error(error, f"open the lock {path}") from error
    try:
        _take(workspace, handle)
        write_json(workspace.root / _MARK, asdict(_myself(until_empty)))
        try:
            yield
        finally:
            leave(workspace)
    finally:
        os.close(handle)


def leave(workspace: Workspace) -> None:
    """Be the runner no more. Done under the queue's lock by one that ends since the queue is
    empty: whoever adds to it after that sees that there is none."""
    with suppress(OSError):
        (workspace.root / _MARK).unlink()


def beat(workspace: Workspace) -> None:
    """Say that the runner is alive, to other machines that share the workspace."""
    with suppress(OSError):
        os.utime(workspace.root / _MARK)


def start(workspace: Workspace) -> Runner:
    """Start a runner that ends by itself when the queue is empty, and outlives the terminal.

    Returns it, or the one that was there first. Raises WorkbenchError when it doesn't begin.
    """
    path = workspace.root / LOG
    argv = [sys.executable, "-m", "workbench", "queue", "run", "--until-empty"]
    try:
        with path.open("ab") as log:
            process = subprocess.Popen(
                [*argv, "--workspace", str(workspace.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=launch.unmarked_environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise explain_os_error(error, f"start a runner that writes {path}") from error
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if (runner := current(workspace)) is not None:
            return runner
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise WorkbenchError(
        "What was added is in the queue, but its runner did not begin.",
        f"See {path}; `workbench queue run` runs the queue in this terminal.",
    )


def _take(workspace: Workspace, handle: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        except OSError as error:
            raise explain_os_error(error, f"take the lock {workspace.root / _LOCK}") from error
        # Some network file systems keep a lock to the machine that took it; the mark is for all.
        runner = current(workspace)
        if held and runner is None:
            return
        # One that holds the lock and has no mark is about to begin or to end.
        if runner is not None or time.monotonic() > deadline:
            raise WorkbenchError(
                f"The queue of {workspace.root} has a runner already: {runner or 'unknown'}.",
                "`workbench queue list` shows what it does.",
            )
        time.sleep(0.02)


def _myself(until_empty: bool) -> Runner:
    return Runner(
        pid=os.getpid(),
        start_ticks=start_ticks(os.getpid()) or 0,
        host=socket.gethostname(),
        boot=boot_id(),
        since=time.time(),
        visible=os.environ.get(VISIBLE),
        until_empty=until_empty,
    )
