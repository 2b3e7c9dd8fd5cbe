"""What is marked on a run's curves: few enough to be drawn and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

KINDS = ("evaluation", "checkpoint", "resume", "spike", "skipped", "alarm")
_LIMIT = 500
"""Of a kind."""
_TEXT = 200
"""Characters."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one place of a run."""

    kind: str
    """One of `KINDS`."""
    step: int
    time: float
    """Unix seconds."""
    text: str = ""
    """In words: a checkpoint's reason, an alarm's name and what is seen."""
    value: float | None = None
    """A loss, where there is one: the evaluation's or the spike's."""


class Marks:
    """The marks of a run; when there are too many of a kind, every other of its older ones goes."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Mark]] = {kind: [] for kind in KINDS}

    def add(
        self, kind: str, step: int, time: float, text: str = "", value: float | None = None
    ) -> None:
        """Raises TypeError, ValueError or OverflowError for a step or a time that is no number."""
        kept = self._kept[kind]
        kept.append(Mark(kind, int(step), float(time), str(text)[:_TEXT], value))
        if len(kept) > _LIMIT:
            del kept[: len(kept) // 2 : 2]

    def cut_after(self, step: int) -> None:
        """Forget what a resumed run does again. Its own marks and its alarms stay."""
        for kind in ("evaluation", "checkpoint", "spike", "skipped"):
            self._kept[kind] = [mark for mark in self._kept[kind] if mark.step <= step]

    def of(self, kind: str) -> list[Mark]:
        """Those of a kind, in the order in which they were noted."""
        return list(self._kept[kind])

    def kept(self) -> Iterator[Mark]:
        """All, kind by kind."""
        for marks in self._kept.values():
            yield from marks

    def put_back(self, mark: Mark) -> None:
        """Take in what `kept` gave."""
        self._kept[mark.kind].append(mark)

    def __iter__(self) -> Iterator[Mark]:
        """All, in the order of time."""
        return iter(sorted(self.kept(), key=attrgetter("time")))

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))
