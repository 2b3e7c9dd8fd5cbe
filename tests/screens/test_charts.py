from __future__ import annotations

import math

from screens.widgets.curve import Curve
from screens.widgets.gauge import bar, size
from screens.widgets.line_chart import draw
from workbench.chart import Series


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


def test_a_chart_is_as_large_as_asked_and_rises_and_falls() -> None:
    rising = [(x, float(x)) for x in range(100)]
    lines = draw("loss", [Series("train", rising, "cyan")], 40, 10, x="step").plain.split("\n")
    assert lines[0] == "loss  ━ train 99"
    assert len(lines) == 12
    body = [line[9:] for line in lines[1:-1]]
    assert all(len(line) <= 40 for line in body)
    assert body[0].rstrip().endswith(("⠉", "⠁", "⡠", "⠊", "⠔", "⢀", "⡀", "⣀", "⠒", "⠤", "⠈", "⢠"))
    assert body[-1].lstrip() != "" and body[-1][0] != " "
    assert lines[-1].split() == ["step", "0", "99"]


def test_a_chart_of_nothing_of_one_value_and_of_no_number() -> None:
    assert "nothing to draw yet" in draw("loss", [Series("a", [], "red")], 40, 5).plain
    nothing = Series("a", [(0, math.nan), (1, math.inf)], "red")
    assert "nothing to draw yet" in draw("loss", [nothing], 40, 5).plain
    assert "a 3" in draw("loss", [Series("a", [(5, 3.0)], "red")], 40, 5).plain


def test_numbers_that_are_none_are_gaps_and_do_not_stretch_the_axis() -> None:
    points = [(0, 1.0), (1, math.inf), (2, math.nan), (3, 2.0)]
    text = draw("", [Series("a", points, "red")], 40, 5).plain
    assert "inf" not in text and "nan" not in text


def test_a_chart_in_ascii_is_ascii() -> None:
    marks = Series("validation", [(0, 2.0), (9, 1.0)], "yellow", marks=True)
    line = Series("train", [(x, 3.0 - x / 9) for x in range(10)], "cyan")
    assert draw("loss", [line, marks], 40, 8, ascii=True).plain.isascii()


def test_few_marks_are_marks_and_many_are_a_line() -> None:
    def marks(count: int) -> int:
        points = [(x, float(x % 7)) for x in range(count)]
        return draw("", [Series("a", points, "red", marks=True)], 40, 8).plain.count("●")

    assert marks(4) == 1 + 4
    assert marks(40) == 1


def test_bars_and_sizes() -> None:
    assert bar(0.5, 10) == "█████░░░░░"
    assert bar(2.0, 4) == "████" and bar(-1.0, 4) == "░░░░"
    assert bar(0.5, 10, ascii=True) == "#####....."
    assert [size(n) for n in (None, 12, 3 << 20, 5 << 30)] == ["N/A", "12 B", "3.0 MiB", "5.0 GiB"]
