"""NVIDIA GPUs by NVML. Every metric is a value or None: containers, MIG and old cards
leave some out, and a GPU can fall off the bus while one looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pynvml

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment."""

    index: int
    name: str | None
    uuid: str | None
    memory_used: int | None
    """Bytes, of all processes."""
    memory_total: int | None
    memory_of_run: int | None
    """Bytes held by the run's own process; None where the driver doesn't tell."""
    utilization: int | None
    """Percent of the last sample period in which a kernel ran."""
    power: float | None
    """Watts."""
    power_limit: float | None
    temperature: int | None
    """Degrees Celsius."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU."""

    pid: int
    memory: int | None
    """Bytes; None where the driver doesn't tell."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who is on a GPU, and what is left of it."""

    index: int
    uuid: str | None
    total: int | None
    """Bytes."""
    free: int | None
    processes: tuple[GpuProcess, ...]
    """Those that the driver tells of: in a container, often only its own."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability: (8, 0) is Ampere's first."""


class Nvml:
    """The driver's management library, opened once."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why there are no GPUs to show, in words; None when there are."""
        self.installed = True
        """Whether this machine has the library: then it should have GPUs as well."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            self.installed = False
            self.reason = "There is no NVIDIA driver on this machine."
        except pynvml.NVMLError as error:
            self.reason = f"The NVIDIA driver does not answer: {error}."

    def sample(self, pid: int | None = None) -> list[Gpu]:
        """Every GPU as it is now; `pid` is the run's process. Empty without a driver."""
        if self.reason is not None:
            return []
        count = _or_none(pynvml.nvmlDeviceGetCount) or 0
        return [_sample(index, pid) for index in range(count)]

    def occupancy(self) -> list[Occupancy]:
        """What is free on every GPU, in the order of the bus. Empty without a driver."""
        if self.reason is not None:
            return []
        count = _or_none(pynvml.nvmlDeviceGetCount) or 0
        return [_occupancy(index) for index in range(count)]

    def driver(self) -> str | None:
        """The driver's version."""
        return None if self.reason else _text(_or_none(pynvml.nvmlSystemGetDriverVersion))


def _or_none(call: Callable[..., _T], *arguments: Any) -> _T | None:
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _sample(index: int, pid: int | None) -> Gpu:
    handle = _or_none(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Gpu(index, *(None,) * 9)
    memory: Any = _or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates: Any = _or_none(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return Gpu(
        index=index,
        name=_text(_or_none(pynvml.nvmlDeviceGetName, handle)),
        uuid=_text(_or_none(pynvml.nvmlDeviceGetUUID, handle)),
        memory_used=memory and int(memory.used),
        memory_total=memory and int(memory.total),
        memory_of_run=_memory_of(handle, pid),
        utilization=rates and int(rates.gpu),
        power=_watts(_or_none(pynvml.nvmlDeviceGetPowerUsage, handle)),
        power_limit=_watts(_or_none(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        temperature=_or_none(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
    )


def _occupancy(index: int) -> Occupancy:
    handle = _or_none(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Occupancy(index, None, None, None, ())
    memory: Any = _or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)
    processes: Any = _or_none(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return Occupancy(
        index=index,
        uuid=_text(_or_none(pynvml.nvmlDeviceGetUUID, handle)),
        total=memory and int(memory.total),
        free=memory and int(memory.total - memory.used),
        processes=tuple(GpuProcess(int(p.pid), p.usedGpuMemory) for p in processes or ()),
        capability=_or_none(pynvml.nvmlDeviceGetCudaComputeCapability, handle),
    )


def _memory_of(handle: Any, pid: int | None) -> int | None:
    processes: Any = _or_none(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if pid is None or processes is None:
        return None
    used = [p.usedGpuMemory for p in processes if p.pid == pid]
    if None in used:
        return None
    return int(sum(used))


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _text(value: Any) -> str | None:
    # Older drivers' bindings give bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value
