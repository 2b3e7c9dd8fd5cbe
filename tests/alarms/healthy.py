"""Healthy runs, made up: curves with the shapes and the noise of real ones, each by its seed.

As in the real curves beside this file, a step's loss scatters by some percent where it has many
trained tokens, and by some 30 % where it has few (four short rows).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from workbench.jobs.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    Progress,
    Record,
    Sampled,
    Spiked,
    Started,
    Step,
)
from workbench.training.spikes import Spikes

GIB = 1 << 30
START = 1.7e9
"""Unix seconds."""


def started(total: int, resumed_from: int = 0) -> Started:
    return Started(
        total, 3.0, 1000, 100, 10**6, 10**7, 10**9, "cuda", "bfloat16", resumed_from=resumed_from
    )


def sample(**changes: Any) -> Sampled:
    """One of a machine with one GPU, at ease; `changes` are of the host or of the GPU."""
    host: dict[str, Any] = {
        "memory_used": 20 * GIB,
        "memory_total": 128 * GIB,
        "memory_limit": None,
        "memory_limit_used": None,
        "load1": 2.0,
        "cpus": 16,
        "cpu_percent": 10.0,
        "disk_free": 500 * GIB,
        "rss": 4 * GIB,
    }
    gpu: dict[str, Any] = {
        "index": 0,
        "uuid": "GPU-0",
        "memory_used": 40 * GIB,
        "memory_total": 80 * GIB,
        "memory_of_run": 40 * GIB,
        "utilization": 95,
        "temperature": 65,
    }
    for name, value in changes.items():
        (host if name in host else gpu)[name] = value
    return Sampled(host, [gpu], None)


def run(seed: int) -> Iterator[Record]:
    """The events and samples of one healthy run, in the order of time."""
    at = START
    for number, (after, event) in enumerate(_events(Random(seed))):
        at += after
        yield Record(number, at, event)


def _events(random: Random) -> Iterator[tuple[float, Event]]:
    """Each with the seconds since the one before."""
    total = int(10 ** random.uniform(1.9, 3.6))
    final = random.uniform(0.6, 2.2)
    gain = final * random.uniform(0.15, 1.2)
    bend = total * random.uniform(0.02, 0.15)
    noise = random.uniform(0.03, 0.35)
    epochs = random.choice((1, 1, 2, 3))
    drop = random.uniform(0.0, 0.08)
    """Of the training loss, where the rows come again."""
    every = max(1, total // random.randint(4, 25))
    peak = 10 ** random.uniform(-4.5, -3.3)
    warmup = max(1, round(total * random.uniform(0.0, 0.1)))
    cosine = random.random() < 0.7
    norm, norm_noise = random.uniform(0.1, 3.0), random.uniform(0.15, 0.5)
    rate, tokens, uneven = (
        random.uniform(2000, 40000),
        random.uniform(2000, 16000),
        random.uniform(0.05, 0.5),
    )
    fixed = random.choice((0.05, random.uniform(0.0, 4.0)))
    """Seconds of a step however many its tokens."""
    rss, grown = random.uniform(2, 8) * GIB, random.uniform(0, 3) * GIB
    heat, busy = random.uniform(50, 80), random.uniform(75, 99)
    spikes = Spikes()
    yield 0.0, started(total)
    yield 5.0, Evaluated(0, final + gain, 100, 10000)
    since_sample = now = 0.0
    for step in range(1, total + 1):
        learnt = (1 + max(0, step - warmup / 2) / bend) ** -0.7
        epoch = step / total * epochs
        expected = (final + gain * learnt) * (1 - drop) ** int(min(epoch, epochs - 1e-9))
        # Lognormal: a batch that is hard is further off than one that is easy.
        loss = expected * random.lognormvariate(-(noise**2) / 2, noise)
        count = tokens * random.lognormvariate(0, uneven)
        hiccup = 3.0 if random.random() < 0.003 else 1.0
        seconds = (fixed + count / rate) * random.lognormvariate(0, 0.05) * hiccup
        progress = (step - warmup) / max(1, total - warmup)
        shape = (1 + math.cos(math.pi * progress)) / 2 if cosine else 1 - progress
        yield (
            seconds * 1.02,
            Step(
                step=step,
                epoch=epoch,
                loss=loss,
                learning_rate=peak * (min(1.0, step / warmup) if step < warmup else shape),
                gradient_norm=norm * (0.4 + 0.6 * learnt) * random.lognormvariate(0, norm_noise),
                tokens=int(count),
                trained_tokens=int(count / 2),
                seconds=seconds,
            ),
        )
        if (usual := spikes.add(loss)) is not None:
            yield 0.0, Spiked(step, loss, usual, [])
        now += seconds
        since_sample += seconds
        if since_sample >= 2:
            since_sample = 0.0
            yield (
                0.0,
                sample(
                    rss=int(rss + grown * (1 - math.exp(-now / 600)) + random.gauss(0, 0.02) * GIB),
                    utilization=min(100, max(0, round(random.gauss(busy, 8)))),
                    temperature=round(random.gauss(heat, 2)),
                ),
            )
        if step % every == 0:
            yield 0.1, Progress("validation", 1, 1)
            held_out = final + gain * learnt
            yield 3.0, Evaluated(step, held_out * random.gauss(1, 0.003), 100, 10000)
            yield 1.0, CheckpointSaved(step, f"step-{step}", "regular", GIB // 4)
