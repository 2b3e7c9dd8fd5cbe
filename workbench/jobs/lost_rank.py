"""Which rank of a job was lost first, as the launcher of its ranks tells on stderr."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.jobs.known_errors import recognise

_ROOT = "Root Cause (first observed failure):"
_OTHERS = "\nFailures:\n"
_RANK = r"(?m)^ *rank +: (\d+) .*\n *exitcode +: (-?\d+) \(pid: (\d+)\)"
_ALONE = r"CalledProcessError: Command .* died with <Signals\.\w+: (\d+)>"
"""What `accelerate launch` says of a single rank."""
_OF_RANK = r"(?:\[rank(\d+)\]: ?)?(.*)"
_EXCEPTION = r"[A-Za-z_][\w.]*(?:: .*)?$"
_OF_LAUNCHER = ("ChildFailedError", "CalledProcessError")


@dataclass(frozen=True, slots=True)
class LostRank:
    """A rank that ended when it should not have."""

    rank: int
    exit_code: int
    """Negative: a signal."""
    pid: int | None = None
    words: str = ""
    """The exception that ended it; empty where it left none."""


def find(errors: str) -> LostRank | None:
    """The rank that was lost first, from what is on stderr; None without a launcher's report."""
    place = errors.rfind(_ROOT)
    if place < 0:
        alone = re.search(_ALONE, errors)
        return LostRank(0, -int(alone[1])) if alone else None
    start = max(0, errors.rfind(_OTHERS, 0, place))
    root = _ranks(errors, errors[place:])
    if root and only_noticed(root[0]):
        # The launcher looks a few times a second.
        killed = (r for r in _ranks(errors, errors[start:place]) if r.exit_code < 0)
        aftermath = (-signal.SIGTERM, -signal.SIGABRT)
        return next((r for r in killed if r.exit_code not in aftermath), root[0])
    return root[0] if root else None


def pid_of(errors: str, rank: int) -> int | None:
    """The process of a rank that the launcher's report tells of."""
    found = _ranks(errors, errors[max(0, errors.rfind(_OTHERS, 0, errors.rfind(_ROOT))) :])
    return next((lost.pid for lost in found if lost.rank == rank), None)


def only_noticed(lost: LostRank) -> bool:
    """Whether a rank ended, by its words or its signal, for the loss of another.

    NCCL's watchdog aborts then, and so does gloo with a thread left.
    """
    known = recognise(lost.words)
    return lost.exit_code == -signal.SIGABRT or (known is not None and known.cause == "lost_rank")


def last_exception(errors: str, rank: int | None = None) -> str:
    """The first line of the last exception on stderr that is not a launcher's own: that of
    `rank` where it names ranks. Empty without one."""
    found = [(of, words) for of, words in _exceptions(errors) if not _is_of_launcher(words)]
    named = [words for of, words in found if of == rank]
    return named[-1] if named else found[-1][1] if found and rank is None else ""


def _ranks(errors: str, report: str) -> list[LostRank]:
    found = []
    for rank, code, pid in re.findall(_RANK, report):
        words = last_exception(errors, int(rank)) or last_exception(errors)
        found.append(LostRank(int(rank), int(code), int(pid), words if int(code) > 0 else ""))
    return found


def _exceptions(errors: str) -> Iterator[tuple[int | None, str]]:
    """The rank that each exception is marked with, if it is, and its words."""
    telling: set[int | None] = set()
    for line in errors.splitlines():
        found = re.match(_OF_RANK, line)
        if found is None:
            continue
        rank = int(found[1]) if found[1] else None
        if "Traceback (most recent call last):" in found[2]:
            telling.add(rank)
        elif rank in telling and re.match(_EXCEPTION, found[2]):
            telling.remove(rank)
            yield rank, found[2]


def _is_of_launcher(words: str) -> bool:
    return words.partition(":")[0].endswith(_OF_LAUNCHER)
