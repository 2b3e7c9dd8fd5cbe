from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from workbench.errors import WorkbenchError
from workbench.planning.range_test import has_diverged, rates, suggest

STEPS = 100


def course(
    loss: Callable[[float], float], noise: float = 0.0, low: float = 1e-7, high: float = 1.0
) -> tuple[list[float], list[float]]:
    """Losses over log10 of the rate, until the test would end."""
    dice = random.Random(0)
    tried: list[float] = []
    losses: list[float] = []
    for rate in rates(low, high, STEPS):
        tried.append(rate)
        losses.append(loss(math.log10(rate)) + dice.gauss(0, noise))
        if has_diverged(losses, STEPS):
            break
    return tried, losses


def valley(x: float) -> float:
    """Flat at 3 until 1e-5, down to 1 at 1e-2, then up steeply; steepest at 10 ** -3.5."""
    if x < -5:
        return 3.0
    if x < -2:
        return 2 + math.cos((x + 5) / 3 * math.pi)
    return 1 + 20 * (x + 2) ** 2


def test_rates_grow_by_one_factor_from_the_first_to_the_last() -> None:
    tried = rates(1e-4, 1.0, 41)
    assert tried[0] == 1e-4
    assert tried[-1] == 1.0
    assert tried[::10] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_a_planted_valley_gives_a_tenth_of_the_rate_at_its_bottom(noise: float) -> None:
    tried, losses = course(valley, noise)
    assert len(tried) < STEPS
    found = suggest(tried, losses, STEPS)
    assert found.problem == ""
    assert found.lowest == pytest.approx(1e-2, rel=0.6)
    assert found.rate == pytest.approx(found.lowest / 10, rel=0.05)
    assert found.steepest is not None
    assert math.log10(found.steepest) == pytest.approx(-3.5, abs=0.6)


def test_of_a_quadratic_the_rate_is_below_where_descent_diverges() -> None:
    # Gradient descent on k/2 w^2 converges below 2/k and fastest at 1/k (Nocedal and Wright 2006,
    # section 3.3); of two directions the steeper one decides.
    curvatures = (50.0, 5.0)
    weights = [1.0, 1.0]
    tried, losses = [], []
    for rate in rates(1e-7, 1.0, STEPS):
        tried.append(rate)
        losses.append(1 + sum(k / 2 * w * w for k, w in zip(curvatures, weights, strict=True)))
        weights = [w * (1 - rate * k) for k, w in zip(curvatures, weights, strict=True)]
        if has_diverged(losses, STEPS):
            break
    found = suggest(tried, losses, STEPS)
    assert len(tried) < STEPS
    assert found.rate is not None
    assert 2 / 50 / 10 < found.rate < 2 / 50


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.5])
def test_a_flat_curve_is_inconclusive(noise: float) -> None:
    found = suggest(*course(lambda x: 3.0, noise), STEPS)
    assert found.rate is None
    assert "doesn't change by more than its noise" in found.problem


def test_a_curve_that_only_rises_is_inconclusive() -> None:
    found = suggest(*course(lambda x: 2 + math.exp(x + 7), 0.05), STEPS)
    assert found.rate is None
    assert "lower rate" in found.problem


def test_a_curve_that_still_falls_at_the_end_is_inconclusive() -> None:
    found = suggest(*course(valley, 0.05, high=1e-3), STEPS)
    assert found.rate is None
    assert "--to" in found.problem


def test_losses_that_are_no_number_end_the_test_and_are_left_out() -> None:
    tried, losses = course(lambda x: valley(x) if x < -1.5 else math.nan)
    assert math.isnan(losses[-1])
    assert suggest(tried, losses, STEPS).rate == pytest.approx(1e-3, rel=0.6)
    assert "no number at once" in suggest([1e-7], [math.nan], STEPS).problem


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [(0, 1, 50), (1e-3, 1e-4, 50), (1e-3, 2, 50), (math.nan, 1, 50), (1e-7, 1, 3)],
)
def test_bounds_that_are_none_are_refused(low: float, high: float, steps: int) -> None:
    with pytest.raises(WorkbenchError):
        rates(low, high, steps)
