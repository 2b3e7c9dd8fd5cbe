"""Forecast and measurement side by side."""

from __future__ import annotations

import pytest

from workbench.jobs.events import (
    Event,
    Finished,
    Foretold,
    Record,
    Rehearsed,
    Started,
    Step,
    WentOn,
)
from workbench.tracking import comparison
from workbench.tracking.view import RunView

TOLD = Foretold([1.0, 4.0], [20.0, 80.0], [100.0, 200.0], "as before-0001 did")


def started(resumed_from: int = 0) -> Started:
    return Started(20, 2.0, 80, 8, 4000, 10, 100, "CPU, 2 threads", "float32", resumed_from)


def view(*events: tuple[float, Event]) -> RunView:
    made = RunView()
    made.feed(Record(number, at, event) for number, (at, event) in enumerate(events))
    return made


def step(number: int, seconds: float = 2.0, steps: int = 1) -> Step:
    return Step(number, 0.1, 1.0, 1e-4, 1.0, 400, 100, seconds, steps=steps)


def table(made: RunView) -> dict[str, list[str]]:
    return {name: cells for name, *cells in comparison.rows(made)}


def test_memory_and_times_have_their_errors() -> None:
    parts = {"weights": 1 << 30, "loss": 1 << 29}
    rehearsal = Rehearsed(4, 512, 1 << 30, 0.5, 4, 3 << 29, parts)
    taken = [(110.0 + n, step(n)) for n in range(1, 20)]
    made = view(
        (99, rehearsal),
        (99, TOLD),
        (100, started()),
        *taken,
        (150, WentOn(10.0)),
        (200, step(20)),
        (280, Finished(stopped=False, step=20)),
    )
    rows = table(made)
    assert rows["memory at most"] == ["1.5 GiB", "1.0 GiB", "+50.0%"]
    assert rows["memory: loss"] == ["512 MiB", "", ""]
    # The middle of 1 and 4 s, as factors, is 2 s.
    assert rows["time: a step"] == ["1 s to 4 s", "2 s", "+0%, within"]
    assert rows["time: an epoch"] == ["20 s to 1 min 20 s", "20 s", "+100%, within"]
    # 180 s, of which it was paused for 10.
    assert rows["time: the whole run"] == [
        "1 min 40 s to 3 min 20 s",
        "2 min 50 s",
        "-17%, within",
    ]


def test_only_what_was_told_and_measured_is_compared() -> None:
    assert comparison.rows(view((1, started()), (2, step(1)))) == []
    nothing_told = Foretold(None, None, None, "nobody knows")
    assert table(view((1, nothing_told), (1, started()), (2, step(1)))) == {}
    # Under an epoch, and stopped.
    stopped = view((1, TOLD), (1, started()), (9, step(3, 15, 3)), (9, Finished(stopped=True)))
    assert table(stopped) == {"time: a step": ["1 s to 4 s", "5 s", "-60%, outside"]}
    resumed = view((1, TOLD), (1, started(5)), (9, step(20, 40, 15)), (9, Finished(False)))
    assert set(table(resumed)) == {"time: a step", "time: an epoch"}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.031, 0.5), "0.031 s to 0.5 s"),
        ((14.2, 59.6), "14 s to 60 s"),
        ((2.0, 2.0), "2 s"),
        ((3600.0, 90000.0), "1 h 00 min to 25 h 00 min"),
    ],
)
def test_bounds_in_words(bounds: tuple[float, float], said: str) -> None:
    assert comparison.span(bounds) == said
