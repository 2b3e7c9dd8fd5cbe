"""A run's machine and its log in words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from screens.widgets.gauge import bar, size
from workbench.hardware.gpu import Gpu, against, devices
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    CommandTaken,
    Failed,
    Finished,
    Notice,
    Paused,
    Record,
    Sampled,
    WentOn,
)
from workbench.text import visible
from workbench.tracking.view import duration
from workbench.tracking.words import words

if TYPE_CHECKING:
    from workbench.planning.room import Room

_ONE_BY_ONE = 4
"""GPUs up to which each has its remarks on a line of its own: the chart needs its lines, too."""


def machine(sample: Sampled, *, ascii: bool, room: Room | None = None) -> Text:
    """GPUs, or why there are none; then the host. N/A is what isn't told.

    A line that begins with `!` says what is remarkable.
    """
    out = Text(no_wrap=True)
    gpus = [Gpu.of(body) for body in sample.gpus]
    for gpu in gpus:
        out.append(_gpu(gpu, ascii=ascii) + "\n")
        if len(gpus) <= _ONE_BY_ONE and (remarks := gpu.remarks()):
            out.append(f"! {gpu.label} {visible('; '.join(remarks))}\n")
    if len(gpus) > _ONE_BY_ONE and (short := _remarkable(gpus)):
        out.append(f"! {short}\n")
    if sample.gpu_reason:
        out.append(f"{visible(sample.gpu_reason)}\n", "dim")
    host = sample.host
    load = "N/A" if host["load1"] is None else host["load1"]
    out.append(
        f"host {_host_memory(host, ascii=ascii)}, run {size(host['rss'])}"
        f"  load {load}/{host['cpus']}  disk {size(host['disk_free'])} free"
    )
    if (text := _disk(host["disk_free"], room)) and room is not None:
        short_of_it = (room.rest or room.checkpoint or 0) > (host["disk_free"] or 0)
        out.append(f"\n! too little disk: {text}" if short_of_it else f", {text}")
    return out


def machine_line(sample: Sampled, *, ascii: bool, room: Room | None = None) -> Text:
    """All GPUs together, what is remarkable of them, and the host, in one line."""
    parts = []
    if sample.gpus:
        everything = [Gpu.of(body) for body in sample.gpus]
        gpus = devices(everything)
        used, total = (
            _sum(getattr(g, f"memory_{what}") for g in gpus) for what in ("used", "total")
        )
        busy = _sum(gpu.utilization for gpu in gpus)
        parts.append(f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}")
        parts.append(f"{bar(_share(used, total), 8, ascii=ascii)} {_of(used, total)}")
        parts.append("N/A" if busy is None else f"{busy // len(gpus)} %")
        if short := _remarkable(everything):
            parts.append(f"! {short}")
    free = sample.host["disk_free"]
    if room is not None and free is not None and (room.rest or room.checkpoint or 0) > free:
        parts.append(f"! disk {size(free)} free")
    parts.append(f"host {_host_memory(sample.host, ascii=ascii)}")
    return Text("  ".join(parts), no_wrap=True)


def _remarkable(gpus: list[Gpu]) -> str:
    """The gravest of each GPU, in few words."""
    told = [(gpu, gpu.in_short()) for gpu in gpus]
    return ", ".join(f"{gpu.label} {text}" if len(gpus) > 1 else text for gpu, text in told if text)


def _disk(free: int | None, room: Room | None) -> str:
    """What is to be written yet, against what is free."""
    if room is None or room.checkpoint is None or free is None:
        return ""
    rest = "" if room.rest is None else f", {size(room.rest)} to come"
    return f"next checkpoint {size(room.checkpoint)}{rest}"


def _sum(values: Iterable[int | None]) -> int | None:
    """None when one of them isn't told."""
    told = list(values)
    return None if None in told else sum(value or 0 for value in told)


def _host_memory(host: dict[str, Any], *, ascii: bool) -> str:
    used, total = host.get("memory_limit_used"), host["memory_limit"]
    if used is None:  # no limit, or a sample of an earlier release
        used, total = host["memory_used"], host["memory_total"]
    return f"{bar(_share(used, total), 8, ascii=ascii)} {_of(used, total)}"


def _of(used: int | None, total: int | None) -> str:
    """`7.3 of 23.5 GiB`: in 80 columns each cell counts."""
    part, whole = size(used), size(total)
    same = part.partition(" ")[2] == whole.partition(" ")[2]
    return f"{part.partition(' ')[0] if same else part} of {whole}"


def _gpu(gpu: Gpu, *, ascii: bool) -> str:
    used, total = gpu.memory_used, gpu.memory_total
    drawn = bar(_share(used, total), 8, ascii=ascii)
    busy = "N/A" if gpu.utilization is None else f"{gpu.utilization} %"
    memory = f"{drawn} {_of(used, total)} (run {size(gpu.memory_of_run)})"
    power, heat = against(gpu.power, gpu.power_limit, "W"), against(gpu.temperature, None, "°C")
    # The name last: it is what may be cut off.
    name = visible(gpu.name or "N/A")
    return f"{gpu.label} {memory}  {busy}  {power}  {heat}  {name}"


def _share(used: int | None, total: int | None) -> float:
    return used / total if used is not None and total else 0.0


def memory_used(sample: Sampled) -> float:
    """Bytes used on the first GPU, else by the run's process on the host; NaN if not told."""
    for gpu in sample.gpus:  # not by `Gpu.of`: it is asked of thousands of samples at a time
        if not gpu.get("instances"):
            return math.nan if gpu["memory_used"] is None else float(gpu["memory_used"])
    rss = sample.host["rss"]
    return math.nan if rss is None else float(rss)


def log_lines(record: Record) -> list[str]:
    """What a person is told of an event; nothing of steps and progress."""
    at = time.strftime("%H:%M:%S", time.localtime(record.time))
    match record.event:
        case Notice(text):
            said = text
        case CheckpointSaved(_, path, reason):
            said = f"checkpoint {path} saved ({reason})"
        case CommandTaken(_, command, value, refused):
            said = f"asked for: {_command(command, value)}"
            said += f", refused: {refused}" if refused else ""
        case CommandHandled(_, command, value):
            said = f"command {_command(command, value)} taken up"
        case Paused(step):
            said = f"paused after step {step}" if step else "paused"
        case WentOn(seconds):
            said = f"goes on after a pause of {duration(seconds)}"
        case Finished(stopped, preempted=preempted):
            said = "pre-empted" if preempted else "stopped" if stopped else "finished"
        case Failed(_, text, hint):
            said = f"failed: {text}\n{hint}"
        case event:
            said = words(event)
    if not said:
        return []
    first, *more = visible(said.strip()).split("\n")
    return [f"{at}  {first}", *(f"          {line.strip()}" for line in more)]


def _command(name: str, value: int | None) -> str:
    words = name.replace("_", " ")
    return words if value is None else f"{words} {value}"
