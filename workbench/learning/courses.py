"""How a run's rows were learnt: the course of each row's loss over epochs, and which are hardest.

After Swayamdipta et al., Dataset Cartography, EMNLP 2020: confidence is the mean over epochs of the
probability that a model gives the truth while it learns, variability its standard deviation. They
have a classifier's probability of the gold label; a response has many tokens, so here it is the
geometric mean of its tokens' probabilities, exp(-loss). They look at all rows at an epoch's end;
here a row's loss is that before the step which takes it.

A row's hardness isn't its loss: the loss falls while a run goes on, and some responses lose more a
token than others, whatever is right about them. What a response loses without its prompt says how
hard it is by itself (Ethayarajh et al., Understanding Dataset Difficulty with V-Usable Information,
ICML 2022); rare tokens that it shares with its prompt say that it belongs there. docs/learning.md
says what was compared.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from statistics import fmean, median
from typing import Any

from workbench.learning import misfit
from workbench.learning.log import Losses

EASY, AMBIGUOUS, HARD = "easy", "ambiguous", "hard"
REGIONS = ("", EASY, AMBIGUOUS, HARD)
_THEN = 16
"""Rows, at least, whose median says what was usual when a row was learnt: the loss of a new run
falls fast."""
_ALIKE = 32
"""Rows, at least, that are about as long."""
_TO_SIGMA = 1.4826
"""Times the median absolute deviation: the standard deviation, where it is normal."""
_LEAST_SPREAD = 0.05
"""Nats: among rows that are nearly alike, a hair over the others isn't hard."""
_LEAST_BARE = 0.1
"""Nats: a response that is all but certain by itself isn't hard for a hair more with its prompt."""
_RELIEF = 2.0
"""Deviations for each nat of evidence that a response belongs to its prompt."""
_WORST = 10
"""One in so many is among the worst."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one row was learnt."""

    row: int
    """Its line in the version's data.jsonl, from 1."""
    tokens: int
    """Its trained tokens."""
    steps: tuple[int, ...]
    """Those that took it, by epoch."""
    losses: dict[int, float | None]
    """Loss by epoch in nats, mean over its trained tokens; None where it was no number."""
    confidence: float
    """Mean over epochs of exp(-loss), from 0 to 1."""
    variability: float
    """Standard deviation of exp(-loss) over epochs; 0 of one epoch."""
    unprompted: float | None
    """What it lost without its prompt before the first step, in nats; None where that wasn't
    measured."""
    hardness: float
    """Robust deviations over rows of its length at that time, in the epoch where they are most;
    less where tokens that it shares with its prompt say that it belongs there."""
    rank: int
    """From 1, the hardest."""
    share: float
    """Percent of the run's rows that are at least as hard."""
    region: str
    """`easy`, `ambiguous` or `hard`; empty before a second epoch."""
    never_learnt: bool

    @property
    def known(self) -> list[float]:
        return [loss for loss in self.losses.values() if loss is not None]

    @property
    def mean(self) -> float:
        """Loss in nats, mean over epochs."""
        return fmean(self.known)

    @property
    def last(self) -> float:
        return self.known[-1]

    @property
    def fell(self) -> float:
        """Nats from the first epoch to the last."""
        return self.known[0] - self.known[-1]

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "tokens": self.tokens,
            "steps": list(self.steps),
            "losses": {str(e): _rounded(loss) for e, loss in self.losses.items()},
            "loss": _rounded(self.mean),
            "last_loss": _rounded(self.last),
            "fell": _rounded(self.fell),
            "loss_without_prompt": _rounded(self.unprompted),
            "confidence": _rounded(self.confidence),
            "variability": _rounded(self.variability),
            "hardness": _rounded(self.hardness),
            "rank": self.rank,
            "percent": round(self.share, 2),
            "region": self.region,
            "never_learnt": self.never_learnt,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


