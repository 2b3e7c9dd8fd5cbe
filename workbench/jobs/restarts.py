"""Whether a job that ended is started again, and after how long."""

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

    def next(self, ending: Ending, step: int) -> float | None:
        """Seconds until the job, which has got to `step`, starts again; None: it doesn't.

        An error of the job's own that comes twice at the same place is taken to come again;
        a process that was killed there may have met anything.
        """
        place, before = (ending.text, step), self._last
        self._last = place
        if ending.status != "failed" or ending.cause in RECURRING:
            return None
        if self.done >= self._care.restarts or (ending.cause == "error" and place == before):
            return None
        self.done += 1
        wait = self._care.restart_after * 2.0 ** min(self.done - 1, 30)
        return min(wait, max(LONGEST_WAIT, self._care.restart_after))
