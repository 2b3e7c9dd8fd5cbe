from __future__ import annotations

import json
import math

import pytest

from tests.history.logs import BEGUN, GIB, lines, sampled, started, step, steps
from workbench.history import scan
from workbench.history.history import AXES, History
from workbench.jobs.events import (
    Alarm,
    CheckpointSaved,
    Evaluated,
    Event,
    Notice,
    Record,
    Skipped,
    Spiked,
    Step,
    decode,
)


def _records(events: list[Event], first: int = 0, begun: float = BEGUN) -> list[Record]:
    found = [decode(line) for line in lines(events, first, begun).splitlines()]
    return [record for record in found if record is not None]


def test_every_figure_is_over_every_axis() -> None:
    history = History()
    history.feed(_records([started(), *steps(250)]))
    history.feed_samples([(BEGUN + 10, sampled(GIB)), (BEGUN + 20, sampled(2 * GIB))])
    assert {"loss", "learning_rate", "memory", "allocated"} <= set(history.figures("training"))
    assert history.span("tokens") == (100, 25_000)
    assert list(history.line("validation", "loss", "tokens").x) == [10_000, 20_000]
    # Sample by sample: the step that was newest then, by time.
    assert list(history.line("machine", "gpu0.memory_used").x) == pytest.approx([10, 20])
    for x in AXES:
        for group, figure in (
            ("training", "loss"),
            ("validation", "loss"),
            ("machine", "host.rss"),
        ):
            line = history.line(group, figure, x)
            assert len(line) and list(line.x) == sorted(line.x)


def test_what_a_resumed_run_does_again_counts_once() -> None:
    history = History()
    history.feed(_records([started(), *steps(150)]))
    assert history.span("tokens") == (100, 15_000)
    again = [started(100), *steps(100, 101)]
    history.feed(_records(again, 200, BEGUN + 1000))
    assert history.span("step") == (1, 200) and history.span("tokens") == (100, 20_000)
    line = history.line("training", "loss", "time")
    assert len(line) == 200 and list(line.x) == sorted(line.x)
    assert [mark.step for mark in history.marks if mark.kind == "evaluation"] == [100, 200]
    assert [mark.step for mark in history.marks if mark.kind == "resume"] == [100]


def test_a_run_that_begins_again_begins_again() -> None:
    history = History()
    history.feed(_records([started(), Evaluated(0, 3.0, 2, 20), *steps(50)]))
    history.feed(_records([started(), Evaluated(0, 2.9, 2, 20), *steps(20)], 60, BEGUN + 100))
    assert history.span("step") == (1, 20) and history.span("tokens") == (100, 2000)
    assert list(history.line("validation", "loss").mean) == [2.9]
    assert [record.event.step for record in history.evaluations] == [0]  # type: ignore[union-attr]


def test_steps_that_repeat_without_a_word_count_once() -> None:
    history = History()
    history.feed(_records([*steps(30), *steps(10, 21)]))
    assert history.span("step") == (1, 30) and history.span("tokens") == (100, 3000)


def test_a_resume_in_the_midst_of_shared_buckets_is_exact_at_a_checkpoint() -> None:
    history = History()
    events: list[Event] = [started()]
    for number in range(1, 60_001):
        events.append(step(number, 2.0 if number <= 59_000 else 500.0, 10))
        if number % 1000 == 0:
            events.append(CheckpointSaved(number, "p", "save"))
    history.feed(Record(n, BEGUN + n, event) for n, event in enumerate(events))
    assert history.training.each > 1 and max(history.line("training", "loss").high) == 500
    history.feed([Record(70_000, BEGUN + 70_000, started(59_000))])
    assert max(history.line("training", "loss").high) == 2
    assert history.span("tokens") == (10, 590_000)


def test_a_clock_that_is_set_back_doesn_t_turn_the_line_back() -> None:
    history = History()
    history.feed(_records(steps(10)))
    history.feed(_records(steps(10, 11), 10, BEGUN - 5000))
    line = history.line("training", "loss", "time")
    assert len(line) == 20 and list(line.x) == sorted(line.x)


def test_what_happened_is_marked_and_marks_stay_few() -> None:
    history = History()
    history.feed(
        _records(
            [
                started(),
                step(1),
                Evaluated(1, 2.5, 2, 20),
                CheckpointSaved(1, "p", "best"),
                step(2),
                Spiked(2, 9.0, 2.0, []),
                Skipped(3, "gradient", []),
            ]
        )
    )
    alarm = Alarm("plateau", "info", 2, BEGUN + 4, "it is flat", "", "", "")
    over = Alarm("plateau", "info", 2, BEGUN + 4, "it is flat", "", "", "", True)
    history.feed_supervision(_records([alarm, Notice("hello"), over]))
    told = [(mark.kind, mark.step, mark.text, mark.value) for mark in history.marks]
    assert told == [
        ("evaluation", 1, "", 2.5),
        ("checkpoint", 1, "best", None),
        ("alarm", 2, "plateau: it is flat", None),
        ("spike", 2, "", 9.0),
        ("skipped", 3, "gradient", None),
    ]
    assert history.place(history.marks[0], "tokens") == 100
    for number in range(4, 6000):
        history.feed([Record(number, BEGUN + number, Evaluated(number, 1 / number, 1, 1))])
    history.feed([Record(6000, BEGUN + 6000, Evaluated(6000, 2.0, 1, 1))])
    steps_marked = [mark.step for mark in history.marks if mark.kind == "evaluation"]
    assert len(steps_marked) <= 500 and steps_marked[-1] == 6000
    assert len(history.evaluations) <= 500
    kept = [record.event.loss for record in history.evaluations]  # type: ignore[union-attr]
    assert min(kept) == 1 / 5999


