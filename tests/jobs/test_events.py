from __future__ import annotations

import json
import math

import pytest

from workbench.jobs import events
from workbench.jobs.events import Record, decode, encode

ONE_OF_EACH: list[events.Event] = [
    events.Started(100, 2.5, 90, 10, 12345, 1000, 9999, "CPU", "float32", resumed_from=3),
    events.Step(4, 0.5, 1.25, 1e-4, 0.75, 512, 128, 0.5, memory=1 << 40),
    events.Evaluated(4, 2.5, 10, 99, 12.18, {"chat": {"loss": None, "rows": 1}}),
    events.Answered(4, 7, "Is 1\na number?", "ok\x1b[2J"),
    events.Answered(4, 0, "Is 1 a number?", "ok", stopped=True, tokens=2),
    events.Skipped(4, "gradient", [{"row": 7, "loss": None, "tokens": 9}]),
    events.Spiked(4, 9.5, 2.5, [{"row": 7, "loss": 9.5, "tokens": 9}]),
    events.Rehearsed(4, 512, 1 << 30, 0.5, 4),
    events.Rehearsed(4, 512, 1 << 30, 0.5, 4, 1 << 29, {"weights": 1 << 28}),
    events.Foretold([0.5, 1.5], None, [60.0, 90.0], "as before-0001 did"),
    events.CheckpointSaved(4, "step-4", "regular"),
    events.Progress("encoding", 3, 7, "rows"),
    events.Alarm("overfitting", "warning", 7, 1.5, "Seen.", "Why.", "Next.", "Source.", True),
    events.Notice("Grüße, 世界 – \u2028 \x1b[31m\nsecond line", "warning"),
    events.CommandHandled("ab12", "set_interval", 10),
    events.Paused(4),
    events.WentOn(2.5),
    events.Finished(stopped=True, step=4, result="adapter"),
    events.Failed("disk_full", "The disk is full.", "Free some."),
    events.Sampled({"rss": 7}, [{"index": 0, "name": None}], None),
    events.CommandTaken("ab12", "dance", None, "There is no command 'dance'."),
]


def test_the_samples_are_every_type_of_event() -> None:
    assert {event.type for event in ONE_OF_EACH} == set(events.TYPES)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.type)
def test_an_event_comes_back_as_it_was_from_one_line(event: events.Event) -> None:
    line = encode(event, 17, 1700000000.1234)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == Record(17, 1700000000.123, event)


def test_a_line_has_the_documented_fields() -> None:
    body = json.loads(encode(events.Evaluated(4, 2.5, 10, 99), 17, 1.5))
    assert body == {
        "v": 1,
        "seq": 17,
        "t": 1.5,
        "type": "evaluated",
        "step": 4,
        "loss": 2.5,
        "rows": 10,
        "trained_tokens": 99,
        "perplexity": None,
        "tasks": {},
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_and_named(value: float) -> None:
    line = encode(events.Evaluated(4, value, 10, 99), 0, 0)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    body = json.loads(line, parse_constant=refuse)
    assert body["loss"] is None and body["nan"] == ["loss"]
    record = decode(line)
    assert record is not None and isinstance(record.event, events.Evaluated)
    assert math.isnan(record.event.loss)


def test_a_file_name_that_is_no_utf_8_survives_the_log() -> None:
    event = events.Failed("bad_input", "no \udcff.jsonl")
    line = encode(event, 0, 0)
    assert line.decode("utf-8")
    assert decode(line) == Record(0, 0, event)


def test_unknown_types_and_later_versions_are_passed_over() -> None:
    assert decode(b'{"v":1,"seq":0,"t":0,"type":"from the future","x":1}') is None
    assert decode(b'{"v":2,"seq":0,"t":0,"type":"notice","text":"x"}') is None


def test_unknown_fields_are_passed_over() -> None:
    line = b'{"v":1,"seq":3,"t":2,"type":"notice","text":"x","colour":"red"}'
    assert decode(line) == Record(3, 2, events.Notice("x"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Traceback (most recent call last):",
        b"[1,2]",
        b"7",
        b'{"v":1,"seq":0,"t":0,"type":["notice"]}',
        b'{"v":1,"seq":0,"t":0,"type":"notice"}',
        b'{"v":1,"type":"notice","text":"x"}',
        b'{"v":1,"seq":0,"t":0,"type":"notice","text":"x","nan":5}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_event_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_a_rehearsal_of_an_earlier_release_has_no_forecast() -> None:
    body = json.loads(encode(events.Rehearsed(4, 512, 1 << 30, 0.5, 4, 7), 0, 1.5))
    del body["forecast"]
    record = decode(json.dumps(body).encode())
    assert record is not None
    assert record.event == events.Rehearsed(4, 512, 1 << 30, 0.5, 4)
