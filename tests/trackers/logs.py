"""Logs of runs, written as a run and its supervisor write them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from workbench.jobs.events import Evaluated, Sampled, Started, Step

HOST = {"rss": 3 << 20, "cpu_percent": 50.0, "memory_used": 5 << 20}
GPU = {"index": 1, "utilization": 90, "memory_used": 7 << 20, "power": 300.5, "temperature": None}
SAMPLE = Sampled(HOST, [GPU], None)


def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second between two lines of a log: the steps of a test take no time."""
    moments = itertools.count(1_795_690_000, 0.5)
    clock = SimpleNamespace(time=lambda: next(moments))
    monkeypatch.setattr("workbench.jobs.log.time", clock)


def started(resumed_from: int = 0) -> Started:
    return Started(9, 1.0, 8, 2, 100, 10, 1000, "CPU", "float32", resumed_from)


def step(number: int, loss: float) -> Step:
    return Step(number, number / 9, loss, 1e-4, 1.5, 100, 40, 0.5, 200.0)


def evaluated(number: int, loss: float) -> Evaluated:
    tasks = {"": {"loss": loss, "rows": 1}, "sums (1)": {"loss": None, "rows": 1}}
    return Evaluated(number, loss, 2, 20, None, tasks)
