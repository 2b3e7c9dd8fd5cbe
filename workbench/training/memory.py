"""Memory: what a piece of work took at most, and a lack of it told with what would help."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from workbench.config.memory_advice import Doing, memory_advice
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.hardware.control_groups import memory_group
from workbench.jobs.failure import explain

_SHORT = ("out_of_gpu_memory", "out_of_host_memory")
_RESET_PEAK = "5"
"""What proc(5) takes for forgetting a process's largest resident set."""
_PROCESS = Path("/proc/self")


@contextmanager
def advised(config: RunConfig, doing: Doing) -> Iterator[None]:
    """Raises WorkbenchError with advice where memory runs out inside; the rest goes through."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        failure = explain(error, memory_advice(config, doing))
        if failure.cause not in _SHORT:
            raise
        raise WorkbenchError(failure.text, failure.hint, failure.cause) from error


def is_shortage(error: Exception) -> bool:
    """Whether an exception says that memory was not enough."""
    return explain(error).cause in _SHORT


def forget_peak(device: torch.device) -> None:
    """Begin a new measurement of `peak`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)


def peak(device: torch.device) -> int:
    """Bytes at most since `forget_peak`: what torch reserved on a GPU, or else what the process
    had in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return _status("VmHWM")


def held(device: torch.device) -> int:
    """Bytes now, of what `peak` counts."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return _status("VmRSS")


def host_memory_left() -> int:
    """Bytes that this process can still have, by the machine and by its control group."""
    left = [_kilobytes(Path("/proc/meminfo"), "MemAvailable")]
    group = memory_group()
    limit = group.limit() if group is not None else None
    if limit is not None:
        left.append(max(0, limit.bytes - (limit.used or _status("VmRSS"))))
    return min(left)


def _status(name: str) -> int:
    return _kilobytes(_PROCESS / "status", name)


def _kilobytes(path: Path, name: str) -> int:
    """A figure of one of the kernel's tables, in bytes; 0 where it has none."""
    found = re.search(rf"{name}:\s+(\d+) kB", path.read_text())
    return int(found[1]) * 1024 if found else 0
