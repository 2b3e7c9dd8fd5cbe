"""A run's machine and its log in words."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.text import Text

from screens.widgets.gauge import bar, size
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


def machine(sample: Sampled, *, ascii: bool) -> Text:
    """GPUs, or why there are none; then the host. N/A is what isn't told."""
    out = Text(no_wrap=True)
    for gpu in sample.gpus:
        out.append(_gpu(gpu, ascii=ascii) + "\n")
    if sample.gpu_reason:
        out.append(f"{visible(sample.gpu_reason)}\n", "dim")
    host = sample.host
    load = "N/A" if host["load1"] is None else host["load1"]
    out.append(
        f"host {_host_memory(host, ascii=ascii)}, run {size(host['rss'])}"
        f"  load {load}/{host['cpus']}  disk {size(host['disk_free'])} free"
    )
    return out


def machine_line(sample: Sampled, *, ascii: bool) -> Text:
    """All GPUs together and the host, in one line."""
    parts = []
    if gpus := sample.gpus:
        used, total = _sum(gpus, "memory_used"), _sum(gpus, "memory_total")
        busy = _sum(gpus, "utilization")
        parts.append(f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}")
        parts.append(f"{bar(_share(used, total), 8, ascii=ascii)} {size(used)} of {size(total)}")
        parts.append("N/A" if busy is None else f"{busy // len(gpus)} %")
    parts.append(f"host {_host_memory(sample.host, ascii=ascii)}")
    return Text("  ".join(parts), no_wrap=True)


def _sum(gpus: list[dict[str, Any]], name: str) -> int | None:
    """Over all GPUs; None when one of them doesn't tell."""
    values = [gpu[name] for gpu in gpus]
    return None if None in values else sum(values)


def _host_memory(host: dict[str, Any], *, ascii: bool) -> str:
    used, total = host.get("memory_limit_used"), host["memory_limit"]
    if used is None:  # no limit, or a sample of an earlier release
        used, total = host["memory_used"], host["memory_total"]
    return f"{bar(_share(used, total), 8, ascii=ascii)} {size(used)} of {size(total)}"


def _gpu(gpu: dict[str, Any], *, ascii: bool) -> str:
    used, total = gpu["memory_used"], gpu["memory_total"]
    drawn = bar(_share(used, total), 8, ascii=ascii)
    power = "N/A" if gpu["power"] is None else f"{gpu['power']:.0f} W"
    busy = "N/A" if gpu["utilization"] is None else f"{gpu['utilization']} %"
    heat = "N/A" if gpu["temperature"] is None else f"{gpu['temperature']} °C"
    memory = f"{drawn} {size(used)} of {size(total)} (run {size(gpu['memory_of_run'])})"
    # The name last: it is what may be cut off.
    name = visible(gpu["name"] or "N/A")
    return f"GPU {gpu['index']} {memory}  {busy}  {power}  {heat}  {name}"


def _share(used: int | None, total: int | None) -> float:
    return used / total if used is not None and total else 0.0


def memory_used(sample: Sampled) -> float:
    """Bytes used on the first GPU, else by the run's process on the host; NaN if not told."""
    for gpu in sample.gpus:
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
