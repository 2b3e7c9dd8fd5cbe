"""Smoothing, columns, ticks, readings: the numbers behind a picture."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from workbench.charts.blocks import extremes
from workbench.charts.columns import reduce
from workbench.charts.cursor import reading_at, readings_at
from workbench.charts.line import Line
from workbench.charts.scale import Scale, spread
from workbench.charts.series import Series
from workbench.charts.smoothing import smoothed
from workbench.charts.symbols import cut, width_of
from workbench.charts.units import (
    BYTES,
    CELSIUS,
    EPOCH,
    NUMBER,
    STEP,
    TIME,
    TOKENS,
    duration,
    log_ticks,
    step_of,
)


def tensorboard(values: list[float], weight: float) -> list[float]:
    """`resmoothDataset` of TensorBoard's vz_line_chart2/line-chart.ts, line by line."""
    last, accumulated, smooth = 0.0, 0, []
    for value in values:
        if not math.isfinite(value):
            smooth.append(value)
            continue
        last = last * weight + (1 - weight) * value
        accumulated += 1
        smooth.append(last / (1 - weight**accumulated))
    return smooth


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.9, 0.999])
def test_points_are_smoothed_as_tensorboard_does(weight: float) -> None:
    random.seed(1)
    values = [random.gauss(2, 1) if x % 7 else math.nan for x in range(300)]
    mine = smoothed(Line.of(enumerate(values)), list(range(301)), weight)
    assert mine == pytest.approx(tensorboard(values, weight), nan_ok=True)


def test_a_column_of_several_points_counts_as_so_many() -> None:
    line = Line.of((x, 5.0 if x < 100 else 1.0) for x in range(200))
    coarse = smoothed(line, list(range(0, 201, 10)), 0.95)
    fine = smoothed(line, list(range(201)), 0.95)
    # Where a column's points are one value it is the same.
    assert coarse == pytest.approx(fine[9::10])
    # The line may hold buckets of ten points: told their distance, it comes out alike.
    buckets = Line.of((x, 5.0 if x < 100 else 1.0) for x in range(0, 200, 10))
    assert smoothed(buckets, list(range(21)), 0.95, spacing=1.0) == pytest.approx(coarse)


def test_a_smoothed_line_is_alike_whatever_the_window() -> None:
    random.seed(2)
    line = Line.of((x, math.sin(x / 2000) + random.gauss(0, 0.3)) for x in range(20_000))
    exact = tensorboard(list(line.mean), 0.99)
    for left, right in ((0, 19_999), (9_000, 11_000), (10_000, 10_100)):
        edges = reduce(line, left, right, 200).edges
        mine = smoothed(line, edges, 0.99)
        for end, value in zip(edges[1:], mine, strict=True):
            if math.isfinite(value):
                assert value == pytest.approx(exact[end - 1], abs=0.12)


def test_columns_hold_every_extreme_and_only_what_is_in_the_window() -> None:
    random.seed(3)
    line = Line.of((x, random.gauss(0, 1)) for x in range(5_000))
    for left, right, count in ((0, 4999, 100), (1000, 1500, 7), (10, 4000, 1), (5, 6, 50)):
        found = reduce(line, left, right, count)
        inside = list(line.mean)[left : right + 1]
        assert found.bounds() == (min(inside), max(inside))
        assert found.edges[0] == left and found.edges[-1] == right + 1


def test_blocks_of_a_line_are_exact_and_grow_with_it() -> None:
    random.seed(4)
    line = Line.of((x, random.choice((random.random(), math.nan))) for x in range(1000))
    for more in range(5):
        for _ in range(40):
            a, b = sorted(random.sample(range(len(line) + 1), 2))
            finite = [y for y in line.mean[a:b] if math.isfinite(y)]
            assert line.extremes(a, b) == (
                min(finite, default=math.inf),
                max(finite, default=-math.inf),
            )
            total, count = line.total(a, b)
            assert (total, count) == (pytest.approx(sum(finite)), len(finite))
        for column in (line.x, line.low, line.high, line.mean):
            column.extend([1000.0 + more] * 100)


@pytest.mark.parametrize("below", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_the_extremes_of_blocks_are_the_very_ones(below: float, gaps: float) -> None:
    random.seed(6)
    values = [random.gauss(0, 1) * 10 ** random.randrange(-300, 300) for _ in range(2000)]
    values += [0.0, 5e-324, 1.7e308, 1.0, 1.0]
    values = [math.copysign(y, -1 if random.random() < below else 1) for y in values]
    values = [math.nan if random.random() < gaps else y for y in values]
    line = Line.of(enumerate(values))
    for begin, size in ((0, 2), (0, 24), (7, 32), (2000, 8)):
        low, high = extremes(line.low, line.high, begin, size)
        places = range(begin, len(line) - size + 1, size)
        assert list(low) == [min(line.low[place : place + size]) for place in places]
        assert list(high) == [max(line.high[place : place + size]) for place in places]


def test_ticks_are_round_and_as_many_as_fit() -> None:
    assert NUMBER.ticks(0.3, 9.7, 5) == [2, 4, 6, 8]
    assert NUMBER.ticks(-1, 1, 5) == [-1, -0.5, 0, 0.5, 1]
    assert STEP.ticks(0, 2.5, 10) == [0, 1, 2]
    assert TIME.ticks(0, 4 * 3600, 5) == [0, 3600, 7200, 10800, 14400]
    assert TIME.ticks(0, 7 * 60, 4) == [0, 120, 240, 360]
    assert BYTES.ticks(0, 24 * 2**30, 5) == [0, 5 * 2**30, 10 * 2**30, 15 * 2**30, 20 * 2**30]
    random.seed(5)
    for _ in range(500):
        low = random.uniform(-1, 1) * 10 ** random.randrange(-9, 12)
        high = low + 10 ** random.uniform(-6, 12)
        most = random.randrange(1, 12)
        for unit in (NUMBER, STEP, TIME, BYTES):
            ticks = unit.ticks(low, high, most)
            slack = (high - low) * 1e-6 + abs(high) * 1e-12
            assert len(ticks) <= most
            assert all(low - slack <= tick <= high + slack for tick in ticks)


def test_ticks_of_a_log_axis() -> None:
    assert log_ticks(1e-5, 1, 6) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1])
    assert log_ticks(0.5, 30, 8) == pytest.approx([0.5, 1, 2, 5, 10, 20])
    assert len(log_ticks(1e-300, 1e300, 4)) <= 4
    assert log_ticks(0, 1, 4) == log_ticks(1, 1, 4) == []


