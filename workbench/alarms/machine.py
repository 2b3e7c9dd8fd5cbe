"""Rules on the machine: memory, heat, disk."""

from __future__ import annotations

import math
import statistics
from collections import deque
from itertools import pairwise
from typing import Any, ClassVar

from workbench.alarms.rule import OVER, Rule, Seen, Verdict
from workbench.jobs.events import CheckpointSaved, Record, Sampled, Started, Step
from workbench.text import size

MIB = 1 << 20
GIB = 1 << 30


class _Growth:
    """Whether one figure creeps up: the least of each half minute over the last hour."""

    BUCKET = 30.0
    FEWEST, MOST = 20, 120
    """Buckets: ten minutes, an hour."""
    LEAST = 256 * MIB
    SHARE = 0.02
    """Of what there is: growth that is less is not told."""
    SOON = 24 * 3600.0
    """Seconds."""

    def __init__(self) -> None:
        self._buckets: deque[float] = deque(maxlen=self.MOST)
        self._since: float | None = None
        self._least = math.inf

    def add(self, at: float, value: float) -> bool:
        """Whether there is a new bucket to judge."""
        if self._since is None or at < self._since:
            self._since, self._least = at, math.inf
        self._least = min(self._least, value)
        if at - self._since < self.BUCKET:
            return False
        self._buckets.append(self._least)
        self._since, self._least = at, math.inf
        return len(self._buckets) >= self.FEWEST

    def creeps(self, total: float, free: float) -> tuple[float, float, float] | None:
        """Bytes grown, over how many seconds, and seconds until `free` bytes are used up; None
        where it doesn't creep.

        It creeps when each quarter's mean lies above the one's before, by a tenth of all growth
        at least (something that was loaded once is one jump), and the later half rises at no
        less than half the pace of the whole: a cache that fills levels off.
        """
        values = list(self._buckets)
        quarter = len(values) // 4
        parts = [values[i * quarter : (i + 1) * quarter] for i in range(4)]
        means = [statistics.fmean(part) for part in parts]
        grown = means[3] - means[0]
        steadily = all(later - sooner >= grown / 10 for sooner, later in pairwise(means))
        if grown < max(self.LEAST, self.SHARE * total) or not steadily:
            return None
        slope = self._slope(values)
        late = self._slope(values[len(values) // 2 :])
        if slope <= 0 or late < 0.5 * slope:
            return None
        left = max(0.0, free) / late
        return (grown, len(values) * self.BUCKET, left) if left < self.SOON else None

    def rests(self) -> bool:
        """Whether it has stopped growing: the last ten minutes added less than a tenth of LEAST."""
        late = list(self._buckets)[-self.FEWEST :]
        half = len(late) // 2
        return statistics.fmean(late[half:]) - statistics.fmean(late[:half]) < self.LEAST / 10

    def _slope(self, values: list[float]) -> float:
        """Bytes a second, by least squares."""
        fit = statistics.linear_regression(range(len(values)), values)
        return fit.slope / self.BUCKET


class Memory(Rule):
    """The run's memory on the host, or a GPU's, creeps up and will be used up within a day.

    Judged from the first step on.
    """

    name: ClassVar[str] = "memory-creeping"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = "At its end the kernel kills the job, or an allocation on the GPU fails."
    source: ClassVar[str] = "ours: least squares over the last hour, levelling off excepted"

    def reset(self) -> None:
        self._series: dict[str, _Growth] = {}
        self._begun = False
        self._creeping: set[str] = set()

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, Step):
            self._begun = True
        elif isinstance(event, Sampled) and self._begun:
            return self._sample(event, record.time)
        return None

    def _sample(self, sample: Sampled, at: float) -> Verdict:
        verdict: Verdict = None
        for name, used, total, free in _memories(sample):
            growth = self._series.setdefault(name, _Growth())
            if not growth.add(at, used):
                continue
            if found := growth.creeps(total, free):
                self._creeping.add(name)
                verdict = self._seen(name, found, used, total)
            elif name in self._creeping and growth.rests():
                self._creeping.discard(name)
                verdict = verdict or (None if self._creeping else OVER)
        return verdict

    def _seen(
        self, name: str, found: tuple[float, float, float], used: float, total: float
    ) -> Seen:
        grown, seconds, left = found
        return Seen(
            f"{name} grew by {size(int(grown))} in {seconds / 60:.0f} min, to {size(int(used))} of "
            f"{size(int(total))}; at this pace it is full in {_span(left)}.",
            f"`workbench save {self.run}` keeps what there is; `workbench train --resume "
            f"{self.run}` goes on in a fresh process (`--set job.restarts=3` does so by itself).",
        )


def _memories(sample: Sampled) -> list[tuple[str, float, float, float]]:
    """What, bytes used, bytes there are, bytes free; of the host's as far as it is known."""
    host = sample.host
    found = []
    total, used = host.get("memory_total"), host.get("memory_used")
    limit, limit_used = host.get("memory_limit"), host.get("memory_limit_used")
    if limit and limit_used is not None:
        total, used = limit, limit_used
    if host.get("rss") and total and used is not None:
        found.append(("The run's memory on the host", host["rss"], total, total - used))
    for gpu in sample.gpus:
        gpu_total, gpu_used = gpu.get("memory_total"), gpu.get("memory_used")
        if gpu_total and gpu_used is not None:
            name = f"The memory of GPU {gpu.get('index')}"
            found.append(
                (name, gpu.get("memory_of_run") or gpu_used, gpu_total, gpu_total - gpu_used)
            )
    return found


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


THERMAL = ("thermal_hardware", "thermal_software")
"""Reasons of lowered clocks, as hardware samples name them."""


class Heat(Rule):
    """A GPU slows itself down because it is hot, in half of the samples of a minute.

    By the driver's reasons where a sample has them; else by its temperature: at the driver's own
    slowdown temperature less 2 degrees, or 87 degrees where that isn't told.
    """

    name: ClassVar[str] = "thermal-throttling"
    severity: ClassVar[str] = "warning"
    why: ClassVar[str] = "Its clocks are lowered: steps take longer, and the card ages."
    source: ClassVar[str] = (
        "NVML: nvmlClocksEventReason{Hw,Sw}ThermalSlowdown; without them the temperature (87 C: "
        "NVIDIA's slowdown of data-centre cards is at 87 to 93)"
    )
    HOT = 87
    SAMPLES, BEGIN, CLEAR = 30, 0.5, 0.1

    def reset(self) -> None:
        self._hot: dict[Any, deque[bool]] = {}

    def take(self, record: Record) -> Verdict:
        sample = record.event
        if not isinstance(sample, Sampled) or not sample.gpus:
            return None
        hottest, worst = None, 0.0
        for gpu in sample.gpus:
            key = gpu.get("uuid") or gpu.get("index")
            seen = self._hot.setdefault(key, deque(maxlen=self.SAMPLES))
            seen.append(self._is_hot(gpu))
            share = sum(seen) / self.SAMPLES
            if share >= worst:
                hottest, worst = gpu, share
        if hottest is not None and worst >= self.BEGIN:
            heat, clock = hottest.get("temperature"), hottest.get("sm_clock")
            figures = "" if heat is None else f", at {heat} °C"
            if clock and hottest.get("sm_clock_max"):
                figures += f", with clocks of {clock} of {hottest['sm_clock_max']} MHz"
            return Seen(
                f"GPU {hottest.get('index')} was too hot in {worst:.0%} of a minute{figures}.",
                "See to its cooling: fans, dust, air of the neighbour cards. A lower power limit "
                "(`nvidia-smi -pl WATTS`, as root) costs less speed than throttling.",
            )
        return OVER if worst <= self.CLEAR else None

    def _is_hot(self, gpu: dict[str, Any]) -> bool:
        reasons = gpu.get("throttled")
        if reasons is not None:
            return any(reason in THERMAL for reason in reasons)
        heat = gpu.get("temperature")
        slowdown = gpu.get("slowdown_temperature")
        limit = slowdown - 2 if slowdown else self.HOT
        return heat is not None and heat >= limit


class Disk(Rule):
    """What is free is less than the next two checkpoints take, and 256 MiB for logs.

    A new one is whole before an old one is removed. Before the first, one is taken to be 12 bytes
    a trained parameter: weights and AdamW's two moments in 4 bytes each.
    """

    name: ClassVar[str] = "disk-nearly-full"
    severity: ClassVar[str] = "error"
    why: ClassVar[str] = (
        "A checkpoint that doesn't fit ends the run; what was learnt since is lost."
    )
    source: ClassVar[str] = "ours: by the size of the run's own newest checkpoint"
    LOGS = 256 * MIB
    PARAMETER = 12
    CLEAR = 1.5

    def reset(self) -> None:
        self._checkpoint: int | None = None
        self._measured = False

    def begin_again(self, started: Started) -> None:
        if not self._measured:
            self._checkpoint = self.PARAMETER * started.trainable_parameters

    def take(self, record: Record) -> Verdict:
        event = record.event
        if isinstance(event, CheckpointSaved) and event.size is not None:
            self._checkpoint, self._measured = event.size, True
        elif isinstance(event, Sampled) and self._checkpoint is not None:
            free = event.host.get("disk_free")
            return None if free is None else self._judge(free, self._checkpoint)
        return None

    def _judge(self, free: int, checkpoint: int) -> Verdict:
        need = 2 * checkpoint + self.LOGS
        if free >= need:
            return OVER if free >= self.CLEAR * need else None
        how = "takes" if self._measured else "is expected to take"
        fits = max(0, free) // checkpoint if checkpoint else 0
        room = "none fits" if not fits else f"room for {fits}"
        return Seen(
            f"{size(free)} are free where the run is, and a checkpoint {how} {size(checkpoint)}: "
            f"{room}.",
            "Free some room now: remove old runs' checkpoints (`du -sh` of the workspace's "
            "`runs/*/checkpoints`). Next time `--set checkpoints.keep=1`, or a larger "
            "`checkpoints.every`.",
        )
