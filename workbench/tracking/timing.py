"""How fast a run is and has been, and how long its validations and checkpoints take, from its log.

Memory is bounded however long the log: the last lines of steps and the last few validations and
checkpoints are kept, and of all that came before only the best stretch.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from dataclasses import dataclass, field

from workbench.jobs.events import (
    Answered,
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Finished,
    Paused,
    Progress,
    Record,
    Started,
    Step,
    WentOn,
)

_KEPT = 60
"""Lines of steps that the time of a step is taken from."""
_STRETCH = 20
"""Steps, at least, of the stretch whose tokens a second are compared with the best one's."""
_PHASES = 20
"""Validations and checkpoints whose durations are kept."""
_BLOCKS = 10
"""Parts of the kept lines whose means tell how steady a step's time is."""
_FEWEST = 3
"""Lines of steps before which nothing is said of their time."""
_JUMP = 60.0
"""Seconds that a line may come later than twenty times its steps' own time; more is a clock that
was set, or a machine that slept."""
_DRIFT = 0.1
"""Share by which the mean over so many lines is taken to change from one such stretch to the next,
before the run has shown it. On recorded runs: docs/monitor.md."""
_WEIGHT = 2
"""Stretches that this counts for, against those that the run has shown."""
_FAR = 4.0
"""Stretches ahead over which a change adds up; a machine's load comes and goes."""
_SIDES = 1.6
"""Standard errors on either side of the middle."""


@dataclass(slots=True)
class _Line:
    wall: float
    """Seconds from the line before it, without validations, checkpoints and pauses."""
    seconds: float
    """The steps' own time."""
    steps: int
    tokens: int


