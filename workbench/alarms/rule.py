"""What a rule is: it takes a run's events one by one and says what it sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from workbench.jobs.events import Record, Started


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule sees, with its figures, and what to do about it."""

    text: str
    next_step: str


Verdict = Seen | Literal["over"] | None
"""`over` is said below a threshold of its own, well under that of the beginning, so that an alarm
doesn't come and go with the noise; None leaves things as they are."""
OVER: Literal["over"] = "over"


class Rule(ABC):
    """Judges a run by its events, in the order of time, with bounded memory."""

    name: ClassVar[str]
    severity: ClassVar[str]
    why: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, run: str) -> None:
        """`run` is named in what is to be typed."""
        self.run = run
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    def begin_again(self, started: Started) -> None:
        """The job is started, or goes on from a checkpoint: in another process, perhaps on
        another machine."""
        self.reset()

    @abstractmethod
    def take(self, record: Record) -> Verdict:
        """Take in one event of the run, or one sample of its machine."""
