"""Logs of runs for the tests, as the training and its supervisor write them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from workbench.history.cache import Exact, pack
from workbench.history.history import History
from workbench.history.logs import Logs
from workbench.jobs.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    Sampled,
    Started,
    Step,
    encode,
)

BEGUN = 1.7e9
GIB = 1 << 30


def started(resumed_from: int = 0) -> Started:
    return Started(1000, 2.0, 8, 2, 800, 10, 100, "cuda", "bfloat16", resumed_from)


def step(number: int, loss: float = math.nan, tokens: int = 100) -> Step:
    """A step; without a loss it has one of its own."""
    if math.isnan(loss):
        loss = 2 + (number * 7919 % 1000) / 1000
    return Step(number, number / 500, loss, 1e-4, 1.0, tokens, 50, 0.5, 200.0, 3 * GIB, 2 * GIB)


def sampled(used: int, gpus: int = 1) -> Sampled:
    gpu = {"memory_used": used, "utilization": 90, "power": 250.5, "temperature": 60}
    host = {"rss": 5 * GIB, "memory_used": 9 * GIB, "cpu_percent": 12.5, "load1": 1.0}
    return Sampled(host, [{"index": i, **gpu, "memory_of_run": None} for i in range(gpus)], None)


def lines(
    events: Iterable[Event], first: int = 0, begun: float = BEGUN, every: float = 1.0
) -> bytes:
    """Events as a log has them, one each so many seconds."""
    return b"".join(
        encode(event, first + place, begun + place * every) for place, event in enumerate(events)
    )


def steps(count: int, first: int = 1) -> list[Event]:
    """Steps, a validation and a checkpoint every hundred."""
    events: list[Event] = []
    for number in range(first, first + count):
        events.append(step(number))
        if number % 100 == 0:
            events.append(Evaluated(number, 2.0 + 1 / number, 2, 20, 7.4))
            events.append(CheckpointSaved(number, f"checkpoints/{number}", "save", 10))
    return events


def make(folder: Path, training: bytes, machine: bytes = b"") -> Logs:
    """The logs of a run in its folder."""
    logs = Logs(folder, folder / "train.jsonl", folder / "host.jsonl")
    logs.training.write_bytes(training)
    if machine:
        logs.machine.write_bytes(machine)
    return logs


def content(history: History, logs: Logs) -> bytes:
    """All that a history holds."""
    return pack(Exact(history), logs.training, logs.machine)
