"""Steps whose loss stands far out of those before them."""

from __future__ import annotations

import statistics
from collections import deque

_WINDOW = 50
"""Steps that one is held against."""
_FEWEST = 10
_WIDTHS = 6.0
"""How many standard deviations, by the median deviation, which a few outliers don't move."""
_TO_DEVIATION = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""
_LEAST = 1.2
"""Times the median, for losses that hardly differ."""


class Spikes:
    """Holds each loss against the 50 before it."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_WINDOW)

    def add(self, loss: float) -> float | None:
        """The usual loss, in nats, when this one is a spike. A spike counts as no usual one."""
        if len(self._recent) >= _FEWEST:
            usual = statistics.median(self._recent)
            spread = statistics.median(abs(other - usual) for other in self._recent)
            if loss > max(usual + _WIDTHS * _TO_DEVIATION * spread, _LEAST * usual):
                return usual
        self._recent.append(loss)
        return None
