"""Shares of n: Wilson's interval, the exact binomial test, how many more make it clear."""

from __future__ import annotations

import math
from dataclasses import dataclass
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

    @property
    def excludes_half(self) -> bool:
        return not self.low <= 0.5 <= self.high


def rate(successes: float, n: int) -> Rate | None:
    """The share `successes / n` with Wilson's interval; None for n = 0."""
    if n == 0:
        return None
    low, high = wilson(successes, n)
    return Rate(value=successes / n, low=low, high=high, n=n)


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion, without continuity correction.

    Chosen over the textbook interval p ± z·sqrt(pq/n), whose coverage at n = 20 and
    p = 0.97 is 46 % and not 95 %. It takes the n for independent. Source: Wilson 1927; compared
    in Newcombe 1998, "Two-sided confidence intervals for the single proportion", Statistics in
    Medicine 17, method 3. Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"{successes} of {n} is no proportion")
    z = two_sided(confidence)
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def two_sided(confidence: float) -> float:
    """How many standard errors to each side hold `confidence` of a normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def normal_test(z: float) -> float:
    """Two-sided p-value of a number that has a standard normal distribution where there is no
    difference."""
    return math.erfc(abs(z) / math.sqrt(2))


def binomial_test(successes: int, n: int) -> float:
    """Exact two-sided p-value of `successes` of n when both outcomes are equally likely.

    The sign test, where the n are the differences that are not zero. Twice the smaller tail, at
    most 1; 1 for n = 0. Source: Conover 1999, "Practical Nonparametric Statistics", 3.4.
    Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no count of successes")
    tail, _ = _tail(min(successes, n - successes), n)
    return min(1.0, 2 * tail)


def mcnemar(only_first: int, only_second: int) -> tuple[float, float]:
    """Two-sided p-values, exact and mid-p, of a difference between two paired right-or-wrong
    results, from the pairs in which one alone was right.

    The exact one never errs more often than it says, and is too careful; mid-p is closer to what
    it says, and in Fagerland's study hardly ever above it. Both 1 without such pairs. Source:
    McNemar 1947; Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs
    data: mid-p and asymptotic are better than exact conditional", BMC Medical Research
    Methodology 13:91. Raises ValueError for negative counts.
    """
    if min(only_first, only_second) < 0:
        raise ValueError("counts can't be negative")
    n = only_first + only_second
    tail, point = _tail(min(only_first, only_second), n)
    if only_first == only_second:
        # Both tails hold the middle, of which mid-p takes half.
        return 1.0, 1 - point / 2 if n else 1.0
    return min(1.0, 2 * tail), 2 * tail - point


def _tail(k: int, n: int) -> tuple[float, float]:
    """P(X <= k) and P(X = k) for n fair coins."""
    ways = total = 1
    for i in range(k):
        ways = ways * (n - i) // (i + 1)
        total += ways
    # Whole numbers of thousands of bits divide exactly; floats of that size don't exist.
    return total / (1 << n), ways / (1 << n)


def holm(p_values: list[float]) -> list[float]:
    """The p-values adjusted for being several, in the order given: each may be compared with the
    wanted level itself, and the chance of any false alarm among all stays below that level.

    Step-down, without an assumption on how the tests hang together. Source: Holm 1979, "A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


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
    beta = NormalDist().inv_cdf(power)
    spread = two_sided(confidence) * 0.5 + beta * math.sqrt(true_rate * (1 - true_rate))
    return math.ceil((spread / (true_rate - 0.5)) ** 2)


def more_to_decide(wins: int, losses: int, confidence: float = CONFIDENCE) -> int | None:
    """How many more decided comparisons, at the present rate, until Wilson's interval excludes
    one half; 0 when it does, None while the rate is one half or unknown.

    Wilson's interval holds the rates p0 with |p - p0| <= z·sqrt(p0·(1 - p0) / n), so it excludes
    one half once n > (z / (2·|p - 1/2|))². The present rate is itself uncertain: if it is the
    true one, that many are enough in about half of all cases (`comparisons_needed` gives the
    number for 80 %). Who looks after each judgement and stops at the first interval that excludes
    one half is wrong far more often than the interval says; `sequential` holds under looking.
    """
    n = wins + losses
    if wins == losses:
        return None
    z = two_sided(confidence)
    enough = math.floor((z / (2 * abs(wins / n - 0.5))) ** 2) + 1
    return max(0, enough - n)
