from __future__ import annotations

import random
from statistics import NormalDist

import pytest

from workbench.statistics.proportions import (
    binomial_test,
    comparisons_needed,
    holm,
    mcnemar,
    more_to_decide,
    rate,
    wilson,
)
from workbench.statistics.tally import Tally


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


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_inverts_the_score_test(confidence: float) -> None:
    """Its ends are the rates p0 with |p - p0| = z·sqrt(p0·(1 - p0) / n): Wilson 1927."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for successes, n in ((3, 10), (0, 7), (77, 80), (12.5, 40)):
        for end in wilson(successes, n, confidence):
            distance = abs(successes / n - end)
            assert distance == pytest.approx(z * (end * (1 - end) / n) ** 0.5, abs=1e-7)


def test_wilson_mirrors_and_narrows() -> None:
    for successes, n in ((0, 5), (3, 10), (50, 80)):
        low, high = wilson(successes, n)
        assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))
        narrow, wide = wilson(4 * successes, 4 * n), (low, high)
        assert narrow[1] - narrow[0] < wide[1] - wide[0]


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_what_is_no_proportion_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, n)


@pytest.mark.parametrize(
    ("only_first", "only_second", "exact", "mid"),
    [(1, 7, 0.070, 0.039), (6, 16, 0.052, 0.035)],
)
def test_mcnemar(only_first: int, only_second: int, exact: float, mid: float) -> None:
    """Airway hyper-responsiveness before and after stem cell transplantation, and complete
    response under two treatments: Fagerland, Lydersen and Laake 2013, BMC Medical Research
    Methodology 13:91, exact conditional and mid-p McNemar tests."""
    for pair in ((only_first, only_second), (only_second, only_first)):
        assert mcnemar(*pair) == pytest.approx((exact, mid), abs=5e-4)


def test_mcnemar_of_a_draw() -> None:
    """n = 6, 3 each: both tails together are 1 + P(X = 3) = 1 + 20/64, mid-p takes half of it off
    each: 1 - 20/128."""
    assert mcnemar(3, 3) == pytest.approx((1, 1 - 20 / 128))
    assert mcnemar(0, 0) == (1, 1)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


@pytest.mark.parametrize(
    ("successes", "n", "p"), [(1, 8, 18 / 256), (8, 8, 2 / 256), (5, 10, 1), (0, 0, 1)]
)
def test_the_sign_test_counts_coins(successes: int, n: int, p: float) -> None:
    """By hand: at most 1 of 8 heads has 1 + 8 = 9 of 256 ways, both tails 18."""
    assert binomial_test(successes, n) == pytest.approx(p)
    with pytest.raises(ValueError, match="no count"):
        binomial_test(n + 1, n)


def test_the_sign_test_agrees_with_scipy_and_bears_thousands() -> None:
    from scipy.stats import binomtest

    for successes, n in ((108, 270), (419, 767), (2600, 5000)):
        assert binomial_test(successes, n) == pytest.approx(binomtest(successes, n).pvalue)


def test_holm() -> None:
    """The 15 p-values of Neuhaus et al. 1992 in Benjamini and Hochberg 1995, J. R. Statist. Soc. B
    57, section 4.1, of which procedures for the familywise error reject three at 5 %."""
    given = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    given += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted = holm(given)
    assert adjusted[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114])
    assert sum(p <= 0.05 for p in adjusted) == 3
    assert adjusted == sorted(adjusted)
    assert adjusted[-1] == 1
    assert holm(given[::-1]) == adjusted[::-1]
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


def test_more_to_decide_is_the_first_number_whose_interval_excludes_one_half() -> None:
    """For 6 of 10: (1.96 / 0.2)² = 96.04, so 97 in all."""
    assert more_to_decide(6, 4) == 97 - 10
    assert more_to_decide(4, 6) == 97 - 10
    low, _ = wilson(0.6 * 97, 97)
    assert low > 0.5
    low, _ = wilson(0.6 * 96, 96)
    assert low < 0.5
    assert more_to_decide(60, 37) == 0
    assert more_to_decide(5, 5) is None
    assert more_to_decide(0, 0) is None


def test_more_to_decide_is_enough_in_half_of_all_cases_and_the_planned_number_in_80_percent() -> (
    None
):
    """2,000 reviews with a true rate of 60 %: 97 judgements, and the 194 for a power of 80 %.
    The standard error of a share of 2,000 is 1 % at most; whole numbers of wins make steps of
    some 6 % in what may be reached."""
    generator = random.Random(1)

    def found(n: int) -> float:
        wins = [sum(generator.random() < 0.6 for _ in range(n)) for _ in range(2000)]
        return sum(wilson(w, n)[0] > 0.5 for w in wins) / len(wins)

    assert found(97) == pytest.approx(0.5, abs=0.08)
    assert found(194) == pytest.approx(0.8, abs=0.05)


def test_a_tally_counts_ties_among_those_still_needed() -> None:
    """6 of 10 decided need 87 more; with as many ties as decided ones, twice that."""
    assert Tally(wins=6, ties=0, losses=4).more_to_decide == 87
    assert Tally(wins=6, ties=10, losses=4).more_to_decide == 174
    assert Tally(wins=0, ties=10, losses=0).more_to_decide is None
    assert Tally(wins=70, ties=3, losses=30).decided
    assert not Tally(wins=0, ties=3, losses=0).decided