class Courses:
    """Those of all rows of a run, as far as it has come."""

    def __init__(self, losses: Losses) -> None:
        """Weighs them all: some five seconds for a million losses."""
        self._losses = losses
        self.epochs = sorted(losses.epochs)
        evening = _evening(losses)
        scores = [_scores(losses, epoch, evening) for epoch in self.epochs]
        self._hardness = _relieved(_highest(scores, losses.rows), losses.misfits)
        learnt = (n for n, hardness in enumerate(self._hardness) if not math.isnan(hardness))
        self.order = array("Q", sorted(learnt, key=lambda n: (-self._hardness[n], n)))
        """Rows from 0, the hardest first. A row whose loss never was a number isn't among them."""
        self._ranks = array("Q", bytes(8 * losses.rows))
        for rank, n in enumerate(self.order, 1):
            self._ranks[n] = rank
        self._never = _always_worst(scores, losses.rows)
        self.never_learnt = array("Q", (n for n in self.order if self._never[n]))
        """Rows from 0, the hardest first, that several epochs took and that are among the worst
        tenth of each of them."""
        self._regions = bytearray(losses.rows)
        if len(self.epochs) > 1:
            self._find_regions()

    def __len__(self) -> int:
        """Rows that were learnt."""
        return len(self.order)

    @property
    def compares(self) -> bool:
        """Whether there is what rows lose without their prompts, to hold their losses against."""
        return self._losses.unprompted is not None

    @property
    def damaged(self) -> int:
        """Lines of the file that can't be used: torn ones, and of rows that there aren't."""
        return self._losses.damaged + self._losses.beyond

    @property
    def without_number(self) -> int:
        """Rows that a step took, and whose loss never was a number."""
        return sum(map(bool, self._losses.tokens)) - len(self)

    def of(self, row: int) -> Course | None:
        """The course of a row, from 0; None of one that wasn't learnt."""
        if not 0 <= row < self._losses.rows or not self._ranks[row]:
            return None
        losses = dict(self._by_epoch(row))
        chances = [math.exp(-loss) for loss in losses.values() if loss is not None]
        return Course(
            row=row + 1,
            tokens=self._losses.tokens[row],
            steps=tuple(self._losses.steps[epoch][row] for epoch in losses),
            losses=losses,
            confidence=fmean(chances),
            variability=_deviation(chances),
            unprompted=_number(self._losses.unprompted, row),
            hardness=self._hardness[row],
            rank=self._ranks[row],
            share=100 * self._ranks[row] / len(self),
            region=REGIONS[self._regions[row]],
            never_learnt=bool(self._never[row]),
        )

    def _by_epoch(self, row: int) -> Iterator[tuple[int, float | None]]:
        for epoch in self.epochs:
            if self._losses.steps[epoch][row]:
                loss = self._losses.epochs[epoch][row]
                yield epoch, loss if math.isfinite(loss) else None

    def _find_regions(self) -> None:
        """The third that varies most is ambiguous; of the others the more confident half is easy,
        the other one hard."""
        confidence, spread = (array("f", bytes(4 * self._losses.rows)) for _ in range(2))
        rows = array("Q")
        for row in self.order:
            chances = [math.exp(-loss) for _, loss in self._by_epoch(row) if loss is not None]
            if len(chances) > 1:
                confidence[row], spread[row] = fmean(chances), _deviation(chances)
                rows.append(row)
        by_spread = sorted(rows, key=spread.__getitem__, reverse=True)
        third = len(by_spread) // 3
        rest = sorted(by_spread[third:], key=confidence.__getitem__)
        half = (len(rest) + 1) // 2
        for region, members in ((1, rest[half:]), (2, by_spread[:third]), (3, rest[:half])):
            for row in members:
                self._regions[row] = region


def _number(values: Sequence[float] | None, row: int) -> float | None:
    return None if values is None or math.isnan(values[row]) else values[row]


