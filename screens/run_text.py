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
    Evaluated,
    Failed,
    Finished,
    Notice,
    Record,
)
from workbench.text import visible

Sample = dict[str, Any]
"""A line of `host.jsonl`."""


def machine(sample: Sample, *, ascii: bool) -> Text:
    """GPUs, or why there are none; then the host. N/A is what isn't told."""
    out = Text(no_wrap=True)
    for gpu in sample["gpus"]:
        out.append(_gpu(gpu, ascii=ascii) + "\n")
    if sample["gpu_reason"]:
        out.append(f"{visible(sample['gpu_reason'])}\n", "dim")
    host = sample["host"]
    total = host["memory_limit"] or host["memory_total"]
    drawn = bar(_share(host["memory_used"], total), 8, ascii=ascii)
    load = "N/A" if host["load1"] is None else host["load1"]
    out.append(
        f"host {drawn} {size(host['memory_used'])} of {size(total)}, run {size(host['rss'])}"
        f"  load {load}/{host['cpus']}  disk {size(host['disk_free'])} free"
    )
    return out


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


def memory_used(sample: Sample) -> float:
    """Bytes used on the first GPU, else by the run's process on the host; NaN if not told."""
    for gpu in sample["gpus"]:
        return math.nan if gpu["memory_used"] is None else float(gpu["memory_used"])
    rss = sample["host"]["rss"]
    return math.nan if rss is None else float(rss)


def log_lines(record: Record) -> list[str]:
    """What a person is told of an event; nothing of steps and progress."""
    at = time.strftime("%H:%M:%S", time.localtime(record.time))
    match record.event:
        case Notice(text):
            said = text
        case CheckpointSaved(_, path, reason):
            said = f"checkpoint {path} saved ({reason})"
        case CommandHandled(_, command):
            said = f"command {command}"
        case Evaluated(step, loss):
            said = f"validation loss {loss:.4f} after step {step}"
        case Finished(stopped):
            said = "stopped" if stopped else "finished"
        case Failed(_, text, hint):
            said = f"failed: {text}\n{hint}"
        case _:
            return []
    first, *more = visible(said.strip()).split("\n")
    return [f"{at}  {first}", *(f"          {line.strip()}" for line in more)]
