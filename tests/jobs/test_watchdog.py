"""Slow and stalled are told apart by the job's own history; its clock is the test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.jobs.events import CommandHandled, Paused, Progress, Started, Step, WentOn
from workbench.jobs.log import LogWriter
from workbench.jobs.watchdog import SILENT, Watchdog

STARTED = Started(100, 1.0, 10, 1, 100, 10, 100, "CPU", "float32")


def step(number: int, seconds: float, steps: int = 1) -> Step:
    return Step(number, 0.1, 1.0, 1e-4, 1.0, 10, 10, seconds, steps=steps)


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return LogWriter(tmp_path / "train.jsonl")


def test_a_job_that_steps_as_usual_is_well(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 50):
        log.write(step(number, 1.0 + number % 3 / 10))
        assert watchdog.look(number).word == ""
    assert watchdog.step == 49


def test_silence_is_slow_first_and_a_stall_later(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 21):
        log.write(step(number, 10.0))
    assert watchdog.look(100).word == ""
    assert watchdog.look(145).word == ""
    slow = watchdog.look(160)
    assert (slow.word, slow.text) == ("slow", "Not a word for 60 s; 10.0 s is usual.")
    assert watchdog.look(199).word == "slow"
    stalled = watchdog.look(201)
    assert stalled.word == "stalled" and "10.0 s is usual" in stalled.text
    log.write(step(21, 110.0))
    assert watchdog.look(202).word == ""


def test_short_steps_may_be_silent_for_a_minute(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 21):
        log.write(step(number, 0.01))
    watchdog.look(1)
    assert watchdog.look(60).word == "slow"
    assert watchdog.look(62).word == "stalled"


def test_steps_that_take_twice_their_time_are_slow(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 31):
        log.write(step(number, 1.0))
    for number in range(31, 34):
        log.write(step(number, 2.5))
    verdict = watchdog.look(1)
    assert verdict.word == "slow"
    assert verdict.text == "Its last 3 steps took 2.50 s each; 1.00 s is usual."
    log.write(step(34, 1.0))
    assert watchdog.look(2).word == ""


def test_short_steps_are_slow_when_they_are_so_for_a_while(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 101):
        log.write(step(number, 0.02))
    for number in range(101, 110):
        log.write(step(number, 0.1))
    assert watchdog.look(1).word == ""
    for number in range(110, 112):
        log.write(step(number, 0.1))
    verdict = watchdog.look(2)
    assert verdict.word == "slow"
    assert verdict.text == "Its last 11 steps took 0.10 s each; 0.02 s is usual."


def test_one_line_of_many_steps_is_waited_for_as_long_as_such_lines_take(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(100, 1100, 100):
        log.write(step(number, 100.0, steps=100))
    assert watchdog.look(0).word == ""
    assert watchdog.look(499).word == ""
    assert watchdog.look(900).word == "slow"
    assert watchdog.look(1001).word == "stalled"


@pytest.mark.parametrize("events", [[], [STARTED], [Progress("loading the base model", 0, 1)]])
def test_phases_without_a_history_may_take_ten_minutes(
    log: LogWriter, events: list[Started | Progress]
) -> None:
    watchdog = Watchdog(log.path, 0)
    for event in events:
        log.write(event)
    watchdog.look(0)
    assert watchdog.look(SILENT).word == ""
    assert watchdog.look(SILENT + 1).word == "stalled"


def test_a_limit_of_the_persons_own_counts_in_every_phase(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0, stall_after=5)
    assert watchdog.look(4).word == ""
    assert watchdog.look(6).word == "stalled"
    for number in range(1, 21):
        log.write(step(number, 10.0))
    watchdog.look(7)
    assert watchdog.look(13).word == "stalled"


def test_a_paused_job_is_paused_however_long(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    log.write(Paused(3))
    assert watchdog.look(1).word == "paused"
    assert watchdog.look(1e6).word == "paused"
    log.write(WentOn(1e6))
    assert watchdog.look(1e6 + 1).word == ""


def test_one_that_takes_over_knows_the_history_from_the_end_of_the_log(log: LogWriter) -> None:
    for number in range(1, 5001):
        log.write(step(number, 10.0))
    watchdog = Watchdog(log.path, 0)
    assert watchdog.step == 5000
    assert watchdog.look(61).word == "slow"
    assert watchdog.look(101).word == "stalled"
    watchdog.begin_again(200)
    assert watchdog.look(200 + SILENT).word == ""


def test_a_line_is_waited_for_as_long_as_the_interval_that_was_set_takes(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 101):
        log.write(step(number, 0.5))
    log.write(CommandHandled("1", "set_interval", 1000))
    assert watchdog.look(50).word == ""
    assert watchdog.look(50 + 500).word == ""
    assert watchdog.look(50 + 5001).word == "stalled"
    log.write(step(1100, 500.0, steps=1000))
    assert watchdog.look(5100).word == watchdog.look(5600).word == ""
    log.write(CommandHandled("2", "set_interval", 1))
    assert watchdog.look(5601).word == ""
    assert watchdog.look(5601 + 61).word == "stalled"


def test_a_checkpoint_may_take_longer_than_any_step(log: LogWriter) -> None:
    watchdog = Watchdog(log.path, 0)
    for number in range(1, 21):
        log.write(step(number, 0.5))
    log.write(Progress("saving a checkpoint", 0, 1))
    watchdog.look(10)
    assert watchdog.look(10 + SILENT - 1).word == ""
