from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from workbench.review.assignment import left_systems, order

KEYS = [f"row-{i}" for i in range(200)]
SYSTEMS = ("base", "adapter")


def test_the_order_is_the_annotators_own_and_repeats() -> None:
    mine = order("1", "ann", KEYS)
    assert sorted(mine) == sorted(KEYS)
    assert mine == order("1", "ann", KEYS)
    assert mine == order("1", "ann", KEYS[::-1])
    assert mine != order("1", "bob", KEYS)
    assert mine != order("2", "ann", KEYS)
    assert mine != KEYS


@pytest.mark.parametrize("count", [1, 2, 7, 24, 199, 200])
def test_each_system_is_on_the_left_for_half_of_the_items(count: int) -> None:
    sides = Counter(left_systems("1", "ann", KEYS[:count], SYSTEMS).values())
    assert abs(sides["base"] - sides["adapter"]) <= 1


def test_sides_differ_between_annotators_and_seeds() -> None:
    def differing(a: dict[str, str], b: dict[str, str]) -> int:
        return sum(a[key] != b[key] for key in KEYS)

    ann = left_systems("1", "ann", KEYS, SYSTEMS)
    assert ann == left_systems("1", "ann", KEYS[::-1], SYSTEMS)
    # Independent halves differ in 100 of 200, give or take five standard deviations of 7.
    assert 65 <= differing(ann, left_systems("1", "bob", KEYS, SYSTEMS)) <= 135
    assert 65 <= differing(ann, left_systems("2", "ann", KEYS, SYSTEMS)) <= 135


def test_the_side_can_not_be_told_from_the_order() -> None:
    sides = left_systems("1", "ann", KEYS, SYSTEMS)
    shown = [sides[key] for key in order("1", "ann", KEYS)]
    first_half = Counter(shown[:100])
    assert 30 <= first_half["base"] <= 70
    changes = sum(a != b for a, b in pairwise(shown))
    assert 65 <= changes <= 135
