"""What a job is doing, as its folder says: `state.json` and the process table."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import NewerRelease, WorkbenchError
from workbench.files import is_read_only, read_json_object, write_json
from workbench.jobs.ending import Ending, own_words
from workbench.jobs.log import before

STATE = "state.json"
HOST_LOG = "host.jsonl"
"""The supervisor's own log: samples of the machine, commands, what it did."""
_VERSION = 1
_BEATS = 6.0
"""Seconds: three heartbeats."""
_TAIL = 1 << 14
"""Bytes of the supervisor's log that its last line is in."""
STALLED_AFTER = 30.0
"""Seconds without a heartbeat (one comes every 2 s) after which a job counts as stalled."""

_UNGUARDED = (
    "Its supervisor was killed. The job goes on; stalls, restarts and its end are nobody's until a "
    "command, or whoever watches it, brings another."
)
NOT_STARTED = "not started"
DAMAGED, NEWER = "damaged", "newer"
UNREADABLE = (DAMAGED, NEWER)
ENDED = ("finished", "stopped", "pre-empted", "failed", "dead", *UNREADABLE)
GOING_ON = ("running", "paused", "slow", "stalled", "restarting")
RESUMABLE = ("stopped", "pre-empted", "failed", "dead")


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None when there is no such process.

    With the pid it names a process for good: pids are used again, the pair is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 22; the name in field 2 may hold spaces and brackets, so count from its end.
    after_name = stat[stat.rindex(b")") + 2 :].split()
    return None if after_name[0] == b"Z" else int(after_name[19])


def boot_id() -> str:
    """What names this start of this machine; empty where the kernel doesn't say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class JobState:
    """`state.json`: written whole by the supervisor, its time stamp is the heartbeat."""

    status: str
    """`running`, `finished`, `stopped`, `pre-empted` or `failed`."""
    log: str
    """The event log's name in the job's folder."""
    pid: int
    start_ticks: int
    supervisor_pid: int
    supervisor_start_ticks: int
    socket: str
    started: float
    """Unix seconds."""
    first_event: int = 0
    """The seq of this start's first event: a log goes on when a job is started again."""
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: str = ""
    """A short name, as in `events.Failed`; empty unless the job failed."""
    text: str = ""
    """How it ended, in words."""
    hint: str = ""
    host: str = ""
    """The machine that it runs on: folders are shared between machines, pids are not."""
    boot: str = ""
    """That machine's `boot_id`; empty, as `host`, in files of earlier releases."""
    condition: str = ""
    """How a running job does: `paused`, `slow`, `stalled` or `restarting`; empty: as it should."""
    condition_text: str = ""
    restarts: int = 0
    """How often its supervisor has started it anew."""
    again: bool = False
    """A person has asked for it to be started again once it has ended."""
    stderr_from: int = 0
    """Bytes that stderr.log held before this start."""
    last_words: list[str] = field(default_factory=list)
    """The last lines of stderr of a job that failed."""
    alarms: list[dict[str, Any]] | None = None
    """Those that go on, or went on at its end, each as `events.Alarm`; None in files of earlier
    releases, whose supervisors judged nothing."""
    inode: int = 0
    """Of the job's folder, which a copy of it hasn't; 0 in files of earlier releases."""
    copied: bool = False
    """Whether it was read in a copy of the job's folder; in no file."""

    @classmethod
    def begun(cls, folder: Path, pid: int, log: str, socket_: Path, **more: Any) -> JobState:
        """That of a job in `folder` which this process, its supervisor, has just started as
        `pid`."""
        return cls(
            status="running",
            log=log,
            pid=pid,
            start_ticks=start_ticks(pid) or 0,
            supervisor_pid=os.getpid(),
            supervisor_start_ticks=start_ticks(os.getpid()) or 0,
            socket=str(socket_),
            started=time.time(),
            host=socket.gethostname(),
            boot=boot_id(),
            inode=folder.stat().st_ino,
            **more,
        )

    def ended_as(self, ending: Ending, code: int | None) -> JobState:
        """The last state of a job; `code` is its exit code, negative for a signal."""
        return replace(
            self,
            status=ending.status,
            condition="",
            condition_text="",
            again=False,
            ended=time.time(),
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            cause=ending.cause,
            text=ending.text,
            hint=ending.hint,
            last_words=list(ending.last_words),
        )

    def write(self, folder: Path) -> None:
        body = asdict(self)
        del body["copied"]
        write_json(folder / STATE, {"v": _VERSION, **body})

    @classmethod
    def read(cls, folder: Path) -> JobState | None:
        """The state of the job in `folder`; None before it has one.

        Raises WorkbenchError when the file is spoilt.
        """
        path = folder / STATE
        if not path.exists():
            return None
        body = read_json_object(path)
        if (version := body.pop("v", _VERSION)) != _VERSION:
            raise NewerRelease(path, version, _VERSION)
        try:
            state = cls(**{k: v for k, v in body.items() if k in cls.__dataclass_fields__})
        except TypeError as error:
            raise WorkbenchError(f"{path} is not the state of a job: {error}.") from error
        return replace(state, copied=state.ended is None and state._is_elsewhere(folder))

    def _is_elsewhere(self, folder: Path) -> bool:
        """Whether it is of another folder than the one it stands in."""
        try:
            if self.inode in (0, folder.stat().st_ino):
                return False
        except OSError:
            return False
        # Some file systems give a folder another number now and then.
        return not (self._is_of_here() and _names(self.pid, self.supervisor_pid, folder=folder))

    def is_here(self) -> bool:
        """Whether its pids are of this machine, and of the time since it was started, and of a job
        in this very folder."""
        return self._is_of_here() and not self.copied

    def _is_of_here(self) -> bool:
        return self.host in ("", socket.gethostname()) and self.boot in ("", boot_id())

    def supervisor_alive(self) -> bool:
        """Whether its supervisor runs on this machine."""
        return self.is_here() and start_ticks(self.supervisor_pid) == self.supervisor_start_ticks

    def job_alive(self) -> bool:
        """Whether the job's process runs on this machine."""
        return self.is_here() and start_ticks(self.pid) == self.start_ticks


