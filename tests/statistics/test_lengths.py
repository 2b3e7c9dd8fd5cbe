from __future__ import annotations

import math
import random

import pytest

from workbench.statistics.lengths import length_controlled


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_two_lengths_have_an_answer_by_hand() -> None:
    """Half of the answers are longer by 100 characters and win 80 %, half are shorter by 100 and
    win 40 %: the logits are a + b·t and a - b·t, so a is their mean."""
    points = [1.0] * 80 + [0.0] * 20 + [1.0] * 40 + [0.0] * 60
    found = length_controlled(points, [100.0] * 100 + [-100.0] * 100)
    assert found is not None
    a = (logit(0.8) + logit(0.4)) / 2
    assert found.value == pytest.approx(1 / (1 + math.exp(-a)), abs=2e-4)
    assert found.slope == pytest.approx((logit(0.8) - logit(0.4)) / 2 / math.tanh(1), abs=2e-3)
    assert found.slope_low > 0


def test_it_is_the_maximum_of_the_likelihood_that_scipy_finds() -> None:
    from scipy.optimize import minimize

    generator = random.Random(6)
    longer = [generator.gauss(50, 200) for _ in range(300)]
    points = [generator.choice((0.0, 0.5, 1.0, 1.0)) for _ in longer]
    mean = sum(longer) / 300
    spread = math.sqrt(sum((x - mean) ** 2 for x in longer) / 300)

    def loss(weights: list[float]) -> float:
        total = 0.0
        for y, x in zip(points, longer, strict=True):
            z = weights[0] + weights[1] * math.tanh(x / spread)
            total += math.log1p(math.exp(-abs(z))) + max(z, 0) - y * z
        return total

    best = minimize(loss, [0.0, 0.0]).x
    found = length_controlled(points, longer)
    assert found is not None
    assert found.value == pytest.approx(1 / (1 + math.exp(-best[0])), abs=1e-3)
    assert found.slope == pytest.approx(best[1], abs=2e-3)


def test_a_preference_for_length_alone_leaves_nothing() -> None:
    """The candidate is longer in 70 % of the items, and the longer answer wins in 80 %."""
    generator = random.Random(8)
    points, longer = [], []
    for _ in range(2000):
        by = 100.0 if generator.random() < 0.7 else -100.0
        longer.append(by)
        points.append(float((generator.random() < 0.8) == (by > 0)))
    found = length_controlled(points, longer)
    assert found is not None
    assert sum(points) / 2000 > 0.6
    assert found.low < 0.5 < found.high


def test_exchanging_the_systems_exchanges_the_rate() -> None:
    points = [1.0, 0.5, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0]
    longer = [10.0, -20.0, 35.0, 4.0, -6.0, 80.0, -50.0, 12.0]
    found = length_controlled(points, longer)
    other = length_controlled([1 - p for p in points], [-x for x in longer])
    assert found is not None and other is not None
    assert (other.value, other.low, other.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low)
    )
    assert other.slope == pytest.approx(found.slope)


def test_copies_of_an_item_say_nothing_more() -> None:
    points = [1.0, 0.5, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0] * 4
    longer = [10.0, -20.0, 35.0, 4.0, -6.0, 80.0, -50.0, 12.0] * 4
    items = list(range(32))
    once = length_controlled(points, longer, items)
    thrice = length_controlled(points * 3, longer * 3, items * 3)
    assert once is not None and thrice is not None
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=2e-3)
    assert (thrice.n, thrice.clusters) == (96, 32)


def test_all_wins_are_finite_and_equal_lengths_say_nothing() -> None:
    found = length_controlled([1.0] * 20, [float(x) for x in range(20)])
    assert found is not None
    assert 0.5 < found.value < 1
    assert length_controlled([1.0, 0.0], [5.0, 5.0]) is None
    assert length_controlled([], []) is None
