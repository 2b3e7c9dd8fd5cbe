"""What it says of a row that its response fits others' prompts as well as its own.

`training.misfit` measures that: of the other rows' prompts, the share that have as much of the
response as its own. For a response that came to a prompt by chance each share is as likely as any
other. Of the run's rows, which are right but for a few, it depends on what is asked: answers from a
text have small ones, labels all the same. So the likelihood of a row's share is held against that
among all of them; and where most rows don't take their responses from their prompts, it isn't
looked at, since then a few shared tokens are chance.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

_WIDTH = 0.5
"""Standard deviations of a normal variable over which densities are evened out."""
_STEP = 0.25
_FITS = 0.05
"""Share up to which a response is taken from its prompt."""
_PRIOR = 2.0
"""Rows as by chance that are added to those that there are."""
_CHANCE = NormalDist()
_EVENED = NormalDist(0, math.hypot(1, _WIDTH))
_KERNEL = NormalDist(0, _WIDTH)


def evidence(shares: Sequence[float]) -> array[float]:
    """Of each row, in nats, how many times likelier its share is by chance than among these rows:
    above zero where it looks swapped. 0 of one whose share is NaN, and of all where no more than
    half of them are taken from their prompts."""
    known = [share for share in shares if not math.isnan(share)]
    if 2 * sum(share <= _FITS for share in known) <= len(known):
        return array("f", bytes(4 * len(shares)))
    places = [None if math.isnan(share) else _place(share) for share in shares]
    counts = Counter(place for place in places if place is not None)
    total = counts.total() + _PRIOR
    told = {}
    for place in counts:
        by_chance = _EVENED.pdf(place * _STEP)
        among = sum(count * _KERNEL.pdf((place - other) * _STEP) for other, count in counts.items())
        told[place] = math.log(by_chance * total / (among + _PRIOR * by_chance))
    return array("f", [0.0 if place is None else told[place] for place in places])


def _place(share: float) -> int:
    """Where a share is among the quantiles of a normal variable, in steps."""
    return round(_CHANCE.inv_cdf(min(0.999, max(0.001, share))) / _STEP)
