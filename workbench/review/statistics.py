"""The arithmetic of a pairwise review: rates, intervals, bias, agreement, sample size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of n with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Wins, ties and losses of one system against another."""

    wins: int
    ties: int
    losses: int

    @property
    def win_rate(self) -> Rate | None:
        """Wins with a tie as half a win; None before the first item.

        With ties the interval is wider than it need be: a tie has no spread of its own.
        """
        n = self.wins + self.ties + self.losses
        return rate(self.wins + self.ties / 2, n)

    @property
    def decided_rate(self) -> Rate | None:
        """Wins among the items that are no tie; None while there is none."""
        return rate(self.wins, self.wins + self.losses)

    @property
    def still_needed(self) -> int | None:
        """How many more decided comparisons would show a preference of the size seen so far.

        None when no size can be seen: nothing is decided, or it stands level.
        """
        seen = self.decided_rate
        wanted = None if seen is None else comparisons_needed(seen.value)
        return None if seen is None or wanted is None else max(0, wanted - seen.n)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two annotators gave one verdict on an item that both judged."""

    pairs: int
    agreeing: int

    @property
    def share(self) -> float | None:
        """None when no item was judged by two annotators."""
        return self.agreeing / self.pairs if self.pairs else None


def rate(successes: float, n: int) -> Rate | None:
    """The share `successes / n` with Wilson's interval; None for n = 0."""
    if n == 0:
        return None
    low, high = wilson(successes, n)
    return Rate(value=successes / n, low=low, high=high, n=n)


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion, without continuity correction.

    Chosen over the textbook interval p ± z·sqrt(pq/n), whose coverage at n = 20 and
    p = 0.97 is 46 % and not 95 %. Source: Wilson 1927; compared in Newcombe 1998,
    "Two-sided confidence intervals for the single proportion", Statistics in Medicine
    17, method 3.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def comparisons_needed(
    true_rate: float, power: float = POWER, confidence: float = CONFIDENCE
) -> int | None:
    """How many decided comparisons tell `true_rate` from one half; None for one half itself.

    Normal approximation for one proportion against 1/2, two-sided, without continuity
    correction. Source: Fleiss, Levin and Paik 2003, "Statistical Methods for Rates and
    Proportions", sample size for a single proportion.
    """
    if true_rate == 0.5:
        return None
    alpha = NormalDist().inv_cdf((1 + confidence) / 2)
    beta = NormalDist().inv_cdf(power)
    spread = alpha * 0.5 + beta * math.sqrt(true_rate * (1 - true_rate))
    return math.ceil((spread / (true_rate - 0.5)) ** 2)


def agreement(verdicts_by_item: Iterable[Sequence[str]]) -> Agreement:
    """Raw agreement over every pair of annotators of every item."""
    pairs = [pair for verdicts in verdicts_by_item for pair in combinations(verdicts, 2)]
    return Agreement(pairs=len(pairs), agreeing=sum(a == b for a, b in pairs))
