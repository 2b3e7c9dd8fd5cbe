"""Status in words, on recorded and on made-up logs."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest

from workbench.jobs.events import (
    Answered,
    CheckpointSaved,
    CommandHandled,
    Evaluated,
    Event,
    Foretold,
    Paused,
    Progress,
    Record,
    Started,
    Step,
    WentOn,
)
from workbench.jobs.log import read_all
from workbench.tracking import course, course_words
from workbench.tracking.course import Course, Plan
from workbench.tracking.link import Link, network_file_system
from workbench.tracking.timing import Timing
from workbench.tracking.view import RunView

CURVES = sorted((Path(__file__).parents[1] / "alarms" / "curves").glob("*.jsonl"))
PLAN = Plan(evaluation_every=20, patience=3, checkpoints_every=50, keeps_best=True)
AT = 1_700_000_000.0


def started(total: int = 200, resumed_from: int = 0, rows: int = 10) -> Started:
    return Started(total, 2.0, 90, rows, 1, 1, 1, "CPU", "float32", resumed_from=resumed_from)


def step(number: int, seconds: float = 2.0, tokens: int = 800) -> Step:
    return Step(number, number / 100, 1.5, 1e-4, 1.0, tokens, 50, seconds)


class Log:
    """Writes a log by a clock of its own."""

    def __init__(self) -> None:
        self.now = AT
        self.view = RunView()
        self._seq = 0

    def tell(self, *events: Event, after: float = 0.0) -> Log:
        for event in events:
            self.now += event.seconds if isinstance(event, Step) else after
            self.view.feed([Record(self._seq, self.now, event)])
            self._seq += 1
        return self

    def course(self, status: str = "running", plan: Plan = PLAN, later: float = 0.0) -> Course:
        link = Link(heartbeat=self.now + later - 1)
        return course.of(self.view, status, "It is.", plan, link, self.now + later)


def begun(steps: int = 20, **settings: int) -> Log:
    log = Log().tell(started(**settings))
    log.tell(Evaluated(0, 3.0, 10, 99), after=8.0)
    return log.tell(*(step(n) for n in range(1, steps + 1)))


def shown(told: Course, width: int = 400) -> str:
    return "\n".join(course_words.lines(told, width))


def test_the_true_end_lies_within_the_bounds() -> None:
    """On every recorded curve, from every step of it: how often is in docs/monitor.md."""
    hits: list[bool] = []
    for path in CURVES:
        records = list(read_all(path))
        steps = [r for r in records if isinstance(r.event, Step)]
        every = statistics.mode(
            [b.event.step - a.event.step for a, b in _pairs(records, Evaluated)] or [0]
        )
        end, view = steps[-1].time, RunView()
        for record in records:
            view.feed([record])
            if not isinstance(record.event, Step) or record.time >= end:
                continue
            told = course.of(view, "running", "", Plan(every), Link(), record.time)
            if told.eta is not None and told.eta.basis == "steps":
                hits.append(told.eta.low <= end - record.time <= told.eta.high)
    assert len(hits) > 1400
    assert 0.8 <= statistics.fmean(hits) <= 0.97


def _pairs(records: list[Record], kind: type) -> list[tuple[Record, Record]]:
    found = [record for record in records if isinstance(record.event, kind)]
    return list(itertools.pairwise(found))


def test_what_is_still_to_come_is_in_the_time_left() -> None:
    log = begun()
    log.tell(Evaluated(20, 2.5, 10, 99), Answered(20, 1, "a", "b"), after=5.0)
    log.tell(Progress("saving a checkpoint", 0, 1))
    log.tell(CheckpointSaved(20, "step-20", "best"), after=3.0)
    told = log.course()
    assert told.eta is not None
    # 180 steps of 2 s; nine validations, (8 + 10) / 2 s each; checkpoints of 3 s: at 50, 100, 150
    # and the end, and of those with a new lowest loss, at nine validations, half.
    assert told.eta.seconds == pytest.approx(180 * 2 + 9 * 9 + (4 + 4.5) * 3)
    assert told.eta.low < told.eta.seconds < told.eta.high
    assert told.eta.ends == log.now + told.eta.seconds


def test_a_pause_is_not_counted() -> None:
    log = begun(21)
    before = log.course().eta
    log.tell(Paused(21)).tell(WentOn(5000.0), after=5000.0)
    log.tell(step(22))
    after = log.course().eta
    assert before is not None and after is not None
    assert after.seconds == pytest.approx(before.seconds - 2, abs=1)
    log.tell(Paused(22))
    waiting = log.course("paused", later=3000.0)
    assert waiting.eta is not None and waiting.eta.ends is None
    assert "of work left" in shown(waiting) and "ends about" not in shown(waiting)


def test_the_time_left_goes_down_between_two_words_and_stands_still_in_a_stall() -> None:
    log = begun()
    now, soon, late = (log.course(later=t).eta for t in (0.0, 1.0, 500.0))
    assert now is not None and soon is not None and late is not None
    assert soon.seconds == pytest.approx(now.seconds - 1)
    assert late.seconds == pytest.approx(now.seconds - 2, abs=0.5)


def test_at_first_nothing_is_known_then_the_forecast_then_the_steps() -> None:
    log = Log()
    assert "not known yet" in shown(log.course())
    log.tell(Foretold([1.0, 3.0], None, [400.0, 800.0], "as another did"), started())
    told = log.course(later=100.0)
    assert told.eta is not None and (told.eta.low, told.eta.high) == (300.0, 700.0)
    assert "8 min 20 s left (5 min 00 s to 11 min 40 s) by its forecast" in shown(told)
    log.tell(step(1), step(2), step(3))
    assert (eta := log.course().eta) is not None and eta.basis == "steps"


def test_an_end_that_may_come_sooner_is_told() -> None:
    log = begun()
    for at, loss in ((20, 2.0), (40, 2.1), (60, 2.2)):
        log.tell(*(step(n) for n in range(log.view.step + 1, at + 1)), Evaluated(at, loss, 10, 9))
    told = log.course()
    assert (told.since_best, told.patience_left) == (2, 1)
    assert told.best is not None and told.best.step == 20
    assert "1 more validation without a new lowest loss ends it" in shown(told)
    assert "validation 2.2000, best 2.0000 at step 20, 2 validations ago" in shown(told)
    log.tell(CommandHandled("1", "stop"))
    assert log.course().stopping and "it stops after this step" in shown(log.course())


def test_what_is_due_next() -> None:
    log = begun(45)
    told = log.course()
    assert told.next_evaluation is not None and told.next_checkpoint is not None
    assert (told.next_evaluation.step, told.next_checkpoint.step) == (60, 50)
    assert told.next_checkpoint.seconds == pytest.approx(10)
    assert told.checkpoint_if_best is None
    told = log.course(plan=Plan(evaluation_every=60, keeps_best=True))
    assert told.next_checkpoint is not None and told.next_checkpoint.step == 200
    assert told.checkpoint_if_best == 60
    text = shown(told)
    assert "next validation at step 60, in 30 s" in text
    assert "next checkpoint at the end, in 5 min" in text and "or at step 60 if that is" in text


def test_without_validation_rows_none_is_due() -> None:
    log = Log().tell(started(rows=0)).tell(*(step(n) for n in range(1, 9)))
    told = log.course()
    assert told.next_evaluation is None and "next validation" not in shown(told)


def test_tokens_a_second_stand_against_the_best_stretch() -> None:
    log = begun(30).tell(*(step(n, seconds=4.0) for n in range(31, 80)))
    told = log.course()
    assert told.tokens_per_second == pytest.approx(200)
    assert told.best_tokens_per_second == pytest.approx(400)
    assert "200 tokens/s (50 % of its best)" in shown(told)


def test_lines_of_more_steps_are_compared_with_their_like() -> None:
    timing = Timing()
    for number in range(40):
        timing.take(Record(number, AT + number, step(number, 1.0 if number % 20 else 20.0)))
    assert timing.best is not None
    for number in range(40, 60):
        event = Step(number * 100, 1.0, 1.0, 1e-4, 1.0, 80_000, 50, 200.0, steps=100)
        timing.take(Record(number, AT + number * 200, event))
    assert timing.late == timing.best == pytest.approx(400)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_lines_fit_and_begin_with_what_matters(width: int) -> None:
    told = begun(45).course()
    lines = course_words.lines(told, width)
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("RUNNING  step 45/200")
    assert course_words.lines(told, width, state=False)[0].startswith("6 min")


def test_how_fresh_it_is() -> None:
    log = begun()
    assert "last word 4 s ago, heartbeat 1 s ago" in shown(log.course(later=4.0))
    link = Link(log.now - 40, "node7", "nfs4", lags=True)
    told = course.of(log.view, "stalled", "", PLAN, link, log.now + 50)
    assert "runs on node7, last word 50 s ago, heartbeat 1 min 30 s ago, read over nfs4" in shown(
        told
    )
    ahead = course.of(log.view, "running", "", PLAN, link, log.now - 12)
    assert "its clock is 12 s ahead" in shown(ahead)


def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = (
        "22 1 0:20 / / rw - ext4 /dev/sda1 rw\n"
        f"40 22 0:40 / {tmp_path} rw shared:1 - nfs4 server:/home rw\n"
        "41 22 0:41 / /elsewhere rw - cifs //server/x rw\n"
        "nonsense\n"
    )
    assert network_file_system(tmp_path, mounts) == "nfs4"
    assert network_file_system(Path("/"), mounts) == ""


def test_json_has_no_nan() -> None:
    log = begun().tell(Evaluated(20, float("nan"), 10, 99))
    body = log.course().to_json()
    assert body["validation"] == {"step": 20, "loss": None} and body["best"]["loss"] == 3.0
    assert body["word_age"] == 0.0 and body["eta"]["low"] > 0


def test_a_log_with_a_gap_measures_nothing_across_it() -> None:
    view = RunView()
    view.feed([Record(0, AT, started())])
    view.feed([Record(900, AT + 5000, Evaluated(100, 2.0, 10, 9))])
    view.feed([Record(901 + n, AT + 5002 + 2 * n, step(101 + n)) for n in range(30)])
    assert not view.timing.validations and not view.timing.whole
    took = view.timing.step_seconds(10)
    assert took is not None and took[0] == pytest.approx(2.0)
    told = course.of(view, "running", "", PLAN, Link(), AT + 5060)
    assert "the best of its first and last steps" in shown(told)
