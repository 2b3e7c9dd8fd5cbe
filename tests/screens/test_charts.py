from __future__ import annotations

import math

from screens.widgets.curve import Curve
from screens.widgets.gauge import bar, size


def test_a_curve_keeps_every_peak_in_bounded_room() -> None:
    curve = Curve(limit=64)
    for x in range(100_000):
        curve.add(x, 9.0 if x == 54_321 else -9.0 if x == 12_345 else math.sin(x / 9_000))
    points = curve.points()
    assert len(points) <= 3 * 64
    values = [y for _, y in points]
    assert (max(values), min(values)) == (9.0, -9.0)
    places = [x for x, _ in points]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 99_999)


def test_a_short_curve_is_its_points() -> None:
    curve = Curve()
    for x in range(10):
        curve.add(x, x * x)
    assert curve.points() == [(x, x * x) for x in range(10)]


def test_a_resumed_run_draws_over_what_came_after_its_checkpoint() -> None:
    curve = Curve()
    for x in range(1, 8):
        curve.add(x, 1.0)
    curve.cut_after(4)
    for x in range(5, 8):
        curve.add(x, 2.0)
    assert curve.points() == [(x, 1.0 if x <= 4 else 2.0) for x in range(1, 8)]


def test_a_number_that_is_none_hides_no_neighbour() -> None:
    curve = Curve(limit=2)
    for x, y in enumerate((1.0, math.nan, math.nan, 5.0)):
        curve.add(x, y)
    assert {y for _, y in curve.points() if math.isfinite(y)} >= {1.0, 5.0}


def test_bars_and_sizes() -> None:
    assert bar(0.5, 10) == "█████░░░░░"
    assert bar(2.0, 4) == "████" and bar(-1.0, 4) == "░░░░"
    assert bar(0.5, 10, ascii=True) == "#####....."
    assert [size(n) for n in (None, 12, 3 << 20, 5 << 30)] == ["N/A", "12 B", "3.0 MiB", "5.0 GiB"]
