"""A run in words: how far it is, how long it still takes and how sure that is, how well it does."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Started
from workbench.jobs.log import ends
from workbench.jobs.state import ENDED, look
from workbench.tracking.link import Link
from workbench.tracking.timing import Timing
from workbench.tracking.view import RunView

_ONE = 0.25
"""Share by which a validation may take longer or shorter than the only one so far."""
MOVES = ("running", "slow")
"""States in which the clock can tell when the run ends."""
_ALL = 8 << 20
"""Bytes of a log that is read whole: some 25,000 steps, in 0.3 s."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run's config says of its course."""

    evaluation_every: int = 0
    patience: int | None = None
    checkpoints_every: int = 0
    keeps_best: bool = False
    """Whether a validation with a new lowest loss is followed by a checkpoint."""

    @classmethod
    def of(cls, run: Path) -> Plan | None:
        """By the run's own config; None where that can't be read. It imports pydantic."""
        from workbench.tracking import runs

        try:
            config = runs.load_config(run)
        except (WorkbenchError, OSError):
            return None
        best = bool(config.evaluation.every) or config.checkpoints.result == "best"
        return cls(
            config.evaluation.every, config.evaluation.patience, config.checkpoints.every, best
        )


@dataclass(frozen=True, slots=True)
class Eta:
    """The time left: seconds of work from now on, pauses not."""

    seconds: float
    low: float
    high: float
    ends: float | None
    """When it ends, unix seconds; None while it doesn't move."""
    basis: str
    """`steps`: of late; `forecast`: what was foretold before the first step."""


@dataclass(frozen=True, slots=True)
class Next:
    """Something that is due."""

    step: int
    seconds: float | None
    """Until then; None where nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a run is; what isn't known is None."""

    state: str
    text: str
    """The state in a sentence."""
    step: int
    total_steps: int
    epoch: float | None
    epochs: float | None
    phase: str
    """What it does besides steps, such as `validation`; empty while it takes steps."""
    eta: Eta | None
    stopping: bool
    """Whether it ends after this step, since that was asked for."""
    tokens_per_second: float | None
    best_tokens_per_second: float | None
    """Of the run's best stretch of as many steps."""
    whole: bool
    """Whether the best is of all steps; a long log is read at both its ends only."""
    loss: float | None
    validation: Evaluated | None
    best: Evaluated | None
    since_best: int
    """Validations after the best one."""
    patience: int | None
    patience_left: int | None
    """Validations without a new lowest loss after which it ends."""
    next_evaluation: Next | None
    next_checkpoint: Next | None
    checkpoint_if_best: int | None
    """The step before that one's at which a validation with a new lowest loss is saved."""
    link: Link
    last_word: float | None
    """When the newest word of the run was written, unix seconds."""
    now: float

    @property
    def share_of_best(self) -> float | None:
        late, best = self.tokens_per_second, self.best_tokens_per_second
        return late / best if late is not None and best else None

    def to_json(self) -> dict[str, Any]:
        """Without NaN, and of validations the step and the loss."""
        body = asdict(self)
        for name in ("validation", "best"):
            told: Evaluated | None = getattr(self, name)
            body[name] = {"step": told.step, "loss": _finite(told.loss)} if told else None
        share = self.share_of_best
        word_age = None if self.last_word is None else round(self.now - self.last_word, 1)
        return {**body, "loss": _finite(self.loss), "share_of_best": share, "word_age": word_age}


def of(
    view: RunView,
    status: str,
    text: str,
    plan: Plan | None,
    link: Link,
    now: float | None = None,
) -> Course:
    """The course of a run whose log `view` was fed with; `status` and `text` as in
    `jobs.state.describe`."""
    now = time.time() if now is None else now
    plan = plan or Plan()
    timing, started, last = view.timing, view.started, view.last_step
    over = status in ENDED
    coming = None if over or started is None else _Coming.of(view, plan)
    best = view.best_evaluation
    return Course(
        state=status,
        text=text,
        step=view.step,
        total_steps=view.total_steps,
        epoch=last.epoch if last else None,
        epochs=started.epochs if started else None,
        phase=view.progress.phase if view.progress is not None and not over else "",
        eta=None if coming is None else _eta(view, coming, status, now),
        stopping=not over and "stop" in timing.asked,
        tokens_per_second=timing.late or view.tokens_per_second,
        best_tokens_per_second=timing.best,
        whole=timing.whole,
        loss=last.loss if last else None,
        validation=view.evaluations[-1] if view.evaluations else None,
        best=best,
        since_best=len(view.evaluations) - 1 - view.evaluations.index(best) if best else 0,
        patience=plan.patience,
        patience_left=None if plan.patience is None else plan.patience - _in_vain(view),
        next_evaluation=coming.evaluation(view) if coming else None,
        next_checkpoint=coming.checkpoint(view, plan.evaluation_every) if coming else None,
        checkpoint_if_best=coming.if_best if coming else None,
        link=link,
        last_word=view.last_time,
        now=now,
    )


