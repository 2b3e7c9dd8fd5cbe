"""Whether a job that ended is started again, and after how long.

By itself after a crash, as often as its plan says; or because a person asked for it: then it ends
with a checkpoint first, and goes on from there in a new process.
"""

from __future__ import annotations

from workbench.errors import MENDABLE
from workbench.jobs.ending import Ending
from workbench.jobs.launch import Care

RECURRING = (*MENDABLE, "loss_not_finite", "out_of_gpu_memory")
"""Causes that would come again: a start with the same config, rows and machine changes nothing."""
LONGEST_WAIT = 600.0


class Restarts:
    """Counts the starts of one job."""

    def __init__(self, care: Care) -> None:
        self._care = care
        self.done = 0
        self._last: tuple[str, int] | None = None
        """Text and step of the failure before."""
        self.asked = False
        """A person wants it started again once it has ended."""
        self.at_once = False
        """And ended without waiting for a checkpoint."""

    def ask(self, *, at_once: bool) -> None:
        """A person wants it started again."""
        self.asked, self.at_once = True, self.at_once or at_once

    def forget(self) -> None:
        """A person no longer does, or it is being done."""
        self.asked = self.at_once = False

    def next(self, ending: Ending, step: int) -> float | None:
        """Seconds until the job, which has got to `step`, starts again; None: it doesn't.

        An error of the job's own that comes twice at the same place is taken to come again;
        a process that was killed there may have met anything.
        """
        if self.asked and (ending.status == "stopped" or (self.at_once and _killed(ending))):
            return 0.0
        place, before = (ending.text, step), self._last
        self._last = place
        if ending.status != "failed" or ending.cause in RECURRING:
            return None
        if self.done >= self._care.restarts or (ending.cause == "error" and place == before):
            return None
        self.done += 1
        wait = self._care.restart_after * 2.0 ** min(self.done - 1, 30)
        return min(wait, max(LONGEST_WAIT, self._care.restart_after))

    def announce(self, ending: Ending, wait: float) -> tuple[str, str]:
        """What is said of the coming start, and how serious that is."""
        if self.asked:
            return (
                f"A person has it started again, from its newest checkpoint. {ending.text}",
                "info",
            )
        count = f"{self.done} of {self._care.restarts}"
        return f"It starts again in {wait:.0f} s (restart {count}). {ending.text}", "warning"


def _killed(ending: Ending) -> bool:
    return ending.cause in ("killed", "lost_rank", "stalled")


def given_up(ending: Ending, *, preempted: bool) -> Ending:
    """The ending of a job that is not started again since a person, or the node, wants its end."""
    word = "pre-empted" if preempted else "stopped"
    who = "Pre-empted" if preempted else "Stopped by a person"
    text = f"{who} while it waited to be started again. Before that: {ending.text}"
    return Ending(word, text, last_words=ending.last_words)
