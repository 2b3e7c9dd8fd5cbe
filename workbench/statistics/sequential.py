"""A rule for a preference that may be looked at after every judgement.

An interval made for one look at the end excludes one half by chance in far more than 5 % of
reviews when it is looked at all the time and the review ends as soon as it does. This rule doesn't:
for any rate p let the evidence against one half be the likelihood ratio, averaged over all p,

    E = ∫ (2p)^wins · (2(1 - p))^losses dp = 2^(wins + losses) · B(wins + 1, losses + 1).

If there is no preference, the chance that E ever reaches 1 / (1 - confidence) is at most
1 - confidence, however often one looks (Ville's inequality). The price: it needs more judgements.
Source: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated
logarithm", Annals of Mathematical Statistics 41, with the uniform mixture.
"""

from __future__ import annotations

import math

from workbench.statistics.proportions import CONFIDENCE


def evidence(wins: float, losses: float) -> float:
    """The natural logarithm of E, from the judgements without ties."""
    n = wins + losses
    return n * math.log(2) + math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(n + 2)


def decided(wins: int, losses: int, confidence: float = CONFIDENCE) -> bool:
    """Whether there is a preference, with no more false alarms than `confidence` allows although
    one looks after every judgement."""
    return evidence(wins, losses) >= -math.log(1 - confidence)


def more_to_decide(wins: int, losses: int, confidence: float = CONFIDENCE) -> int | None:
    """How many more judgements without a tie, at the present rate, until `decided`; None while
    the rate is one half or unknown."""
    if wins == losses:
        return None
    if decided(wins, losses, confidence):
        return 0
    n, share = wins + losses, wins / (wins + losses)
    wanted = -math.log(1 - confidence)

    def enough(more: int) -> bool:
        total = n + more
        return evidence(share * total, total - share * total) >= wanted

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
