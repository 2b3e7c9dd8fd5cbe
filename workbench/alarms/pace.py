"""Rules on how fast steps are taken."""

from __future__ import annotations

from typing import Any, ClassVar

from workbench.alarms.rule import OVER, Rule, Seen, Verdict
from workbench.jobs.events import Paused, Progress, Record, Sampled, Step, WentOn

LINES, SECONDS = 20, 30.0
"""A block of steps that is judged as one: so many lines of the log, and so long, at least."""


class Throughput(Rule):
    """Tokens a second, and steps a second too, of two blocks in a row are below 70 % of the run's
    best blocks.

    Both: where rows are of uneven lengths, steps of few tokens bring fewer tokens a second and
    more steps. The state `slow` is of the last three steps; this is of a minute and more.
    """

    name: ClassVar[str] = "throughput-fallen"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = "The same run takes longer than it has shown it can, and costs more."
    source: ClassVar[str] = "ours: by the run's own best, which needs no table of devices"
    BELOW, CLEAR, BLOCKS = 0.7, 0.85, 2

    def reset(self) -> None:
        self._lines, self._seconds, self._tokens, self._steps = 0, 0.0, 0, 0
        self._best = self._best_steps = 0.0
        self._low = 0

    def take(self, record: Record) -> Verdict:
        step = record.event
        if not isinstance(step, Step):
            return None
        self._lines += 1
        self._seconds += step.seconds
        self._tokens += step.tokens
        self._steps += step.steps
        if self._lines < LINES or self._seconds < SECONDS:
            return None
        rate, steps = self._tokens / self._seconds, self._steps / self._seconds
        self._lines, self._seconds, self._tokens, self._steps = 0, 0.0, 0, 0
        self._best = max(self._best, rate)
        self._best_steps = max(self._best_steps, steps)
        share = max(rate / self._best if self._best else 1.0, steps / self._best_steps)
        self._low = self._low + 1 if share < self.BELOW else 0
        if self._low >= self.BLOCKS:
            return Seen(
                f"{rate:,.0f} tokens/s and {steps:.3g} steps/s up to step {step.step}; the run's "
                f"best were {self._best:,.0f} and {self._best_steps:.3g}: {share:.0%} of them.",
                "Look at who else is on the machine (`nvidia-smi`, `top`), at the GPU's clocks and "
                f"temperature, and at the disk; `workbench stacks {self.run}` shows what it waits "
                "for.",
            )
        return OVER if share >= self.CLEAR else None


class Waiting(Rule):
    """The device waits for the host: for rows, their collation, or kernels to be launched.

    A GPU that is busy less than half of a minute in which steps are taken; or, on any device,
    30 % of the time between lines that no step accounts for.
    """

    name: ClassVar[str] = "waiting-for-data"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = "A device that waits costs as much as one that works."
    source: ClassVar[str] = (
        "ours, by NVML's utilisation (share of the time in which a kernel ran) and the log's times"
    )
    BUSY, BUSY_AGAIN, SAMPLES = 50.0, 70.0, 30
    GAP, GAP_CLEAR = 0.3, 0.15

    def reset(self) -> None:
        self._stepping = False
        self._last: float | None = None
        self._lines, self._wall, self._worked = 0, 0.0, 0.0
        self._busy: list[int] = []
        self._gap_seen = self._idle_seen = False

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Sampled):
            return self._sample(event) if self._stepping else None
        if isinstance(event, Step):
            return self._step(event, record.time)
        # A validation, a checkpoint, a pause: what lies before it is no gap between steps.
        self._last = None
        if isinstance(event, Progress | Paused | WentOn):
            self._stepping = False
            self._busy.clear()
        return None

    def _step(self, step: Step, at: float) -> Verdict:
        self._stepping = True
        last, self._last = self._last, at
        if last is None or at < last:
            return None
        self._lines += 1
        self._wall += at - last
        self._worked += step.seconds
        if self._lines < LINES or self._wall < SECONDS:
            return None
        gap = max(0.0, 1 - self._worked / self._wall)
        lines, wall = self._lines, self._wall
        self._lines, self._wall, self._worked = 0, 0.0, 0.0
        self._gap_seen = gap >= (self.GAP_CLEAR if self._gap_seen else self.GAP)
        if gap >= self.GAP:
            return Seen(
                f"{gap:.0%} of the {wall:.0f} s of the last {lines} lines up to step {step.step} "
                "passed between steps.",
                "`--set logging.every=10`; put the workspace on a local disk; see that the "
                f"processors are free (`top`). `workbench stacks {self.run}` shows what it does.",
            )
        return self._over()

    def _sample(self, sample: Sampled) -> Verdict:
        busy = utilisation(sample.gpus)
        if busy is None:
            return None
        self._busy.append(busy)
        if len(self._busy) < self.SAMPLES:
            return None
        mean = sum(self._busy) / len(self._busy)
        self._busy.clear()
        self._idle_seen = mean < (self.BUSY_AGAIN if self._idle_seen else self.BUSY)
        if mean < self.BUSY:
            return Seen(
                f"The GPU was busy {mean:.0f} % of the last {self.SAMPLES} samples, while steps "
                "were taken.",
                "Give it more at once: a larger `training.micro_batch` (with the same rows a "
                "step), `training.packing`; see that the processors are free (`top`).",
            )
        return self._over()

    def _over(self) -> Verdict:
        return None if self._gap_seen or self._idle_seen else OVER


def utilisation(gpus: list[dict[str, Any]]) -> int | None:
    """Percent, of the busiest GPU that holds the run; of the only one, where the driver doesn't
    tell who holds it; None where nobody can tell."""
    held = [gpu for gpu in gpus if gpu.get("memory_of_run")]
    if not held and len(gpus) == 1:
        held = gpus
    known = [int(gpu["utilization"]) for gpu in held if gpu.get("utilization") is not None]
    return max(known, default=None)