@pytest.mark.parametrize(
    ("unit", "value", "step", "label"),
    [
        (STEP, 1200, 200, "1,200"),
        (STEP, 12_000, 2000, "12k"),
        (STEP, 12_500, 500, "12.5k"),
        (TOKENS, 3_400_000, 200_000, "3.4M"),
        (TOKENS, 2e9, 1e9, "2G"),
        (EPOCH, 1.25, 0.05, "1.25"),
        (TIME, 4800, 600, "1 h 20 min"),
        (TIME, 45, 15, "45 s"),
        (TIME, 0, 60, "0"),
        (TIME, 0.5, 0.1, "0.5 s"),
        (BYTES, 1.5 * 2**30, 2**29, "1.5 GiB"),
        (BYTES, 96 * 2**20, 2**20, "96 MiB"),
        (NUMBER, 2e-5, 1e-5, "2e-5"),
        (NUMBER, 2e-4, 1e-4, "0.0002"),
        (NUMBER, 0, 1e-5, "0"),
        (CELSIUS, 60, 20, "60 °C"),
    ],
)
def test_a_tick_is_written_short(unit: object, value: float, step: float, label: str) -> None:
    assert unit.tick(value, step) == label  # type: ignore[attr-defined]


def test_neighbouring_ticks_are_told_apart() -> None:
    random.seed(6)
    for _ in range(400):
        low = random.uniform(-1, 1) * 10 ** random.randrange(-6, 8)
        high = low + abs(low) * 10 ** random.uniform(-5, 5)
        for unit in (NUMBER, STEP, BYTES) if abs(low) > 1000 else (NUMBER, STEP):
            ticks = unit.ticks(low, high, 8)
            labels = [unit.tick(tick, step_of(ticks)) for tick in ticks]
            assert len(set(labels)) == len(labels), (low, high, labels)


def test_readings_have_four_digits_counts_all() -> None:
    assert [NUMBER.read(y) for y in (1.84237, 12_345.6, 0.00002, 0, -3.5, math.nan)] == [
        "1.842",
        "12.35k",
        "2e-5",
        "0",
        "-3.5",
        "N/A",
    ]
    assert STEP.read(1_234_567) == "1,234,567"
    assert TIME.read(93_784) == "1 d 2 h" and duration(59.6) == "1 min"
    assert BYTES.read(3.25 * 2**30) == "3.25 GiB"


def test_the_nearest_point_is_read() -> None:
    series = Series("a", Line.of([(0, 1.0), (10, math.nan), (20, 3.0)]))
    found = [reading_at(series, x) for x in (-5, 4, 5, 6, 99)]
    assert [reading.x for reading in found if reading] == [0, 0, 0, 10, 20]
    assert found[3] is not None and found[3].text(NUMBER) == "N/A"
    assert readings_at([series, Series("none", Line.of([]))], 19).keys() == {"a"}
    columns = (array("d", [value]) for value in (0.0, 1.0, 4.0, 2.0))
    reading = reading_at(Series("b", Line(*columns)), 0)
    assert reading is not None and reading.text(NUMBER) == "2 (1 to 4)"


def test_bounds_hold_the_values_and_stay_when_these_move_a_little() -> None:
    assert spread(1.02, 9.93) == spread(1.01, 9.99)
    random.seed(7)
    for _ in range(500):
        low = random.uniform(-1, 1) * 10 ** random.randrange(-300, 300)
        high = low + abs(low) * 10 ** random.uniform(-14, 3)
        bottom, top = spread(low, high)
        assert bottom <= low and high <= top and bottom < top
        if low > 0:
            bottom, top = spread(low, high, log=True)
            assert 0 < bottom <= low * (1 + 1e-9) and high <= top * (1 + 1e-9) and bottom < top


def test_places_of_a_scale() -> None:
    scale = Scale(0, 100, 1, 10_000, 51, 5, log=True)
    assert [scale.row(y) for y in (10_000, 1000, 100, 10, 1)] == [0, 1, 2, 3, 4]
    assert scale.row(0) == 5 and scale.row(1e9) == -1
    assert [scale.column(x) for x in (0, 50, 100)] == [0, 25, 50]
    assert scale.y_at(2) == pytest.approx(100)


def test_widths_are_those_of_a_terminal() -> None:
    assert [width_of(text) for text in ("abc", "運動", "e\u0301", "")] == [3, 4, 1, 0]
    assert cut("運動運動", 5, "…") == "運動…" and cut("abc", 3, "…") == "abc"
