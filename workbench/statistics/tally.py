"""Wins, ties and losses, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.statistics import sequential
from workbench.statistics.proportions import (
    Rate,
    binomial_test,
    comparisons_needed,
    more_to_decide,
    rate,
)


@dataclass(frozen=True, slots=True)
class Tally:
    """Wins, ties and losses of one system against another."""

    wins: int
    ties: int
    losses: int

    @property
    def n(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def win_rate(self) -> Rate | None:
        """Wins with a tie as half a win; None before the first item.

        With ties the interval is wider than it need be: a tie has no spread of its own.
        """
        return rate(self.wins + self.ties / 2, self.n)

    @property
    def decided_rate(self) -> Rate | None:
        """Wins among the items that are no tie; None while there is none."""
        return rate(self.wins, self.wins + self.losses)

    @property
    def p(self) -> float:
        """The sign test: exact two-sided p-value of "no preference", ties left out."""
        return binomial_test(self.wins, self.wins + self.losses)

    @property
    def decided(self) -> bool:
        """Whether Wilson's interval of the decided rate excludes one half."""
        seen = self.decided_rate
        return seen is not None and seen.excludes_half

    @property
    def decided_whenever_looked_at(self) -> bool:
        """Whether a rule says so that may be looked at after every judgement."""
        return sequential.decided(self.wins, self.losses)

    @property
    def more_to_decide(self) -> int | None:
        """How many more judgements, ties among them as often as so far, until `decided` at the
        present rate; None when no rate can be seen. See `proportions.more_to_decide`."""
        return self._with_ties(more_to_decide(self.wins, self.losses))

    @property
    def more_whenever_looked_at(self) -> int | None:
        """The same until `decided_whenever_looked_at`."""
        return self._with_ties(sequential.more_to_decide(self.wins, self.losses))

    @property
    def still_needed(self) -> int | None:
        """How many more decided comparisons would show a preference of the size seen so far,
        with a power of 80 %.

        None when no size can be seen: nothing is decided, or it stands level.
        """
        seen = self.decided_rate
        wanted = None if seen is None else comparisons_needed(seen.value)
        return None if seen is None or wanted is None else max(0, wanted - seen.n)

    def _with_ties(self, decided: int | None) -> int | None:
        return None if decided is None else math.ceil(decided * self.n / (self.wins + self.losses))
