from __future__ import annotations

import pytest
from workbench.review.statistics import (
    Tally,
    agreement,
    comparisons_needed,
    rate,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(
    successes: int, n: int, low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3 (score)."""
    assert list(wilson(successes, n)) == pytest.approx([low, high], abs=5e-5)


def test_wilson_stays_within_zero_and_one() -> None:
    low, high = wilson(20, 20)
    assert 0.83 < low < 0.84
    assert high == 1


@pytest.mark.parametrize(
    ("true_rate", "needed"),
    [(0.55, 783), (0.575, 347), (0.6, 194), (0.65, 85), (0.7, 47), (0.75, 29), (0.8, 20)],
)
def test_comparisons_needed(true_rate: float, needed: int) -> None:
    """n = ((1.96·0.5 + 0.8416·sqrt(pq)) / (p - 0.5))², by hand for each p.

    For p = 0.6: (0.97998 + 0.41232) / 0.1 = 13.923, squared 193.85, so 194.
    """
    assert comparisons_needed(true_rate) == needed
    assert comparisons_needed(1 - true_rate) == needed


def test_no_number_of_comparisons_tells_a_half_from_a_half() -> None:
    assert comparisons_needed(0.5) is None


def test_a_tally_counts_a_tie_as_half_a_win() -> None:
    """chatgpt against tulu-65B in the Tülu 1 human evaluation (allenai/open-instruct,
    human_eval/data): 162 wins, 133 ties, 108 losses give a win rate of .567, and
    Wilson's interval .518 to .615."""
    seen = Tally(wins=162, ties=133, losses=108).win_rate
    assert seen is not None
    assert [seen.value, seen.low, seen.high] == pytest.approx([0.567, 0.518, 0.615], abs=5e-4)
    assert seen.n == 403


def test_ties_are_left_out_of_the_decided_rate() -> None:
    decided = Tally(wins=6, ties=10, losses=2).decided_rate
    assert decided is not None
    assert (decided.value, decided.n) == (0.75, 8)


def test_still_needed_counts_down_and_stops_at_zero() -> None:
    assert Tally(wins=6, ties=9, losses=4).still_needed == 194 - 10
    assert Tally(wins=80, ties=0, losses=20).still_needed == 0
    assert Tally(wins=3, ties=0, losses=3).still_needed is None
    assert Tally(wins=0, ties=4, losses=0).still_needed is None


def test_nothing_judged_has_no_rate() -> None:
    assert Tally(0, 0, 0).win_rate is None
    assert rate(0, 0) is None


def test_agreement_counts_every_pair_of_annotators() -> None:
    seen = agreement([["a", "a", "b"], ["tie", "tie"], ["a"], []])
    assert (seen.pairs, seen.agreeing, seen.share) == (4, 2, 0.5)
    assert agreement([["a"]]).share is None
