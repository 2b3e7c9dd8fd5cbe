"""One GPU asked by NVML: what is asked each time, and what is known from before."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from workbench.hardware.gpu import LOST, RESET_REQUIRED, Gpu, GpuProcess, throttles
from workbench.hardware.kernel_log import pids_are_the_kernels

_FACTS_FOR = 15
"""Samples for which what hardly changes is taken as it was: half a minute."""
_KIB = 1024
_STATES = {
    pynvml.NVML_ERROR_GPU_IS_LOST: LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: RESET_REQUIRED,
}
_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""The members of nvmlValue_t, by nvmlValueType_t."""
_ECC = (
    pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL,
    pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL,
    pynvml.NVML_FI_DEV_ECC_SBE_AGG_TOTAL,
    pynvml.NVML_FI_DEV_ECC_DBE_AGG_TOTAL,
)
_PCIE = (pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES)
_NVLINK = (
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
)
_NVLINK_ERRORS = (
    pynvml.NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL,
    pynvml.NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL,
    pynvml.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL,
    pynvml.NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL,
)
_Field = int | tuple[int, int]
"""A number of NVML's, alone or with the link that it is of."""


class Asking:
    """Asks the driver; None is what it refuses. A lost GPU is asked nothing more: a driver may
    take seconds to find out each time."""

    def __init__(self) -> None:
        self.state = ""
        """As of `Gpu.state`."""
        self.refused = False
        """Whether the last question was."""

    def __call__(self, call: Callable[..., Any], *arguments: Any) -> Any:
        self.refused = True
        if self.state == LOST:
            return None
        try:
            value = call(*arguments)
        except pynvml.NVMLError as error:
            self.state = _STATES.get(error.value, self.state)
            return None
        except (pynvml.NVMLLibraryMismatchError, UnicodeDecodeError):
            return None
        self.refused = False
        return value

    def first(self, names: Sequence[str], *arguments: Any) -> Any:
        """Of the first function of these that bindings and driver have and answer."""
        for name in names:
            if (call := getattr(pynvml, name, None)) is not None:
                value = self(call, *arguments)
                if value is not None:
                    return value
        return None

    def fields(self, handle: Any, wanted: Sequence[_Field]) -> dict[_Field, int | None]:
        """Several of NVML's numbered values in one call."""
        told = self(pynvml.nvmlDeviceGetFieldValues, handle, wanted) if wanted else ()
        values = [_value(one) for one in told or ()]
        return dict(zip(wanted, values or [None] * len(wanted), strict=True))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What hardly changes."""

    name: str | None
    split: bool
    """Into MIG instances."""
    sm_clock_max: int | None
    slowdown_temperature: int | None
    pcie_generation_max: int | None
    pcie_width_max: int | None
    links: int | None
    """NVLinks that there are."""
    up: tuple[int, ...]
    """Those that are up."""


class Device:
    """A GPU over time: rates are differences, and facts are kept for a while."""

    def __init__(self, index: int, uuid: str | None) -> None:
        self.index = index
        self.uuid = uuid
        self._facts: _Facts | None = None
        self._age = 0
        self._counts: dict[str, int] = {}
        self._at = self._before = 0.0
        """When the counters were read, by the monotonic clock."""
        self._measured: tuple[int | None, int | None] = (None, None)

    @property
    def name(self) -> str | None:
        return self._facts.name if self._facts else None

    @property
    def split(self) -> bool:
        """Whether it is split into MIG instances."""
        return self._facts is not None and self._facts.split

    def sample(
        self, handle: Any, run: Collection[int] | None, asking: Asking, *, measure: bool
    ) -> Gpu:
        """As it is now; `measure` as of `Nvml.sample`'s `wait`."""
        if self._facts is None or self._age >= _FACTS_FOR:
            self._facts, self._age = _read_facts(handle, asking, self.name), 0
        self._age += 1
        facts = self._facts
        memory = _memory(handle, asking)
        processes = _named(processes_of(handle, asking), run, asking)
        rates: Any = asking(pynvml.nvmlDeviceGetUtilizationRates, handle)
        bits = asking.first(
            (
                "nvmlDeviceGetCurrentClocksEventReasons",
                "nvmlDeviceGetCurrentClocksThrottleReasons",
            ),
            handle,
        )
        links: list[_Field] = [(field, link) for field in _NVLINK for link in facts.up]
        errors = _NVLINK_ERRORS if facts.links else ()
        replays = pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER
        told = asking.fields(handle, [*_ECC, *_PCIE, replays, *links, *errors])
        self._before, self._at = self._at, time.monotonic()
        sent, received = self._pcie(handle, [told[field] for field in _PCIE], asking, measure)
        over = [_sum(told[field, link] for link in facts.up) for field in _NVLINK]
        ecc: list[int | None] = [told[field] for field in _ECC]
        return Gpu(
            index=self.index,
            name=facts.name,
            uuid=self.uuid,
            **memory,
            memory_of_run=_memory_of_run(processes, run),
            utilization=rates and int(rates.gpu),
            power=_watts(asking(pynvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit=_watts(asking(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            temperature=asking(
                pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU
            ),
            memory_of_others=_memory_of_others(processes, run),
            processes=processes,
            sm_clock=asking(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            sm_clock_max=facts.sm_clock_max,
            memory_clock=asking(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            throttled=None if bits is None else throttles(int(bits)),
            slowdown_temperature=facts.slowdown_temperature,
            fan=asking(pynvml.nvmlDeviceGetFanSpeed, handle),
            ecc_corrected=ecc[0],
            ecc_uncorrected=ecc[1],
            ecc_corrected_ever=ecc[2],
            ecc_uncorrected_ever=ecc[3],
            pcie_generation=asking(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle),
            pcie_generation_max=facts.pcie_generation_max,
            pcie_width=asking(pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle),
            pcie_width_max=facts.pcie_width_max,
            pcie_sent=sent,
            pcie_received=received,
            pcie_replays=told[replays],
            nvlinks=None if facts.links is None else len(facts.up),
            nvlinks_max=facts.links,
            nvlink_sent=self._rate("nvlink_sent", over[0], _KIB),
            nvlink_received=self._rate("nvlink_received", over[1], _KIB),
            nvlink_errors=_sum(told[field] for field in errors),
        )

    def _pcie(
        self, handle: Any, counts: Sequence[int | None], asking: Asking, measure: bool
    ) -> tuple[int | None, int | None]:
        """Bytes a second, sent and received: by counters where there are any."""
        sent = self._rate("pcie_sent", counts[0])
        received = self._rate("pcie_received", counts[1])
        if sent is not None or received is not None:
            return sent, received
        if measure:
            ways = (pynvml.NVML_PCIE_UTIL_TX_BYTES, pynvml.NVML_PCIE_UTIL_RX_BYTES)
            told = [asking(pynvml.nvmlDeviceGetPcieThroughput, handle, way) for way in ways]
            self._measured = (_times(told[0], _KIB), _times(told[1], _KIB))
        return self._measured

    def _rate(self, name: str, count: int | None, unit: int = 1) -> int | None:
        """Units a second since the count before; None for the first, and where it began anew."""
        if count is None:
            self._counts.pop(name, None)
            return None
        before = self._counts.get(name)
        self._counts[name] = count
        passed = self._at - self._before
        if before is None or passed <= 0 or count < before:
            return None
        return round((count - before) * unit / passed)


def instances(index: int, handle: Any, run: Collection[int] | None, asking: Asking) -> list[Gpu]:
    """The MIG instances of a GPU. NVML tells of them who they are, their memory and their
    processes; power, clocks and the like are the whole GPU's, and utilisation nobody tells."""
    parts = []
    for place in range(asking(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        # Places may be empty.
        part = asking(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
        if part is None:
            continue
        processes = _named(processes_of(part, asking), run, asking)
        parts.append(
            Gpu(
                index=index,
                name=text(asking(pynvml.nvmlDeviceGetName, part)),
                uuid=text(asking(pynvml.nvmlDeviceGetUUID, part)),
                **_memory(part, asking),
                memory_of_run=_memory_of_run(processes, run),
                utilization=None,
                power=None,
                power_limit=None,
                temperature=None,
                memory_of_others=_memory_of_others(processes, run),
                processes=processes,
                mig=place,
                state=asking.state,
            )
        )
    return parts


def processes_of(handle: Any, asking: Asking) -> list[tuple[int, int | None]] | None:
    """Pid and bytes of each process, computing, drawing or by MPS; None where nobody tells.

    One that computes and draws is in two lists, with the same memory in both.
    """
    held: dict[int, int | None] = {}
    known = False
    for kind in ("Compute", "Graphics", "MPSCompute"):
        name = f"nvmlDeviceGet{kind}RunningProcesses"
        told: Any = asking.first((name, f"{name}_v2"), handle)
        known |= told is not None and kind == "Compute"
        own: dict[int, int | None] = {}
        for process in told or ():
            pid, memory = int(process.pid), process.usedGpuMemory
            before = own.get(pid, 0)
            own[pid] = None if memory is None or before is None else before + int(memory)
        for pid, memory in own.items():
            if pid not in held or held[pid] is None:
                held[pid] = memory
    return list(held.items()) if known else None


def text(value: Any) -> str | None:
    # Older drivers' bindings give bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _read_facts(handle: Any, asking: Asking, name: str | None) -> _Facts:
    mode = asking(pynvml.nvmlDeviceGetMigMode, handle)
    count = pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT
    links = asking.fields(handle, [count])[count]
    return _Facts(
        name=text(asking(pynvml.nvmlDeviceGetName, handle)) or name,
        split=bool(mode and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE),
        sm_clock_max=asking(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        slowdown_temperature=asking(
            pynvml.nvmlDeviceGetTemperatureThreshold,
            handle,
            pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
        ),
        pcie_generation_max=asking(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        pcie_width_max=asking(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        links=links,
        up=tuple(
            link
            for link in range(links or 0)
            if asking(pynvml.nvmlDeviceGetNvLinkState, handle, link)
        ),
    )


def _memory(handle: Any, asking: Asking) -> dict[str, Any]:
    """Total, used and reserved: only the second form tells the last two apart."""
    told: Any = asking(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    reserved = getattr(told, "reserved", None)
    if told is None:
        told = asking(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return {
        "memory_used": told and int(told.used),
        "memory_total": told and int(told.total),
        "memory_reserved": reserved,
    }


def _named(
    held: list[tuple[int, int | None]] | None, run: Collection[int] | None, asking: Asking
) -> tuple[GpuProcess, ...] | None:
    """Processes with their people and programs, as far as this machine tells."""
    if held is None:
        return None
    return tuple(
        GpuProcess(pid, memory, _user(pid), _command(pid, asking), pid in (run or ()))
        for pid, memory in held
    )


def _user(pid: int) -> str | None:
    try:
        return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name
    except (OSError, KeyError):
        return None


def _command(pid: int, asking: Asking) -> str | None:
    """The name of a process's program, and none of its arguments: they may hold secrets."""
    word = b""
    with suppress(OSError):
        word = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
    # Of another container, the driver may know it all the same.
    named = os.fsdecode(word) or text(asking(pynvml.nvmlSystemGetProcessName, pid)) or ""
    return Path(named.split(" ", 1)[0]).name or None


def _memory_of_run(
    processes: tuple[GpuProcess, ...] | None, run: Collection[int] | None
) -> int | None:
    if run is None or processes is None:
        return None
    own = [process.memory for process in processes if process.of_run]
    if not own and not pids_are_the_kernels():
        # In a container the driver may leave processes out, or name them by other pids.
        return None
    return _sum(own) if own else 0


def _memory_of_others(
    processes: tuple[GpuProcess, ...] | None, run: Collection[int] | None
) -> int | None:
    if processes is None or (run is not None and _memory_of_run(processes, run) is None):
        return None
    others = [process.memory for process in processes if not process.of_run]
    return _sum(others) if others else 0


def _sum(values: Any) -> int | None:
    """None without values, or where one isn't told."""
    told = list(values)
    return None if not told or None in told else int(sum(told))


def _times(value: int | None, unit: int) -> int | None:
    return None if value is None else value * unit


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _value(told: Any) -> int | None:
    """The number of an nvmlFieldValue_t."""
    if told.nvmlReturn != pynvml.NVML_SUCCESS or told.valueType >= len(_VALUES):
        return None
    return int(getattr(told.value, _VALUES[told.valueType]))
