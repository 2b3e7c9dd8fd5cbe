"""The curves of a run, however long it is: all that a chart of it needs, in some megabytes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple
from typing import Any, cast

from workbench.charts.line import Line
from workbench.history.marks import Mark, Marks
from workbench.history.track import Track
from workbench.jobs.events import (
    Alarm,
    CheckpointSaved,
    Evaluated,
    Event,
    Record,
    Sampled,
    Skipped,
    Spiked,
    Started,
    Step,
    decode,
    encode,
)

AXES = ("step", "tokens", "epoch", "time")
"""What x can be. Tokens are those of all steps up to there, without what a resumed run did twice;
time is unix seconds."""
TRAINING = (
    "loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "allocated",
    "reserved",
    "memory",
)
"""Figures of a step. The last three are bytes: in use, kept by torch, and the peak so far."""
GPU = ("memory_used", "memory_of_run", "utilization", "power", "temperature")
"""Figures of a GPU: bytes, bytes, percent, watts, degrees Celsius. GPU 1's is `gpu1.power`, that of
its MIG instance 2 `gpu1mig2.power`."""
HOST = ("rss", "memory_used", "cpu_percent", "load1")
"""Figures of the host: bytes, bytes, percent, runnable processes. `host.rss` and so on."""
_SAMPLED = 8192
"""Buckets of the machine: in a week each is of 74 s."""
_VALIDATED = 4096
_TASKS = 64
"""Tasks whose validation losses are followed."""
_GPUS = 64
_EVALUATIONS = 500
"""Evaluations that are kept whole."""
_STARTS = 50


class History:
    """The curves of a run; feed it the run's logs, in order, as they grow.

    `training` and `validation` are over the axes `AXES` and `seq`, the number of the event in the
    log; `machine` is over time alone, and `line` draws it over the others by way of the training.
    A resumed run takes up its checkpoint: what it does again is not counted twice.
    """

    def __init__(self) -> None:
        axes = (*AXES, "seq")
        self.training = Track(TRAINING, axes)
        self.validation = Track(("loss",), axes, _VALIDATED)
        """`loss`, and `loss.TASK` of each where there are several tasks."""
        self.machine = Track([f"host.{name}" for name in HOST], ("time",), _SAMPLED)
        self.noted = Marks()
        self.evaluations: list[Record] = []
        """Of events `Evaluated`; when there are too many, the best and the newest stay."""
        self.starts: list[Record] = []
        """Of events `Started`: the first and the last ones."""
        self._at = [0.0, 0.0, 0.0, 0.0]
        """Where the newest step is on `AXES`."""
        self._before = list(self._at)
        """Where that was before the first step that it has."""
        self.gpus: list[str] = []
        """What the figures of each GPU or MIG instance that was seen begin with: `gpu0`."""
        """Indexes, in the order of the machine's figures."""
        self._tasks: list[str] = []
        self._sampled = 0.0
        """When the machine was sampled last."""
        self._valued: dict[str, tuple[tuple[int, int], list[str]]] = {}
        """By group, when it was looked for last, the figures that have a value."""
        self._drawn: dict[object, array[float]] = {}
        """Where the machine's buckets begin on another axis than time."""

    def feed(self, records: Iterable[Record]) -> None:
        """Take in more of the run's own log."""
        for record in records:
            # What no writer of ours has written is passed over.
            with suppress(TypeError, ValueError, AttributeError, OverflowError):
                self._take(record, record.event)

    def feed_samples(self, samples: Iterable[tuple[float, Sampled]]) -> None:
        """Take in more samples of the machine, each with its unix time."""
        for at, sample in samples:
            with suppress(TypeError, ValueError, AttributeError, OverflowError):
                self.add_sample(at, sample.host, sample.gpus)

    def feed_supervision(self, records: Iterable[Record]) -> None:
        """Take in what else the supervisor noted: the beginnings of alarms are marked."""
        for record in records:
            event = record.event
            if isinstance(event, Alarm) and not event.over:
                with suppress(TypeError, ValueError, OverflowError):
                    text = f"{event.name}: {event.text}"
                    self.noted.add("alarm", event.since_step, event.since_time, text)

    @property
    def marks(self) -> list[Mark]:
        """What is to be marked, in the order of time."""
        return list(self.noted)

    def place(self, mark: Mark, x: str) -> float:
        """Where a mark is on an axis."""
        if x == "time":
            return mark.time
        return float(mark.step) if x == "step" else self.training.at("step", mark.step, x)

    def line(
        self,
        group: str,
        figure: str,
        x: str = "step",
        left: float | None = None,
        right: float | None = None,
    ) -> Line:
        """A figure of `training`, `validation` or `machine` over an axis of `AXES`: the buckets
        from `left` to `right`, and one beyond on either side.

        Raises KeyError for a figure that there is none of so far.
        """
        if group != "machine" or x == "time":
            track: Track = getattr(self, group)
            return track.line(figure, x, left, right)
        if self.span() is None:
            return Line.of(())  # nobody knows where on it the samples are
        times = [
            None if value is None else self.training.at(x, value, "time") for value in (left, right)
        ]
        drawn = self.machine.line(figure, "time", *times)
        where = self.machine.between("time", *times)
        return Line(self._converted(x, where), drawn.low, drawn.high, drawn.mean)

    def figures(self, group: str) -> list[str]:
        """The figures of `training`, `validation` or `machine` that have a value somewhere."""
        track: Track = getattr(self, group)
        key = (track.added, track.cuts)
        if group not in self._valued or self._valued[group][0] != key:
            # Every chart of a screen asks for it.
            found = [name for name in track.figures if track.extremes(name) is not None]
            self._valued[group] = (key, found)
        return self._valued[group][1]

    def span(self, x: str = "step") -> tuple[float, float] | None:
        """Where the training begins on an axis and how far it is; None before the first step."""
        return self.training.span(x)

    def add_step(
        self,
        seq: float,
        time: float,
        step: float,
        epoch: float,
        tokens: float,
        seconds: float,
        figures: tuple[float | None, ...],
    ) -> None:
        """One step of the log, `figures` as `TRAINING`; None is a gap.

        Raises TypeError, ValueError or OverflowError for what is no number, and adds nothing.
        """
        values = [math.nan if value is None else float(value) for value in figures]
        seq, time, step, epoch = float(seq), float(time), float(step), float(epoch)
        if step - step or tokens - tokens:
            raise ValueError("not finite")
        if not values[3] and seconds:
            values[3] = tokens / seconds
        if step <= self._at[0]:
            # The log doesn't say that it was resumed; the last counts all the same.
            self.training.cut_after(step - 1)
            self._at = self._reached()
        _, done, epochs, latest = self._at
        # No axis goes back, whatever a clock does.
        self._at = [
            step,
            done + tokens,
            epoch if epoch > epochs else epochs,
            time if time > latest else latest,
        ]
        self.training.add((*self._at, seq), values)

    def go_on_from(self, at: list[float]) -> None:
        """Be the history of a part of a run: so far was it on `AXES` before."""
        self._before, self._at = list(at), list(at)

    def add_unseen(self, tokens: float) -> None:
        """Count tokens of steps that weren't looked at."""
        self._at[1] += tokens

    def add_sample(self, at: float, host: Mapping[str, Any], gpus: Iterable[Any]) -> None:
        """One sample of the machine, as `Sampled` has it."""
        at = self._sampled = max(self._sampled, float(at))
        values = [_number(host.get(name)) for name in HOST]
        seen = {_label(gpu): gpu for gpu in gpus if isinstance(gpu, dict)}
        for label in seen:
            if label and label not in self.gpus and len(self.gpus) < _GPUS:
                self.gpus.append(label)
                for name in GPU:
                    self.machine.widen(f"{label}.{name}")
        for label in self.gpus:
            gpu = seen.get(label, {})
            values += [_number(gpu.get(name)) for name in GPU]
        self.machine.add((at,), values)

    def _take(self, record: Record, event: Event) -> None:
        match event:
            case Step():
                self.add_step(
                    record.seq,
                    record.time,
                    event.step,
                    event.epoch,
                    event.tokens,
                    event.seconds,
                    (
                        event.loss,
                        event.learning_rate,
                        event.gradient_norm,
                        event.tokens_per_second,
                        event.allocated,
                        event.reserved,
                        event.memory,
                    ),
                )
            case Started():
                self._start(record, event)
            case Evaluated():
                self._evaluate(record, event)
            case CheckpointSaved(step=step, reason=reason):
                self.training.keep_apart()
                self.noted.add("checkpoint", step, record.time, reason)
            case Spiked(step=step, loss=loss):
                self.noted.add("spike", step, record.time, "", _finite(loss))
            case Skipped(step=step, what=what):
                self.noted.add("skipped", step, record.time, what)

    def _start(self, record: Record, event: Started) -> None:
        if self.starts:
            self.noted.add("resume", event.resumed_from, record.time)
        self.starts.append(record)
        if len(self.starts) > _STARTS:
            del self.starts[1]
        # From the start it is all done again, the loss of the untrained model as well.
        kept = event.resumed_from or -1
        self.training.cut_after(kept)
        self.validation.cut_after(kept)
        self.noted.cut_after(kept)
        self.evaluations = [r for r in self.evaluations if _evaluated(r).step <= kept]
        self._at = self._reached()

    def _reached(self) -> list[float]:
        """Where the training is on `AXES`."""
        spans = [self.training.span(axis) for axis in AXES]
        return [span[1] if span else at for span, at in zip(spans, self._before, strict=True)]

    def _evaluate(self, record: Record, event: Evaluated) -> None:
        self.noted.add("evaluation", event.step, record.time, "", _finite(event.loss))
        for name in sorted(event.tasks):
            if name not in self._tasks and len(self._tasks) < _TASKS:
                self._tasks.append(name)
                self.validation.widen(f"loss.{name}")
        losses = [_number(event.loss)]
        losses += [_number(event.tasks.get(name, {}).get("loss")) for name in self._tasks]
        last = self.validation.span("step")
        if last is not None and event.step < last[1]:
            self.validation.cut_after(event.step - 1)
        before = self.validation.span("time")
        time = max(self._at[3], record.time, before[1] if before else 0.0)
        # It is of the newest step, but for the first, of the untrained model.
        at = (float(event.step), self._at[1], self._at[2], time, float(record.seq))
        self.validation.add(at, losses)
        self.evaluations.append(record)
        if len(self.evaluations) > _EVALUATIONS:
            self._thin_evaluations()

    def _thin_evaluations(self) -> None:
        """Drop every other one of the older half, but the best."""
        best = min(self.evaluations, key=lambda r: _evaluated(r).loss)
        half = len(self.evaluations) // 2
        older = [r for i, r in enumerate(self.evaluations[:half]) if i % 2 or r is best]
        self.evaluations[:half] = older

    def state(self) -> tuple[dict[str, Any], list[array[float]]]:
        """All of it, as what JSON takes and as columns; for the cache."""
        tracks = [track.state() for track in self._tracks()]
        told = {
            "tracks": [body for body, _ in tracks],
            "marks": [astuple(mark) for mark in self.noted.kept()],
            "evaluations": [_told(record) for record in self.evaluations],
            "starts": [_told(record) for record in self.starts],
            "at": self._at,
            "gpus": self.gpus,
            "tasks": self._tasks,
            "sampled": self._sampled,
        }
        return told, [column for _, columns in tracks for column in columns]

    @classmethod
    def of_state(cls, told: dict[str, Any], columns: Iterator[array[float]]) -> History:
        """What `state` gave."""
        history = cls()
        history.training, history.validation, history.machine = (
            Track.of_state(body, columns) for body in told["tracks"]
        )
        for mark in told["marks"]:
            history.noted.put_back(Mark(*mark))
        history.evaluations = [_record(line) for line in told["evaluations"]]
        history.starts = [_record(line) for line in told["starts"]]
        history._at, history._sampled = told["at"], told["sampled"]
        history.gpus, history._tasks = told["gpus"], told["tasks"]
        return history

    def _tracks(self) -> tuple[Track, Track, Track]:
        return self.training, self.validation, self.machine

    def _converted(self, x: str, where: slice) -> array[float]:
        key = (
            x,
            where.start,
            where.stop,
            self.machine.added,
            self.training.added,
            self.training.cuts,
        )
        if key not in self._drawn:
            # One view is drawn at a time, of several figures.
            self._drawn = {
                key: self.training.convert("time", self.machine.begins("time", where), x)
            }
        return self._drawn[key]


def _evaluated(record: Record) -> Evaluated:
    return cast(Evaluated, record.event)


def _told(record: Record) -> str:
    return encode(record.event, record.seq, record.time).decode("utf-8")


def _record(line: str) -> Record:
    record = decode(line.encode("utf-8"))
    if record is None:
        raise ValueError("no event of this release")
    return record


def _label(gpu: Mapping[str, Any]) -> str:
    """`gpu0`, `gpu0mig1`; empty for what isn't known by number."""
    index, part = gpu.get("index"), gpu.get("mig")
    if not isinstance(index, int):
        return ""
    return f"gpu{index}mig{part}" if isinstance(part, int) else f"gpu{index}"


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if math.isfinite(number) else None


def _number(value: Any) -> float:
    """NaN for what is none."""
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    return math.nan
