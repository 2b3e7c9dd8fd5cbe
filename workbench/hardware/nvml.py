"""NVIDIA GPUs by NVML. Every metric is a value or None: containers, MIG and old cards
leave some out, and a GPU can fall off the bus while one looks."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import pynvml

from workbench.hardware.gpu import GONE, LOST, Gpu, GpuProcess
from workbench.hardware.nvml_device import Asking, Device, instances, processes_of, text

_EVENTS = 64
"""Faults that are read at one look, at most."""
_NOT_ANSWERING = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "its kernel module isn't loaded",
    pynvml.NVML_ERROR_NO_PERMISSION: "this person may not open /dev/nvidiactl",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "its library and its kernel module are of different versions, as after an update: "
        "reboot, or load the module anew"
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "its library is too old for these bindings",
    pynvml.NVML_ERROR_GPU_IS_LOST: "a GPU has fallen off the bus: reboot",
}
"""Why the driver may be there and not answer."""


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
        self._seen: dict[int, Device] = {}
        self._events: Any = None
        self._watched: dict[int | None, int] = {}
        """The indices of the GPUs whose faults are told, by their handles' addresses."""
        self._looks = 0
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            self.installed = False
            self.reason = "There is no NVIDIA driver on this machine."
        except pynvml.NVMLError as error:
            why = _NOT_ANSWERING.get(error.value, str(error))
            self.reason = f"The NVIDIA driver does not answer: {why}."

    def watch(self) -> None:
        """From now on, samples tell the faults (Xid) that the driver reports.

        By NVML's events and not by the kernel's log, which most people may not read and which
        knows GPUs by another name.
        """
        asking = Asking()
        if self.reason is not None:
            return
        self._events = asking(pynvml.nvmlEventSetCreate)
        for index in range(self._count() if self._events is not None else 0):
            handle = asking(pynvml.nvmlDeviceGetHandleByIndex, index)
            kind = pynvml.nvmlEventTypeXidCriticalError
            registering = Asking()
            registering(pynvml.nvmlDeviceRegisterEvents, handle, kind, self._events)
            if handle is not None and not registering.refused:
                self._watched[_address(handle)] = index

    def sample(self, run: Collection[int] | None = None, *, wait: bool = False) -> list[Gpu]:
        """Every GPU as it is now, each with its MIG instances after it. Empty without a driver.

        `run` are the run's processes. A GPU that was there and isn't any more stays in the list.
        Traffic over PCIe is the mean since the sample before. With `wait` it is measured where
        there was none, which takes the driver 40 ms a GPU.
        """
        if self.reason is not None:
            return []
        count = self._count()
        faults = self._faults()
        gpus: list[Gpu] = []
        for index in range(max(count, *(n + 1 for n in self._seen), 0)):
            told = self._whole(index, index < count, run, measure=wait or self._turn(index, count))
            codes = tuple(faults.get(index, ())) if index in self._watched.values() else None
            gpus.append(replace(told[0], xids=codes))
            gpus += told[1:]
        self._looks += 1
        return gpus

    def occupancy(self) -> list[Occupancy]:
        """What is free on every GPU, in the order of the bus. Empty without a driver."""
        return [] if self.reason else [_occupancy(index) for index in range(self._count())]

    def driver(self) -> str | None:
        """The driver's version."""
        return None if self.reason else text(Asking()(pynvml.nvmlSystemGetDriverVersion))

    def _count(self) -> int:
        return int(Asking()(pynvml.nvmlDeviceGetCount) or 0)

    def _turn(self, index: int, count: int) -> bool:
        """Whether what the driver takes long to measure is measured on this GPU now: one a look."""
        return bool(self._looks) and self._looks % max(1, count) == index

    def _whole(
        self, index: int, listed: bool, run: Collection[int] | None, *, measure: bool
    ) -> list[Gpu]:
        """A GPU and its instances."""
        asking = Asking()
        handle = asking(pynvml.nvmlDeviceGetHandleByIndex, index) if listed else None
        uuid = text(asking(pynvml.nvmlDeviceGetUUID, handle)) if handle is not None else None
        before = self._seen.get(index)
        if handle is None or asking.state == LOST:
            state = asking.state if listed else GONE
            name, known = (before.name, before.uuid) if before else (None, None)
            return [replace(_unknown(index, name, uuid or known), state=state)]
        if before is None or (uuid is not None and before.uuid != uuid):
            before = Device(index, uuid)
            if uuid is not None:
                # What has no name of its own isn't known again.
                self._seen[index] = before
        gpu = before.sample(handle, run, asking, measure=measure)
        parts = instances(index, handle, run, asking) if before.split else []
        return [replace(gpu, instances=len(parts), state=asking.state), *parts]

    def _faults(self) -> dict[int, list[int]]:
        """The Xid codes since the look before, by GPU."""
        found: dict[int, list[int]] = {}
        for _ in range(_EVENTS if self._watched else 0):
            # At its end it raises that nothing came in time.
            event: Any = Asking()(pynvml.nvmlEventSetWait, self._events, 0)
            if event is None:
                break
            index = self._watched.get(_address(event.device))
            if index is not None and event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                found.setdefault(index, []).append(int(event.eventData))
        return found


def _unknown(index: int, name: str | None, uuid: str | None) -> Gpu:
    return Gpu(index, name, uuid, *(None,) * 7)


def _address(handle: Any) -> int | None:
    try:
        return ctypes.cast(handle, ctypes.c_void_p).value
    except (ctypes.ArgumentError, TypeError):
        return None


def _occupancy(index: int) -> Occupancy:
    asking = Asking()
    handle = asking(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Occupancy(index, None, None, None, ())
    memory: Any = asking(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Occupancy(
        index=index,
        uuid=text(asking(pynvml.nvmlDeviceGetUUID, handle)),
        total=memory and int(memory.total),
        free=memory and int(memory.total - memory.used),
        processes=tuple(GpuProcess(pid, used) for pid, used in processes_of(handle, asking) or ()),
        capability=asking(pynvml.nvmlDeviceGetCudaComputeCapability, handle),
    )
