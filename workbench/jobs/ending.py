"""How a job ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from workbench.jobs.events import Failed, Finished
from workbench.jobs.log import ends

DISK_FULL_EXIT = 28
"""A job's exit code when the disk is too full for its last words; ENOSPC's number."""
_MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")


@dataclass(frozen=True, slots=True)
class Ending:
    status: str
    """`finished`, `stopped` or `failed`."""
    text: str
    cause: str = ""
    hint: str = ""


def oom_kills() -> int:
    """How often the kernel has killed in this control group for memory; 0 if it won't say."""
    try:
        lines = _MEMORY_EVENTS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def own_words(log: Path, first_event: int = 0) -> tuple[Ending | None, int]:
    """What the job itself said of its ending, if it did, and the seq of the next event.

    `first_event` is the seq that the log had reached when the job was started: what a
    start before it said doesn't count.
    """
    records = ends(log, 4096)
    if not records:
        return None, 0
    last = records[-1]
    event, following = last.event, last.seq + 1
    if last.seq < first_event:
        return None, following
    if isinstance(event, Failed):
        return Ending("failed", event.text, cause=event.cause, hint=event.hint), following
    if not isinstance(event, Finished):
        return None, following
    if event.stopped:
        after = f" after step {event.step}, with a checkpoint" if event.step else ""
        return Ending("stopped", f"Stopped by a person{after}."), following
    return Ending("finished", "Finished."), following


def tell_ending(
    folder: Path,
    log: str,
    *,
    exit_code: int,
    stopped_by_person: bool,
    oom_kills: int,
    first_event: int = 0,
) -> Ending:
    """The ending of a job from its log, its exit code (negative: a signal) and the kernel."""
    said, _ = own_words(folder / log, first_event)
    if said is not None:
        # Its last act: a library that crashes while the process goes away changes nothing.
        return said
    if exit_code == DISK_FULL_EXIT:
        return Ending(
            "failed",
            "The disk is full.",
            cause="disk_full",
            hint="Free some space, then go on from the newest checkpoint.",
        )
    if stopped_by_person:
        return Ending("stopped", "Stopped at once by a person, without a new checkpoint.")
    if exit_code < 0:
        return _killed(-exit_code, oom_kills)
    last_words = _last_line(folder / "stderr.log")
    return Ending(
        "failed",
        f"The process ended with exit code {exit_code}. {last_words}".strip(),
        cause="error",
        hint=f"See {folder / 'stderr.log'}.",
    )


def _killed(number: int, oom_kills: int) -> Ending:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"SIGRTMIN+{number - signal.SIGRTMIN}"
    if number == signal.SIGKILL and oom_kills > 0:
        return Ending(
            "failed",
            "Killed by the kernel because the machine's memory ran out.",
            cause="out_of_host_memory",
            hint="Use a shorter max_length, a smaller batch or a smaller base model.",
        )
    guess = (
        " The kernel kept no word of it; a lack of memory is the usual cause."
        if number == signal.SIGKILL
        else ""
    )
    return Ending("failed", f"Killed by signal {number} ({name}).{guess}", cause="killed")


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]