def _deviation(values: Sequence[float]) -> float:
    """Their standard deviation; that of the statistics module is exact, and fifty times as slow."""
    mean = fmean(values)
    return math.sqrt(fmean([(value - mean) ** 2 for value in values]))


def _scores(losses: Losses, epoch: int, evening: Sequence[float]) -> array[float]:
    """Of each row, from 0, of an epoch: how far its loss lies over what is usual, in robust
    deviations; NaN of one that it didn't take.

    Of the loss times `evening`, the median of those that were learnt about then is taken off; of
    what is left, that of rows about as long, whose spread it is then measured by.
    """
    found = array("f", map(mul, losses.epochs[epoch], evening))
    rows = [n for n, loss in enumerate(found) if math.isfinite(loss)]
    scores = array("f", [math.nan]) * losses.rows
    for group in neighbours(rows, losses.steps[epoch], _THEN):
        usual = median(found[n] for n in group)
        for n in group:
            scores[n] = found[n] - usual
    for group in neighbours(rows, losses.tokens, _ALIKE):
        usual = median(scores[n] for n in group)
        spread = _TO_SIGMA * median(abs(scores[n] - usual) for n in group)
        for n in group:
            scores[n] = (scores[n] - usual) / max(spread, _LEAST_SPREAD)
    return scores


def _evening(losses: Losses) -> array[float]:
    """Of each row, from 0, times what its loss would be if its response were by itself as hard as
    is usual for its length: what rows about as long lose without their prompts, the median, over
    what it does. 1 where that wasn't measured."""
    times, bare = array("f", [1.0]) * losses.rows, losses.unprompted
    if bare is not None:
        known = [n for n, tokens in enumerate(losses.tokens) if tokens and bare[n] > 0]
        for group in neighbours(known, losses.tokens, _ALIKE):
            usual = median(bare[n] for n in group)
            for n in group:
                times[n] = usual / max(bare[n], _LEAST_BARE)
    return times


def neighbours(rows: Sequence[int], by: Sequence[int], least: int) -> Iterator[list[int]]:
    """The rows in groups that are near each other by a number, `least` or some more together;
    equal ones are not taken apart."""
    group: list[int] = []
    left = len(rows)  # in this group and after it
    for n in sorted(rows, key=by.__getitem__):
        enough = min(len(group), left - len(group)) >= least
        if enough and by[group[-1]] != by[n]:
            left -= len(group)
            yield group
            group = []
        group.append(n)
    if group:
        yield group


def _highest(scores: Sequence[array[float]], rows: int) -> array[float]:
    """Of each row the highest of the epochs that took it; NaN where none did."""
    highest = array("f", [math.nan]) * rows
    for n, of_row in enumerate(zip(*scores, strict=True)):
        if known := [score for score in of_row if not math.isnan(score)]:
            highest[n] = max(known)
    return highest


def _relieved(hardness: array[float], misfits: Sequence[float] | None) -> array[float]:
    """Less hard what belongs to its prompt by the tokens that they share. That they share none
    makes nothing harder: of many tasks it is usual."""
    if misfits is None:
        return hardness
    return array(
        "f",
        [
            hard + _RELIEF * min(0.0, told)
            for hard, told in zip(hardness, misfit.evidence(misfits), strict=True)
        ],
    )


def _always_worst(scores: Sequence[array[float]], rows: int) -> bytearray:
    """1 at each row that several epochs took, and that was among the worst tenth of each."""
    taken, worst = (array("H", bytes(2 * rows)) for _ in range(2))
    for of_epoch in scores:
        known = [n for n, score in enumerate(of_epoch) if not math.isnan(score)]
        for n in known:
            taken[n] += 1
        known.sort(key=of_epoch.__getitem__, reverse=True)
        for n in known[: -(-len(known) // _WORST)]:
            worst[n] += 1
    return bytearray(times > 1 and times == bad for times, bad in zip(taken, worst, strict=True))


def evenly(count: int, most: int) -> list[int]:
    """At most `most` (2 or more) of `count` places, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]
