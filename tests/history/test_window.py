"""A stretch of a run, event by event."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.history.logs import BEGUN, lines, make, sampled, started, step
from workbench.history import reading, window
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.jobs.events import CheckpointSaved, Evaluated, Event

COUNT = 24_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logs, History]:
    """Resumed from step 12,000 after it had come to 12,500, with other losses."""
    events: list[Event] = [started()]
    for number in range(1, 12_501):
        events.append(step(number, 2.0 if number <= 12_000 else 9.0, 10))
        if number % 1000 == 0:
            events += [Evaluated(number, 2.5, 1, 1), CheckpointSaved(number, "p", "save")]
    events.append(started(12_000))
    events += [step(number, 3.0, 20) for number in range(12_001, COUNT + 1)]
    machine = lines([sampled(n) for n in range(3000)], every=10.0)
    logs = make(tmp_path_factory.mktemp("run"), lines(events), machine)
    return logs, reading.read(logs)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1), (1, 50), (11_950, 12_050), (11_999, 12_001), (12_001, 12_002), (23_990, 24_000)],
)
def test_each_step_of_a_stretch_is_there_once(
    run: tuple[Logs, History], left: int, right: int
) -> None:
    logs, history = run
    wanted = window.window(history, left, right)
    assert wanted is not None
    part = window.read(wanted, logs.training, logs.machine)
    assert part is not None
    line = part.line("training", "loss")
    assert list(line.x) == list(range(left, right + 1))
    assert list(line.mean) == [2.0 if x <= 12_000 else 3.0 for x in line.x]
    # Tokens count from the run's beginning.
    tokens = [x * 10 if x <= 12_000 else 120_000 + (x - 12_000) * 20 for x in line.x]
    assert list(part.line("training", "loss", "tokens").x) == tokens


def test_the_machine_meanwhile_is_there(run: tuple[Logs, History]) -> None:
    logs, history = run
    wanted = window.window(history, 8000, 8100)
    assert wanted is not None
    part = window.read(wanted, logs.training, logs.machine)
    assert part is not None
    times = part.line("machine", "host.rss", "time").x
    span = part.span("time")
    assert span is not None and times[0] <= span[0] + 10 and span[1] - 20 <= times[-1]
    assert [b - a for a, b in pairwise(times)] == [10.0] * (len(times) - 1)
    on_steps = part.line("machine", "host.rss").x
    assert on_steps[0] <= 8010 and on_steps[-1] == pytest.approx(8100, abs=10)


def test_where_each_step_has_a_bucket_nothing_is_read(tmp_path: Path) -> None:
    logs = make(tmp_path, lines([step(n) for n in range(1, 100)]))
    assert window.window(reading.read(logs), 10, 20) is None


def test_reading_stops_when_it_is_told_to(run: tuple[Logs, History]) -> None:
    logs, history = run
    wanted = window.window(history, 10, 8000)
    assert wanted is not None
    assert window.read(wanted, logs.training, logs.machine, lambda: True) is None


def test_lines_of_others_between_are_passed_over(tmp_path: Path) -> None:
    count = 21_000
    whole = lines([step(n) for n in range(1, count + 1)]).splitlines(keepends=True)
    whole[9000:9000] = [b"not ours\n"] * 5000
    logs = make(tmp_path, b"".join(whole))
    wanted = window.window(reading.read(logs), 8990, 9010)
    assert wanted is not None
    part = window.read(wanted, logs.training, logs.machine)
    assert part is not None
    assert list(part.line("training", "loss").x) == list(range(8990, 9011))
    assert part.line("training", "loss", "time").x[0] > BEGUN


def test_what_takes_long_to_read_stays_as_it_is(
    run: tuple[Logs, History], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, history = run
    wide, narrow = (window.window(history, 8000, right) for right in (9000, 8010))
    assert wide is not None and narrow is not None
    for most in ("_MOST", "_MOST_FOR_FEW"):
        monkeypatch.setattr(window, most, 100_000)
    assert window.read(wide, logs.training, logs.machine) is None
    part = window.read(narrow, logs.training, logs.machine)
    assert part is not None and len(part.line("training", "loss")) == 11
