from __future__ import annotations

import math

import pytest

from workbench.jobs.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Notice,
    Progress,
    Record,
    Rehearsed,
    Started,
    Step,
    WentOn,
)
from workbench.tracking.view import RunView, ago, duration

STARTED = Started(10, 1.0, 90, 10, 12345, 1000, 9999, "CPU", "float32")


def started(resumed_from: int) -> Started:
    return Started(10, 1.0, 90, 10, 12345, 1000, 9999, "CPU", "float32", resumed_from=resumed_from)


def step(number: int, loss: float = 2.0) -> Step:
    return Step(number, number / 10, loss, 1e-4, 0.5, 100, 50, 0.25)


def view(*events: Event) -> RunView:
    """A view fed with events of one second each, one at a time."""
    seen = RunView()
    for number, event in enumerate(events):
        seen.feed([Record(number, 1000.0 + number, event)])
    return seen


def test_a_view_of_nothing_is_starting() -> None:
    seen = view()
    assert (seen.step, seen.total_steps, seen.line()) == (0, 0, "starting")


def test_a_view_of_a_run_on_its_way() -> None:
    seen = view(STARTED, Evaluated(0, 3.0, 10, 99), step(1), step(2, 1.5), Notice("n", "warning"))
    assert (seen.step, seen.total_steps, seen.started_at) == (2, 10, 1000.0)
    assert seen.tokens_per_second == pytest.approx(400)
    assert seen.seconds_left == pytest.approx(8 * 0.25)
    assert "step 2/10" in seen.line() and "loss 1.5000" in seen.line()


def test_a_long_phase_shows_how_far_it_is_and_what_is_left() -> None:
    seen = view(STARTED, Progress("validation", 1, 4, "rows"), Progress("validation", 2, 4, "rows"))
    assert seen.seconds_left == pytest.approx(2.0)
    assert "validation 2/4 rows  1.00 rows/s  2 s left" in seen.line()
    seen.feed([Record(9, 1009.0, Evaluated(0, 3.0, 4, 9))])
    assert seen.progress is None


def test_a_rehearsal_is_over_once_it_is_told_of() -> None:
    seen = view(Progress("rehearsing the largest batches", 0, 1))
    assert seen.place() == "rehearsing the largest batches"
    seen.feed([Record(9, 1009.0, Rehearsed(4, 99, 1 << 30, 1.0, 4))])
    assert seen.place() == "starting"


def test_the_rate_of_a_phase_is_that_of_late() -> None:
    seen = view(*(Progress("reading", n * 3_000_000, 10**9, "bytes") for n in range(100)))
    assert seen.rate == pytest.approx(3e6)
    assert seen.place() == "reading 297.0/1,000.0 MB  3.00 MB/s  3 min 54 s left"
    seen.feed([Record(200, 1200.0, Progress("splitting", 0, 500, "rows"))])
    assert seen.rate is None and seen.place() == "splitting 0/500 rows"


@pytest.mark.parametrize(
    ("after", "at"),
    [
        (Progress("reading", 60, 100, "rows"), 10.0),  # a clock that was set back
        (Progress("reading", 0, 100, "rows"), 1010.0),  # a job that was started again
    ],
)
def test_there_is_no_rate_where_none_can_be_told(after: Progress, at: float) -> None:
    seen = view(*(Progress("reading", n, 100, "rows") for n in (30, 40, 50)))
    assert seen.rate == pytest.approx(10)
    seen.feed([Record(9, at, after)])
    assert seen.rate is None and seen.seconds_left is None
    seen.feed([Record(10, at + 2, Progress("reading", after.done + 10, 100, "rows"))])
    assert seen.rate == pytest.approx(5)


def test_a_pause_is_no_part_of_the_rate() -> None:
    seen = view(*(Progress("reading", n, 100, "rows") for n in (10, 20)))
    seen.feed([Record(5, 1600.0, WentOn(598.0))])
    for number, done in enumerate((30, 40)):
        seen.feed([Record(6 + number, 1601.0 + number, Progress("reading", done, 100, "rows"))])
    assert seen.rate == pytest.approx(10)


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint() -> None:
    seen = view(
        STARTED,
        Evaluated(0, 3.0, 10, 99),
        *(step(n) for n in range(1, 6)),
        Evaluated(5, 2.5, 10, 99),
        started(resumed_from=4),
        step(5, 1.0),
        Evaluated(5, 2.0, 10, 99),
    )
    assert [s.step for s in seen.recent] == [1, 2, 3, 4, 5]
    assert seen.last_step is not None and seen.last_step.loss == 1.0
    assert [(e.step, e.loss) for e in seen.evaluations] == [(0, 3.0), (5, 2.0)]
    assert seen.started_at == 1000.0


def test_a_run_begun_again_from_its_start_shows_each_evaluation_once() -> None:
    seen = view(STARTED, Evaluated(0, 3.0, 10, 99), step(1), STARTED, Evaluated(0, 3.0, 10, 99))
    assert seen.last_step is None and [e.step for e in seen.evaluations] == [0]


@pytest.mark.parametrize("last", [Failed("error", "It broke."), Finished(stopped=True, step=1)])
def test_a_run_that_is_started_again_has_not_ended(last: Event) -> None:
    seen = view(STARTED, step(1), last)
    assert (seen.failed or seen.finished) == last and seen.seconds_left is None
    seen.feed([Record(9, 1009.0, Progress("encoding the data", 0, 1))])
    assert seen.failed is None and seen.finished is None


def test_the_best_evaluation_is_the_lowest_that_is_a_number() -> None:
    seen = view(STARTED, *(Evaluated(n, loss, 1, 1) for n, loss in enumerate([3.0, math.nan, 2.0])))
    best = seen.best_evaluation
    assert best is not None and best.loss == 2.0
    assert view(STARTED).best_evaluation is None


def test_a_long_run_is_kept_in_sums() -> None:
    seen = view(STARTED, *(step(n, 5 - n / 1000) for n in range(1, 2001)))
    assert len(seen.recent) == 20
    assert (seen.tokens, seen.trained_tokens, seen.seconds) == (200_000, 100_000, 500.0)
    assert seen.first_step is not None and seen.first_step.step == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (47 * 3600, "47 h 00 min"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_time_in_the_future_is_now() -> None:
    assert ago(1e12) == "0 s ago"
