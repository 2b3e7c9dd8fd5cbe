from __future__ import annotations

import math
import random

import pytest

from workbench.statistics import sequential
from workbench.statistics.proportions import wilson
from workbench.statistics.tally import Tally


def test_the_evidence_of_wins_alone() -> None:
    """∫ (2p)^n dp = 2^n / (n + 1): 8 wins in a row give 256 / 9 = 28.4, the first above 20."""
    assert math.exp(sequential.evidence(5, 0)) == pytest.approx(32 / 6)
    assert [sequential.decided(n, 0) for n in (7, 8)] == [False, True]
    assert sequential.evidence(3, 9) == pytest.approx(sequential.evidence(9, 3))


@pytest.fixture(scope="module")
def false_alarms() -> dict[str, float]:
    """The share of 1,000 reviews without any preference in which somebody who looks after each of
    300 judgements sees one at least once, by rule."""
    generator = random.Random(7)
    seen = {"wilson": 0, "sequential": 0}
    for _ in range(1000):
        wins = 0
        alarmed: set[str] = set()
        for n in range(1, 301):
            wins += generator.getrandbits(1)
            low, high = wilson(wins, n)
            if n >= 10 and not low <= 0.5 <= high:
                alarmed.add("wilson")
            if sequential.decided(wins, n - wins):
                alarmed.add("sequential")
        for rule in alarmed:
            seen[rule] += 1
    return {rule: count / 1000 for rule, count in seen.items()}


def test_looking_all_the_time_makes_the_plain_interval_wrong_often(
    false_alarms: dict[str, float],
) -> None:
    assert false_alarms["wilson"] > 0.25


def test_the_sequential_rule_keeps_its_promise_under_looking(
    false_alarms: dict[str, float],
) -> None:
    """At most 5 % by Ville's inequality; three standard errors of 1,000 are 2 %."""
    assert false_alarms["sequential"] < 0.05 + 0.02


def test_more_to_decide_is_the_first_number_that_decides() -> None:
    for wins, losses in ((6, 4), (12, 9), (1, 0), (3, 17)):
        more = sequential.more_to_decide(wins, losses)
        assert more is not None
        n, share = wins + losses, wins / (wins + losses)
        enough = [
            sequential.evidence(share * (n + m), (1 - share) * (n + m)) >= math.log(20)
            for m in (more - 1, more)
            if m >= 0
        ]
        assert enough in ([False, True], [True])
    assert sequential.more_to_decide(4, 4) is None
    assert sequential.more_to_decide(0, 0) is None


def test_it_needs_more_than_one_look_at_the_end() -> None:
    tally = Tally(wins=60, ties=0, losses=40)
    assert tally.decided
    assert not tally.decided_whenever_looked_at
    assert (tally.more_to_decide, tally.more_whenever_looked_at) == (0, 79 + 100)
