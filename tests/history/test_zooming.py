"""From the log to the columns of a chart, at every zoom: each shows what its steps had."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest

from tests.history.logs import BEGUN, lines, make, started, step
from workbench.charts.columns import reduce
from workbench.history import panels, reading, window
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.history.panels import Axis

COUNT = 45_000
COLUMNS = 302
"""Of dots, of a chart 160 cells wide."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logs, History, list[float], list[int]]:
    """A long run with spikes of one step and gaps, of steps with few tokens and with many; and
    each step's loss and tokens."""
    rng = random.Random(7)
    losses = [2 + rng.gauss(0, 0.1) for _ in range(COUNT)]
    for place in rng.sample(range(COUNT), 400):
        losses[place] = rng.choice((math.nan, 9 + rng.random(), rng.random() / 10))
    tokens = [rng.choice((10, 1000, 5000)) for _ in range(COUNT)]
    both = enumerate(zip(losses, tokens, strict=True), 1)
    # A step of `logs` without a loss has one of its own.
    events = [replace(step(number, tokens=some), loss=loss) for number, (loss, some) in both]
    logs = make(tmp_path_factory.mktemp("run"), lines([started(), *events]))
    return logs, reading.read(logs), losses, tokens


@pytest.mark.parametrize("axis", ["step", "tokens", "time"])
def test_each_column_has_the_very_extremes_of_its_steps(
    run: tuple[Logs, History, list[float], list[int]],
    axis: Axis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs, history, losses, tokens = run
    # So that a part is read at a few zooms, and buckets do at others.
    monkeypatch.setattr(window, "_MOST", 1 << 20)
    monkeypatch.setattr(window, "_MOST_FOR_FEW", 3 << 20)
    x = {
        "step": [float(number) for number in range(1, COUNT + 1)],
        "tokens": [float(count) for count in accumulate(tokens)],
        "time": [BEGUN + 1.0 + place - BEGUN for place in range(COUNT)],
    }[axis]
    rng, exact, shared = random.Random(8), 0, 0
    left, right = x[0], x[-1]
    while right - left > 4 * (x[-1] - x[0]) / COUNT:
        wanted = window.window(history, *panels.steps_of(history, axis, (left, right)))
        part = wanted and window.read(wanted, logs.training, logs.machine)
        chart = panels.chart(history, panels.panel("loss"), axis, window=(left, right), part=part)
        line = chart.series[0].line
        found = reduce(line, left, right, COLUMNS)
        each = (right - left) / (COLUMNS - 1)
        alone = part is not None and part.training.exact
        exact, shared = exact + alone, shared + (not alone)
        for column, (a, b) in enumerate(pairwise(found.edges)):
            low, high = left + (column - 0.5) * each, left + (column + 0.5) * each
            if not alone:
                # Steps that share a bucket are where it begins, less than a column away.
                low, high = (line.x[p] if p < len(line) else math.inf for p in (a, b))
                assert a == b or line.x[b - 1] + each >= min(high, right)
            first, stop = bisect_left(x, max(low, left)), bisect_left(x, high)
            stop = min(stop, bisect_right(x, right)) if alone else stop
            values = [loss for loss in losses[first:stop] if loss == loss]
            if a < b:
                assert found.low[column] == min(values, default=math.inf)
                assert found.high[column] == max(values, default=-math.inf)
            else:
                assert not values or not alone
        share = rng.random()
        left, right = (
            left + (right - left) * 0.45 * share,
            right - (right - left) * 0.45 * (1 - share),
        )
    assert exact > 3 and shared > 1