def test_tasks_have_lines_of_their_own() -> None:
    history = History()
    parts = {"qa": {"loss": 1.5}, "sum": {"loss": None}}
    history.feed(_records([step(1), Evaluated(1, 2.0, 2, 20, None, parts)]))  # type: ignore[arg-type]
    assert history.figures("validation") == ["loss", "loss.qa"]
    assert list(history.line("validation", "loss.qa").mean) == [1.5]


def test_a_gpu_that_comes_and_goes_leaves_gaps() -> None:
    history = History()
    history.feed_samples([(1.0, sampled(5, 1)), (2.0, sampled(6, 2)), (3.0, sampled(7, 1))])
    line = history.line("machine", "gpu1.memory_used", "time")
    assert list(line.high) == [-math.inf, 6.0, -math.inf]
    assert len(history.line("machine", "gpu1.memory_used", "step")) == 0  # there is no step yet


STRANGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"v":1,"seq":1,"t":1.0,"type":"unheard_of"}',
    b'{"v":2,"seq":1,"t":1.0,"type":"step","step":9}',
    b'{"v":1,"seq":1,"t":1.0,"type":"step","step":9}',
    b'{"v":1,"seq":"a","t":1.0,"type":"step"} trailing',
    b"\xff\xfe{}",
    b"[" * 5000,
    b'{"v":1,"seq":7,"t":1.0,"type":"step","step":"x","epoch":0.1,"loss":"y","learning_rate":1,'
    b'"gradient_norm":1,"tokens":1,"trained_tokens":1,"seconds":1}',
    b'{"v":1,"seq":7,"t":1.0,"type":"step","step":NaN,"epoch":0.1,"loss":1,"learning_rate":1,'
    b'"gradient_norm":1,"tokens":1,"trained_tokens":1,"seconds":1}',
    b'{"v":1,"seq":7,"t":1.0,"type":"evaluated","step":"x","loss":[],"rows":1,"trained_tokens":2}',
    b'{"v":1,"seq":7,"t":1.0,"type":"checkpoint","step":null,"path":1,"reason":2}',
]


@pytest.mark.parametrize("strange", STRANGE)
def test_a_glance_at_lines_comes_to_what_decoding_them_comes_to(strange: bytes) -> None:
    good = [started(), Evaluated(0, math.nan, 2, 20), step(1, math.inf), *steps(120, 2)]
    spaced = json.dumps({**json.loads(lines([step(122)], 130)), "new": "field"}).encode() + b"\n"
    whole = lines(good) + strange + b"\n" + spaced + lines([Notice("naïve\u2028é")], 131)
    glanced, decoded = History(), History()
    scan.training(glanced, whole)
    for line in whole.splitlines():
        try:
            record = decode(line)
        except (ValueError, RecursionError):
            continue
        decoded.feed([record] if record else [])
    assert repr(glanced.state()) == repr(decoded.state())
    assert glanced.span() == (1, 122)


def test_a_glance_at_samples_comes_to_what_decoding_them_comes_to() -> None:
    old = {"v": 1, "t": BEGUN, "host": {"rss": 7}, "gpus": [], "gpu_reason": "no driver"}
    alarm = Alarm("plateau", "info", 2, BEGUN, "it is flat", "", "", "")
    strange = b'{"v":1,"seq":3,"t":1.0,"type":"sampled","host":[],"gpus":3,"gpu_reason":null}\n'
    whole = json.dumps(old).encode() + b"\n" + strange
    whole += lines([sampled(n, 2) for n in range(50)] + [alarm])
    glanced, decoded = History(), History()
    scan.machine(glanced, whole)
    for line in whole.splitlines():
        record = decode(line)
        assert record is not None
        if record.event.type == "sampled":
            decoded.feed_samples([(record.time, record.event)])  # type: ignore[list-item]
        else:
            decoded.feed_supervision([record])
    assert repr(glanced.state()) == repr(decoded.state())
    assert len(glanced.line("machine", "gpu1.power", "time")) == 51


def test_rates_of_earlier_releases_are_reckoned() -> None:
    history = History()
    history.feed([Record(0, BEGUN, Step(1, 0.1, 2.0, 1e-4, 1.0, 100, 50, 0.5))])
    assert history.training.last("tokens_per_second") == 200
