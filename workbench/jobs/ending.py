"""How a job ended, in words."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.jobs import lost_rank
from workbench.jobs.events import Failed, Finished
from workbench.jobs.known_errors import recognise
from workbench.jobs.log import ends, rank_log
from workbench.jobs.lost_rank import LostRank

UNSAID = {"disk_full": errno.ENOSPC, "read_only": errno.EROFS}
"""By cause, the exit code of a job that could not write its last words."""
_TAIL = 1 << 16
"""Bytes of stderr that are looked at."""
_LINES = 20
_LINE = 300
"""Characters that are kept of a line of stderr."""
_LESS_MEMORY = "Use a shorter max_length, a smaller batch or a smaller base model."
_WHY: dict[int, str] = {
    signal.SIGKILL: "by a person or another program: nothing shows that memory was short",
    signal.SIGBUS: "a file that it had mapped was cut short, or /dev/shm is full, as a rule",
    signal.SIGILL: "a library was built for another kind of processor, as a rule",
    signal.SIGXCPU: "its limit of processor time (ulimit -t) was reached",
}


@dataclass(frozen=True, slots=True)
class Ending:
    status: str
    """`finished`, `stopped`, `pre-empted` or `failed`."""
    text: str
    cause: str = ""
    hint: str = ""
    last_words: tuple[str, ...] = ()
    """The last lines that it wrote to stderr, as they are: not yet safe for a terminal."""

    def told(self, folder: Path) -> dict[str, str]:
        """What a person's own command is told of it."""
        return {
            "run": folder.name,
            "status": self.status,
            "cause": self.cause,
            "text": self.text,
            "folder": str(folder),
        }


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
    if event.preempted:
        how = (
            f"after step {event.step}, with a checkpoint" if event.step else "before its first step"
        )
        return Ending("pre-empted", f"Pre-empted {how}."), following
    if event.stopped:
        after = f" after step {event.step}, with a checkpoint" if event.step else ""
        return Ending("stopped", f"Stopped by a person{after}."), following
    return Ending("finished", "Finished."), following


def tell_ending(
    folder: Path,
    log: str,
    *,
    exit_code: int | None,
    stopped_by_person: bool,
    killed_for_memory: str | None = None,
    first_event: int = 0,
    stalled: str = "",
    preempted: bool = False,
    stderr_from: int = 0,
) -> Ending:
    """The ending of a job from its log, its exit code, what is on stderr, and the kernel.

    `exit_code` is negative for a signal, None where nobody can know it; `killed_for_memory` is
    told of where SIGKILL ended it. Its stderr begins at byte `stderr_from`: the file goes on
    when a job is started again.
    """
    errors = _tail(folder / "stderr.log", stderr_from)
    said, _ = own_words(folder / log, first_event)
    lost = lost_rank.find(errors) if exit_code != 0 and not preempted else None
    if said is not None and not (lost and _is_aftermath(said, lost)):
        # Its last act: a library that crashes while the process goes away changes nothing.
        ending = said
    elif exit_code in UNSAID.values():
        ending = _unsaid(exit_code)
    elif preempted:
        ending = Ending("pre-empted", "Pre-empted, without a new checkpoint.")
    elif stalled:
        ending = Ending("failed", f"Ended because it had stalled. {stalled}", cause="stalled")
    elif stopped_by_person or exit_code == -signal.SIGINT:
        ending = Ending("stopped", "Stopped at once by a person, without a new checkpoint.")
    elif lost is not None:
        ending = _lost(lost, killed_for_memory, folder, errors)
    elif exit_code == -signal.SIGKILL or exit_code is None:
        ending = _killed(exit_code, killed_for_memory, errors)
    else:
        ending = _crashed(exit_code, errors, folder / "stderr.log")
    return replace(ending, last_words=_last_words(errors))


def _is_aftermath(said: Ending, lost: LostRank) -> bool:
    """Whether the first rank's words are what the loss of another does to it.

    Its connections break, whatever the library says then, or the launcher ends it, which it
    takes for the node's wish.
    """
    if said.cause == "error" and lost.rank > 0:
        return not lost_rank.only_noticed(lost)
    return said.cause == "lost_rank" or said.status == "pre-empted"


