"""All of a run's curves, exact, read from its logs from one end to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.history import cache, scan
from workbench.history.cache import Exact
from workbench.history.history import History
from workbench.history.logs import Logs, identity, whole

LARGE = 8 << 20
"""Bytes that it takes a cache to be there soon: reading as much takes half a second."""

Say = Callable[[float], None]
"""Told which part of the logs is read."""


@dataclass(frozen=True, slots=True)
class Read:
    """What reading came to."""

    exact: Exact
    content: bytes
    """The same as the cache has it."""
    fresh: int
    """Bytes of logs that weren't in the cache."""


def read(logs: Logs, say: Say = lambda share: None) -> History:
    """The curves of a run, for who has the time. Of large logs it leaves the cache, where the
    run's folder takes it. Raises OSError when a log can't be read."""
    found = read_to(logs, (whole(logs.training), whole(logs.machine)), say)
    if found.fresh > LARGE:
        cache.write(logs.folder, found.content)
    return found.exact.history


def read_to(logs: Logs, ends: tuple[int, int], say: Say) -> Read:
    """The curves up to these offsets of both logs; from the cache on, if there is one.

    Raises OSError when a log can't be read, or was replaced meanwhile.
    """
    kinds = ((logs.training, scan.training), (logs.machine, scan.machine))
    before = [identity(log) for log, _ in kinds]
    known = cache.read(logs.folder, logs.training, logs.machine)
    if known is None or known.training > ends[0] or known.machine > ends[1]:
        known = Exact(History())
    history, reached = known.history, [known.training, known.machine]
    begun = sum(reached)
    for place, (log, take) in enumerate(kinds):
        for offset in scan.pass_over(history, log, take, reached[place], ends[place]):
            reached[place] = offset
            say(sum(reached) / sum(ends))
    exact = Exact(history, reached[0], reached[1])
    content = cache.pack(exact, logs.training, logs.machine)
    if before != [identity(log) for log, _ in kinds]:
        raise OSError("a log was replaced while it was read")
    return Read(exact, content, sum(reached) - begun)