@dataclass
class Timing:
    """Feed it every record of a run's log, in order."""

    validations: deque[float] = field(default_factory=lambda: deque(maxlen=_PHASES))
    """Seconds of the last ones, answers included, pauses not."""
    saves: deque[float] = field(default_factory=lambda: deque(maxlen=_PHASES))
    """Seconds of the last checkpoints."""
    saved_step: int | None = None
    """The step of the newest checkpoint."""
    best: float | None = None
    """Tokens a second of the fastest stretch of as many steps as `late` is of."""
    late: float | None = None
    """Tokens a second of the last stretch; None before there is a whole one."""
    whole: bool = True
    """Whether the log was read without a gap."""
    asked: set[str] = field(default_factory=set)
    """Commands that the run has taken up and that are not through: `stop`, `pause`, …"""
    paused: bool = False
    since: float | None = None
    """When what is under way began, unix seconds: a line of steps, a validation, a checkpoint;
    None where that isn't known."""
    _lines: deque[_Line] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _levels: deque[float] = field(default_factory=lambda: deque(maxlen=_PHASES))
    """Mean seconds of a step over each stretch of `_KEPT` lines."""
    _since_level: int = 0
    _stretch: deque[_Line] = field(default_factory=deque)
    _sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Tokens, seconds and steps of the stretch."""
    _best_steps: float = 0.0
    _seq: int = -1
    _stepped: float | None = None
    """When the line of steps before was written; None where what lies between isn't known."""
    _besides: float = 0.0
    """Seconds since then that were validations, checkpoints and pauses."""

    def take(self, record: Record) -> None:
        """Take in one record."""
        if record.seq != self._seq + 1:
            self.whole, self._stepped, self.since = False, None, None
        self._seq = record.seq
        at = record.time
        match record.event:
            case Step():
                self._add(record.event, at)
            case Evaluated():
                self.asked.discard("evaluate_now")
                self._through(self.validations, at)
            case Answered() if self.validations:
                # Part of the validation before it.
                if self.since is not None:
                    self.validations[-1] += self._pass(at)
            case Progress(phase) if phase.startswith("saving"):
                self.since = at
            case CheckpointSaved(step):
                self.saved_step = step
                self.asked.discard("save_now")
                self._through(self.saves, at)
            case Started():
                self._stepped, self.since = None, at
                self.asked, self.paused = set(), False
            case CommandHandled(_, command):
                if command == "resume":
                    self.asked.discard("pause")
                else:
                    self.asked.add("stop" if command == "preempt" else command)
            case Paused():
                self.paused = True
            case WentOn(seconds):
                self.paused = False
                self.asked.discard("pause")
                self._besides += seconds
                if self.since is not None:
                    self.since += seconds
            case Finished():
                self.asked, self.paused = set(), False

    def _pass(self, at: float) -> float:
        """Seconds since `since`, which is moved on."""
        assert self.since is not None  # noqa: S101
        took = max(0.0, at - self.since)
        self.since = at
        self._besides += took
        return took

    def _through(self, kept: deque[float], at: float) -> None:
        if self.since is not None:
            kept.append(self._pass(at))
        self.since = at

    def _add(self, step: Step, at: float) -> None:
        wall = step.seconds
        if self._stepped is not None:
            measured = at - self._stepped - self._besides
            # Lines before a validation come at once, and the one after it late: together they fit.
            if -_JUMP < measured < 20 * step.seconds + _JUMP:
                wall = measured
        line = _Line(wall, step.seconds, step.steps, step.tokens)
        self._lines.append(line)
        self._stepped, self._besides, self.since = at, 0.0, at
        self._since_level += 1
        if self._since_level == _KEPT:
            self._since_level = 0
            self._levels.append(self._own_seconds())
        self._stretch.append(line)
        self._count(line, 1)
        while self._sums[2] - self._stretch[0].steps >= _STRETCH:
            self._count(self._stretch.popleft(), -1)
        tokens, seconds, steps = self._sums
        if steps < _STRETCH or seconds <= 0:
            return
        self.late = tokens / seconds
        # Of a longer stretch the best is slower: lines of more steps begin anew.
        if self.best is None or not 0.5 < steps / self._best_steps < 2:
            self.best, self._best_steps = self.late, steps
        self.best = max(self.best, self.late)

    def _count(self, line: _Line, sign: int) -> None:
        for place, value in enumerate((line.tokens, line.seconds, line.steps)):
            self._sums[place] += sign * value

    def _own_seconds(self) -> float:
        """A step's own time, the mean over the kept lines."""
        return sum(x.seconds for x in self._lines) / sum(x.steps for x in self._lines)

    def _drift(self) -> float:
        """Share by which the mean of a stretch changes to the next: the prior and what was seen."""
        pairs = [(a, b) for a, b in itertools.pairwise(self._levels) if a > 0]
        seen = sum((b / a - 1) ** 2 for a, b in pairs)
        return math.sqrt((_WEIGHT * _DRIFT**2 + seen) / (_WEIGHT + len(pairs)))

    @property
    def a_line(self) -> float:
        """Seconds that a line of steps takes, on the average."""
        return sum(line.wall for line in self._lines) / max(1, len(self._lines))

    def step_seconds(self, steps: int) -> tuple[float, float, float] | None:
        """Seconds that each of the next `steps` steps takes on the average: middle, lower and upper
        bound; None before there are three lines of steps.

        The middle is the mean over the last 60 lines, waiting between steps included. The bounds
        are of the mean of a sample yet to come, as a prediction interval is: the variance of block
        means, over the number of blocks seen and over that of blocks to come (Law, Simulation
        Modeling and Analysis, 2015, 9.5.3: batch means, for values that hang together), and with
        it a drift that the lines so far can't show.
        """
        lines = list(self._lines)
        if len(lines) < _FEWEST:
            return None
        done = sum(line.steps for line in lines)
        middle = max(0.0, sum(line.wall for line in lines)) / done
        size = max(1, math.ceil(len(lines) / _BLOCKS))
        blocks = [lines[i : i + size] for i in range(0, len(lines) - size + 1, size)]
        means = [sum(x.seconds for x in b) / sum(x.steps for x in b) for b in blocks]
        own = statistics.fmean(means)
        if own <= 0:
            return middle, middle, middle
        to_come = max(1.0, steps / (done / len(means)))
        scatter = statistics.variance(means) / own**2 * (1 / len(means) + 1 / to_come)
        few = 1 + 2 / (len(means) - 1)  # what so few blocks say of their variance is uncertain
        ahead = min(_FAR, steps / done)
        error = _SIDES * math.sqrt(scatter * few + self._drift() ** 2 * (1 + ahead))
        return middle, middle / (1 + error), middle * (1 + error)