def read(run: Path) -> Course:
    """The course of the run in a folder. A log of up to 8 MB is read whole, a longer one at both
    its ends."""
    from workbench.tracking import runs

    log = run / runs.LOG
    # Before the log: what a run wrote before it ended is then in what is read of it.
    state, status, text = look(run)
    view = RunView()
    view.feed(ends(log, _ALL // 2, always=(Started, Evaluated)))
    return of(view, status, text, Plan.of(run), Link.of(run, state))


@dataclass(frozen=True, slots=True)
class _Coming:
    """What is still to be done, by the plan; when the loop does it: training/loop.py."""

    next_evaluation: int | None
    """The step, as the two below; None where none comes."""
    next_checkpoint: int | None
    if_best: int | None
    """That of the next validation, where it comes before that checkpoint and may bring one."""
    evaluations: int
    """How many are left."""
    checkpoints: int
    """Those that are certain."""
    checkpoints_if_best: int

    @classmethod
    def of(cls, view: RunView, plan: Plan) -> _Coming:
        step, total = view.step, view.total_steps
        started = view.started
        validates = started is not None and started.validation_rows > 0
        measured = view.evaluations[-1].step if view.evaluations else None
        begun = step if measured != step else step + 1
        first, regular = _due(plan.evaluation_every, begun, total)
        at_end = validates and measured != total
        evaluations = regular + 1 if at_end else 0
        next_one = (first or total) if at_end else None
        saved = view.timing.saved_step
        save, saves = _due(plan.checkpoints_every, step if saved != step else step + 1, total)
        ended = saved == total
        due = None if ended else save or total
        if_best = next_one if plan.keeps_best and next_one and due and next_one < due else None
        return cls(
            next_evaluation=next_one,
            next_checkpoint=due,
            if_best=if_best,
            evaluations=evaluations,
            checkpoints=0 if ended else saves + 1,
            checkpoints_if_best=evaluations if plan.keeps_best else 0,
        )

    def evaluation(self, view: RunView) -> Next | None:
        return None if self.next_evaluation is None else _next(self.next_evaluation, view, 0)

    def checkpoint(self, view: RunView, every: int) -> Next | None:
        due, first = self.next_checkpoint, self.next_evaluation
        if due is None:
            return None
        before = 0 if first is None or first > due else 1 + ((due - first) // every if every else 0)
        return _next(due, view, before)


def _due(every: int, begun: int, total: int) -> tuple[int | None, int]:
    """Of the multiples of `every` from `begun` on and before `total` the first, and how many."""
    if not every:
        return None, 0
    first = max(every, math.ceil(begun / every) * every)
    return (first, (total - 1 - first) // every + 1) if first < total else (None, 0)


def _next(step: int, view: RunView, validations: int) -> Next:
    took = view.timing.step_seconds(step - view.step)
    if took is None:
        return Next(step, None)
    between = validations * _mean(view.timing.validations)
    return Next(step, (step - view.step) * took[0] + between)


def _mean(seconds: Collection[float]) -> float:
    return statistics.fmean(seconds) if seconds else 0.0


def _eta(view: RunView, coming: _Coming, status: str, now: float) -> Eta | None:
    timing, steps = view.timing, view.total_steps - view.step
    each = timing.step_seconds(max(1, steps))
    if each is None:
        return _foretold(view, steps, status, now)
    gone = _gone(timing, view.progress.phase if view.progress else "", now)
    middle, low, high = (steps * seconds for seconds in each)
    seen = _spans(timing, coming)
    middle, low, high = (
        max(0.0, part + sum(span[place] for span in seen) - gone)
        for place, part in enumerate((middle, low, high))
    )
    # A step's line is written when the next step has been sent off.
    low = max(0.0, low - timing.a_line)
    ends = now + middle if status in MOVES else None
    return Eta(middle, low, max(high, middle), ends, "steps")


def _spans(timing: Timing, coming: _Coming) -> list[tuple[float, float, float]]:
    """What validations and checkpoints still take: middle, lower and upper seconds."""
    found = []
    # Whether a validation brings a new lowest loss nobody knows: between none and all.
    if_best = coming.checkpoints_if_best
    for seconds, fewest, most in (
        (timing.validations, coming.evaluations, coming.evaluations),
        (timing.saves, coming.checkpoints, coming.checkpoints + if_best),
    ):
        if not seconds:
            continue
        mean, shortest, longest = _mean(seconds), min(seconds), max(seconds)
        if len(seconds) == 1:
            shortest, longest = mean * (1 - _ONE), mean * (1 + _ONE)
        found.append(((fewest + most) / 2 * mean, fewest * shortest, most * longest))
    return found


def _gone(timing: Timing, phase: str, now: float) -> float:
    """Seconds of what is left that have passed since the newest word; at most what it usually
    takes, so that the time left of one that stalls stands still."""
    if timing.since is None or timing.paused:
        return 0.0
    usual = timing.a_line
    if phase:
        usual = _mean(timing.saves if phase.startswith("saving") else timing.validations)
    return min(max(0.0, now - timing.since), usual)


def _foretold(view: RunView, steps: int, status: str, now: float) -> Eta | None:
    """By the forecast that the run made before its first step."""
    told = view.foretold
    if told is None or view.started is None:
        return None
    bounds = told.run_seconds if not view.started.resumed_from else None
    gone = 0.0 if view.started_at is None else max(0.0, now - view.started_at - view.paused)
    if bounds is None:
        if told.step_seconds is None:
            return None
        bounds, gone = [steps * seconds for seconds in told.step_seconds], 0.0
    low, high = (max(0.0, seconds - gone) for seconds in bounds)
    middle = (low + high) / 2
    return Eta(middle, low, high, now + middle if status in MOVES else None, "forecast")


def _in_vain(view: RunView) -> int:
    """Validations since that with the lowest loss, as `training.best.Best` counts them."""
    lowest, since, measured = math.inf, 0, 0
    for told in view.evaluations:
        if told.step <= measured:
            continue  # before the first step, or a second look
        measured = told.step
        since = 0 if told.loss < lowest else since + 1
        lowest = min(lowest, told.loss)
    return since


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