def _unsaid(exit_code: int | None) -> Ending:
    if exit_code == UNSAID["disk_full"]:
        text, mend, cause = "The disk is full.", "Free some space", "disk_full"
    else:
        text, mend, cause = "The file system is read-only.", "Make it writable", "read_only"
    return Ending("failed", text, cause, f"{mend}, then go on from the newest checkpoint.")


def _lost(lost: LostRank, killed_for_memory: str | None, folder: Path, errors: str) -> Ending:
    if lost_rank.only_noticed(lost) and (failed := _failed_rank(folder, errors)) is not None:
        return failed
    who = _rank(lost.rank, lost.pid)
    if lost.exit_code in UNSAID.values():
        return _unsaid(lost.exit_code)
    if lost.exit_code < 0:
        text = f"{who} was killed by signal {_named(-lost.exit_code)}."
        if lost.exit_code == -signal.SIGKILL and killed_for_memory:
            return Ending("failed", f"{text} {killed_for_memory}", "lost_rank", _LESS_MEMORY)
        return Ending("failed", text, "lost_rank")
    if (said := _words_of_rank(folder / rank_log(lost.rank), errors)) is not None:
        return replace(said, text=f"{who} failed: {said.text}")
    if lost.words:
        failure = recognise(lost.words) or Failed("error", lost.words, "See stderr.log for where.")
        return Ending("failed", f"{who} failed: {failure.text}", failure.cause, failure.hint)
    return Ending("failed", f"{who} ended with exit code {lost.exit_code}.", "lost_rank")


def _rank(number: int, pid: int | None) -> str:
    return f"Rank {number}" + (f" (process {pid})" if pid else "")


def _failed_rank(folder: Path, errors: str) -> Ending | None:
    """The ending of a rank that failed by itself, and was ended by the launcher, slow as it was
    in leaving, for the sake of another that lost it."""
    for path in sorted(folder.glob(rank_log("*"))):
        said = _words_of_rank(path, errors)
        if said is not None and said.cause != "lost_rank":
            number = int(path.stem.rpartition("-")[2])
            who = _rank(number, lost_rank.pid_of(errors, number))
            return replace(said, text=f"{who} failed: {said.text}")
    return None


def _words_of_rank(log: Path, errors: str) -> Ending | None:
    """How a rank failed, in its own words of this start."""
    said, _ = own_words(log)
    # A job prints its last words on stderr, too: those of an earlier start aren't there.
    return said if said and said.status == "failed" and said.text in errors else None


def _killed(exit_code: int | None, killed_for_memory: str | None, errors: str) -> Ending:
    if killed_for_memory:
        return Ending("failed", killed_for_memory, "out_of_host_memory", _LESS_MEMORY)
    if exit_code is None:
        if (known := recognise("\n".join(_last_words(errors)))) is not None:
            return Ending("failed", known.text, known.cause, known.hint)
        text = "Its process ended without a word; how, its second supervisor can't be told."
        return Ending("failed", text, cause="killed")
    return _by_signal(-exit_code)


def _crashed(exit_code: int, errors: str, path: Path) -> Ending:
    """Told by the last words on stderr where they are known."""
    words = "\n".join(_last_words(errors))
    if (known := recognise(words)) is not None:
        return Ending("failed", known.text, known.cause, known.hint)
    if exit_code < 0:
        return _by_signal(-exit_code)
    last = words.rpartition("\n")[2].strip()
    text = f"The process ended with exit code {exit_code}. {last}".strip()
    return Ending("failed", text, cause="error", hint=f"See {path}.")


def _by_signal(number: int) -> Ending:
    why = f", {_WHY[number]}" if number in _WHY else ""
    return Ending("failed", f"Killed by signal {_named(number)}{why}.", cause="killed")


def _named(number: int) -> str:
    """`9 (SIGKILL)`."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return f"{number} (SIGRTMIN+{number - signal.SIGRTMIN})"


def _tail(path: Path, start: int) -> str:
    """The end of a file from byte `start` on; empty where it can't be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(start, path.stat().st_size - _TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _last_words(errors: str) -> tuple[str, ...]:
    """The last lines that aren't empty; of a progress bar what it showed in the end."""
    lines = (line.rstrip().rpartition("\r")[2].rstrip() for line in errors.split("\n"))
    return tuple(line[:_LINE] for line in [line for line in lines if line][-_LINES:])
