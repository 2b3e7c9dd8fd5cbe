from __future__ import annotations

import math
import random

import pytest

from workbench.history.track import Track


def _filled(values: list[float], limit: int = 64) -> Track:
    track = Track(("loss",), ("step", "tokens"), limit)
    for step, value in enumerate(values, 1):
        track.add((step, step * 10), (value,))
    return track


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000, 12_345])
def test_no_peak_is_lost_and_buckets_stay_few(count: int) -> None:
    chance = random.Random(count)
    values = [chance.gauss(2, 0.1) for _ in range(count)]
    values[count // 3] = 99.0
    values[count // 2] = -99.0 if count > 2 else values[count // 2]
    track = _filled(values)
    line = track.line("loss", "step")
    assert len(track) == len(line) <= 64
    assert min(line.low) == min(values) and max(line.high) == max(values)
    assert list(line.x) == sorted(line.x) and line.x[0] == 1
    assert track.span("step") == (1, count) and track.span("tokens") == (10, 10 * count)
    # Each bucket holds what lies between its own beginning and that of the next.
    for place, x in enumerate(line.x):
        end = line.x[place + 1] if place + 1 < len(line) else count + 1
        own = values[int(x) - 1 : int(end) - 1]
        assert (line.low[place], line.high[place]) == (min(own), max(own))
        assert line.mean[place] == pytest.approx(sum(own) / len(own))


def test_a_stretch_that_is_no_number_is_a_gap() -> None:
    values = [2.0] * 1000
    values[400:600] = [math.nan] * 200
    values[10] = math.inf
    line = _filled(values).line("loss", "step")
    gaps = [x for x, low in zip(line.x, line.low, strict=True) if low == math.inf]
    assert gaps and all(400 < x <= 600 for x in gaps)
    assert max(high for high in line.high if high != -math.inf) == 2.0
    for place, low in enumerate(line.low):
        assert math.isnan(line.mean[place]) == (low == math.inf)
        assert (line.high[place] == -math.inf) == (low == math.inf)


def test_what_comes_after_a_cut_is_drawn_anew() -> None:
    track = _filled([2.0] * 30)
    track.add((31, 310), (77.0,))
    track.cut_after(20)
    assert track.span("step") == (1, 20) and max(track.line("loss", "step").high) == 2.0
    track.add((21, 205), (3.0,))
    assert track.span("tokens") == (10, 205)
    assert track.last("loss") == 3.0


def test_a_cut_where_buckets_are_kept_apart_is_exact_however_many_points_share_one() -> None:
    track = Track(("loss",), ("step",), 64)
    for step in range(1, 5000):
        track.add((step,), (2.0 if step <= 4500 else 50.0,))
        if step % 500 == 0:
            track.keep_apart()
    assert track.each > 1
    track.cut_after(4500)
    assert track.span("step") == (1, 4500) and max(track.line("loss", "step").high) == 2.0


def test_many_places_kept_apart_leave_room() -> None:
    """As of a run that saves every ten steps."""
    track = Track(("loss",), ("step",), 64)
    for step in range(1, 20_001):
        track.add((step,), (float(step),))
        if step % 10 == 0:
            track.keep_apart()
    line = track.line("loss", "step")
    assert 24 < len(line) <= 64
    widths = [b - a for a, b in zip(line.x, line.x[1:], strict=False)]
    assert max(widths) < 20_000 / 8  # the oldest stretch is no coarser than the rest


def test_only_the_buckets_of_a_stretch_are_given_and_one_beyond() -> None:
    line = _filled([float(n) for n in range(1, 51)]).line("loss", "step", 10, 20)
    assert list(line.x) == [float(n) for n in range(9, 22)]
    assert len(_filled([]).line("loss", "step", 1, 2)) == 0


def test_places_are_told_on_another_axis() -> None:
    track = Track(("loss",), ("step", "time"), 64)
    for step in range(1, 6401):
        track.add((step, 1000 + step * 2), (1.0,))
    assert track.at("step", 3200, "time") == pytest.approx(7400, abs=1)
    assert track.at("time", 7400, "step") == pytest.approx(3200, abs=1)
    assert track.at("step", -5, "time") == 1002 and track.at("step", 1e9, "time") == 13_800
    places = [float(n) for n in range(-10, 6500, 37)]
    assert list(track.convert("step", places, "time")) == [
        track.at("step", place, "time") for place in places
    ]
    assert math.isnan(_filled([]).at("step", 3, "tokens"))


def test_a_figure_that_comes_late_is_a_gap_before() -> None:
    track = _filled([1.0, 2.0])
    track.widen("other")
    track.add((3, 30), (3.0, 9.0))
    line = track.line("other", "step")
    assert list(line.high) == [-math.inf, -math.inf, 9.0]
    assert track.extremes("other") == (9.0, 9.0) and track.extremes("loss") == (1.0, 3.0)