def _names(*pids: int, folder: Path) -> bool:
    """Whether the command line of one of these processes names the folder."""
    wanted = {os.fsencode(folder), os.fsencode(folder.resolve())}
    for pid in pids:
        with suppress(OSError):
            if wanted & set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                return True
    return False


def beat(folder: Path) -> None:
    """Move the heartbeat on."""
    # By this machine's clock, which it is read by; a file server's may differ.
    now = time.time()
    os.utime(folder / STATE, (now, now))


def describe(folder: Path) -> tuple[str, str]:
    """The job's state as a word and a sentence.

    The word is NOT_STARTED, one of GOING_ON, or one of ENDED: `dead` (its processes are gone and
    nothing recorded how it ended), DAMAGED (`state.json` can't be read) and NEWER (it is of a
    newer release) among them.
    """
    _, word, text = look(folder)
    return word, text


def look(folder: Path) -> tuple[JobState | None, str, str]:
    """The state as it is in the folder, and what `describe` says of it: of one reading, where
    two would be of two moments. None where there is none, or none that can be read."""
    try:
        state = JobState.read(folder)
    except NewerRelease as error:
        return None, NEWER, str(error)
    except WorkbenchError as error:
        return None, DAMAGED, str(error)
    if state is None and not folder.exists():
        return None, DAMAGED, f"{folder} is gone: it was deleted or moved."
    if state is None:
        return None, NOT_STARTED, "It has not started."
    if state.status in ENDED:
        return state, state.status, state.text
    if not state.is_here():
        return state, *_elsewhere(folder, state)
    if not state.supervisor_alive():
        # Read again: a supervisor that is gone now has written the ending before it went.
        state = JobState.read(folder)
        if state is None or state.status in ENDED:
            return look(folder)
        return state, *_without_supervisor(folder, state)
    return state, *_guarded(folder, state)


def _guarded(folder: Path, state: JobState) -> tuple[str, str]:
    # One from the future: the clock was set back, and no supervisor has beaten since.
    age = abs(_heartbeat_age(folder))
    if age > STALLED_AFTER:
        why = " The file system of its folder is read-only now." if is_read_only(folder) else ""
        return "stalled", f"No heartbeat of its supervisor for {age:.0f} s.{why}"
    if state.condition:
        return state.condition, state.condition_text
    if not state.job_alive():
        return "running", "It is ending."
    return "running", "It is running."


def _heartbeat_age(folder: Path) -> float:
    return time.time() - (folder / STATE).stat().st_mtime


def _elsewhere(folder: Path, state: JobState) -> tuple[str, str]:
    """The state of a job that another machine, or this one before a restart, has started."""
    age = _heartbeat_age(folder)
    same_name = state.host == socket.gethostname()
    # Of another machine, whose clock may be ahead, a heartbeat from the future counts.
    beats = age <= STALLED_AFTER and (not same_name or age >= -STALLED_AFTER)
    if beats and _is_alive(folder, state, age):
        how = f" {state.condition_text}" if state.condition else ""
        return state.condition or "running", f"It runs on {state.host}.{how}"
    said, _ = own_words(folder / state.log, state.first_event)
    if said is not None:
        return said.status, said.text
    if state.copied:
        return (
            "dead",
            "This folder is a copy, made while the job went on in another, on "
            f"{state.host or 'some machine'}: nothing runs in it.",
        )
    if same_name:
        return "dead", f"{state.host} was started anew since, and the job left no word."
    return (
        "stalled",
        f"No heartbeat for {age:.0f} s. It ran on {state.host}, and whether it still does can't "
        f"be told from here; if that machine is gone for good, remove {STATE} in {folder}.",
    )


def _is_alive(folder: Path, state: JobState, age: float) -> bool:
    """Whether a heartbeat elsewhere is one: to copy or to edit the file looks the same, but its
    supervisor writes a sample of the machine with each, by the same clock."""
    if state.copied and state._is_of_here():
        return False
    log = folder / HOST_LOG
    last = before(log, log.stat().st_size, _TAIL) if log.exists() else []
    if state.copied:
        # Unless it is that some file systems number their folders anew.
        return bool(last) and abs(age) <= _BEATS and abs(time.time() - last[-1].time) <= _BEATS
    if not last or state.condition == "restarting":  # while it waits for that, none is written
        return True
    return abs((folder / STATE).stat().st_mtime - last[-1].time) <= STALLED_AFTER


def _without_supervisor(folder: Path, state: JobState) -> tuple[str, str]:
    if state.job_alive():
        return "running", _UNGUARDED
    said, _ = own_words(folder / state.log, state.first_event)
    if said is not None:
        return said.status, said.text
    if state.condition == "restarting":
        return "dead", f"{state.condition_text} Its supervisor was killed before that."
    if is_read_only(folder):
        return (
            "dead",
            "Its processes are gone, and how it ended could not be written: the file system of its "
            "folder is read-only now.",
        )
    return (
        "dead",
        "Its processes are gone and left no word: the machine went down, or both were killed.",
    )
