from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from workbench.statistics.bootstrap import clustered_difference, clustered_mean
from workbench.statistics.drawing import binomial, draws

TREATED = [94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0]
CONTROL = [52.0, 104.0, 146.0, 10.0, 51.0, 30.0, 40.0, 27.0, 46.0]
"""Survival of 16 mice in days: Efron and Tibshirani 1993, table 2.1."""


def test_the_standard_error_of_the_mouse_data() -> None:
    """Efron and Tibshirani 1993, table 2.2: 23.36 for the mean of the treated, with infinitely
    many resamples; with 20,000 the estimate is itself uncertain by half a percent."""
    found = clustered_mean(TREATED, resamples=20_000)
    assert found is not None
    assert found.value == pytest.approx(86.86, abs=0.005)
    assert found.standard_error == pytest.approx(23.36, rel=0.015)
    assert (found.n, found.clusters, found.p) == (7, 7, None)


def test_the_standard_error_is_that_of_theory() -> None:
    """The ideal bootstrap's is sqrt((n - 1) / n · s² / n): Efron and Tibshirani 1993, 5.12."""
    generator = random.Random(3)
    values = [generator.gauss(0, 1) for _ in range(400)]
    mean = sum(values) / 400
    theory = math.sqrt(sum((v - mean) ** 2 for v in values)) / 400
    found = clustered_mean(values)
    assert found is not None
    assert found.standard_error == pytest.approx(theory, rel=0.06)
    assert (found.low, found.high) == pytest.approx(
        (mean - 1.96 * theory, mean + 1.96 * theory), abs=0.25 * theory
    )


def test_the_same_values_give_the_same_numbers_in_any_order() -> None:
    rows = [(1.0, "a"), (0.5, "a"), (0.0, "b"), (1.0, "c"), (1.0, "d"), (0.25, "e")]
    turned = rows[::-1]
    first = clustered_mean([v for v, _ in rows], [c for _, c in rows])
    second = clustered_mean([v for v, _ in turned], [c for _, c in turned])
    assert first == second
    assert first != clustered_mean([v for v, _ in rows], [c for _, c in rows], seed=1)


def test_copies_within_a_cluster_say_nothing_more() -> None:
    """Every value four times: as four judgements of one item that all agree."""
    once = clustered_mean(CONTROL)
    fourfold = clustered_mean(CONTROL * 4, list(range(9)) * 4)
    independent = clustered_mean(CONTROL * 4)
    assert once is not None and fourfold is not None and independent is not None
    assert (fourfold.low, fourfold.high) == pytest.approx((once.low, once.high))
    assert fourfold.standard_error == pytest.approx(once.standard_error)
    assert independent.standard_error == pytest.approx(once.standard_error / 2, rel=0.1)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """200 studies of 60 items with three judgements that share their item's rate. Three standard
    errors of 200 are 5 %; the percentile interval itself is 1 to 2 % short at 60 clusters."""
    generator = random.Random(11)
    covered = ignored = 0
    for study in range(200):
        values: list[float] = []
        clusters: list[int] = []
        for item in range(60):
            rate = generator.choice((0.1, 0.9))
            for _ in range(3):
                values.append(float(generator.random() < rate))
                clusters.append(item)
        found = clustered_mean(values, clusters, seed=study, resamples=200)
        plain = clustered_mean(values, seed=study, resamples=200)
        assert found is not None and plain is not None
        covered += found.low <= 0.5 <= found.high
        ignored += plain.low <= 0.5 <= plain.high
    assert covered / 200 > 0.88
    assert ignored / 200 < 0.85


def test_the_p_value_of_a_difference_in_pairs() -> None:
    first = [0.2, 0.4, 0.1, 0.9, 0.5, 0.3, 0.6, 0.2]
    second, items = [x + 0.1 for x in first], list(range(8))
    found = clustered_difference((first, items), (second, items), resamples=999)
    assert found is not None
    # The same difference in every pair: no resample has another.
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p == pytest.approx(2 / 1000)
    none = clustered_difference((first, items), (first, items))
    assert none is not None
    assert (none.value, none.p) == (0, 1)
    back = clustered_difference((second, items), (first, items), resamples=999)
    assert back is not None
    assert back.value == pytest.approx(-0.1)


def test_the_p_value_is_uniform_without_a_difference() -> None:
    generator = random.Random(5)
    low, items = 0, list(range(30))
    for study in range(200):
        first = [generator.gauss(0, 1) for _ in range(30)]
        second = [x + generator.gauss(0, 1) for x in first]
        found = clustered_difference((first, items), (second, items), seed=study, resamples=199)
        assert found is not None and found.p is not None
        low += found.p <= 0.1
    assert low / 200 == pytest.approx(0.1, abs=0.07)


def test_a_difference_of_what_shares_clusters_is_paired() -> None:
    items = list(range(9))
    better = [x + 5 for x in CONTROL]
    shared = clustered_difference((CONTROL, items), (better, items))
    apart = clustered_difference((CONTROL, items), (better, [-1 - i for i in items]))
    assert shared is not None and apart is not None
    assert shared.value == apart.value == pytest.approx(5)
    assert shared.standard_error == pytest.approx(0, abs=1e-9)
    assert apart.standard_error > 10


def test_nothing_has_no_mean_and_lengths_must_agree() -> None:
    assert clustered_mean([]) is None
    assert clustered_difference(([], []), ([1.0], ["a"])) is None
    with pytest.raises(ValueError, match=r"shorter|longer"):
        clustered_mean([1.0, 2.0], ["a"])


@pytest.mark.parametrize(("n", "many", "among"), [(6, 1, 3), (5, 1, 2), (7, 5, 7), (4, 4, 4)])
def test_binomial_draws_are_exact(n: int, many: int, among: int) -> None:
    """Pearson's statistic against the probabilities; 24.3 is beyond 99.9 % for 7 degrees."""
    generator = random.Random(2)
    seen = Counter(binomial(n, many, among, generator) for _ in range(20_000))
    p = many / among
    expected = [20_000 * math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert sum((seen[k] - e) ** 2 / e for k, e in enumerate(expected) if e) < 24.3
    assert all(seen[k] == 0 for k, e in enumerate(expected) if not e)


@pytest.mark.parametrize("how_many", [[300, 90, 10], [1, 2, 1]])
def test_both_ways_to_draw_have_the_same_mean_and_spread(how_many: list[int]) -> None:
    """By kinds where there are few, by units where there are many: n·p, and n·p·(1 - p)."""
    n = sum(how_many)
    found = list(draws(how_many, 4000, seed=1))
    assert all(sum(counts) == n for counts in found)
    for kind, many in enumerate(how_many):
        column = [counts[kind] for counts in found]
        mean = sum(column) / 4000
        spread = sum((x - mean) ** 2 for x in column) / 4000
        assert mean == pytest.approx(many, rel=0.05)
        assert spread == pytest.approx(many * (1 - many / n), rel=0.12)
