"""What is known of a GPU at one moment: figures, who is on it, and words for both.

Plain data, read back from logs as well: nothing here asks the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

LOST = "lost"
RESET_REQUIRED = "reset_required"
GONE = "gone"
STATES = {
    LOST: "LOST: it has fallen off the bus, or the driver can't reach it",
    RESET_REQUIRED: "NEEDS A RESET: it runs nothing before",
    GONE: "GONE: the driver doesn't list it any more",
}
"""What stands in `Gpu.state`, in words."""

THROTTLES = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
"""Why clocks are below their highest, by the bits of nvmlClocksEventReason* in nvml.h."""
SLOWING = {
    "thermal_hardware": "too hot (hardware)",
    "thermal_software": "too hot",
    "power_brake": "power brake",
    "hardware_slowdown": "hardware slowdown",
    "power_cap": "power limit",
    "board_limit": "board limit",
    "reliability": "voltage limit",
    "sync_boost": "held by another GPU",
}
"""Those that slow work down against what the card could do, in words, the gravest first. The
others are what somebody has set, or that there is nothing to do."""
_GRAVE = ("thermal_hardware", "thermal_software", "power_brake", "hardware_slowdown")
UNSEEN = 1 << 30
"""Bytes that no visible process holds, from which on somebody unseen is on the card: what the
driver keeps for itself is less."""
_TOLD = 2
"""Processes on a GPU that are named one by one."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a GPU."""

    pid: int
    memory: int | None
    """Bytes; None where the driver doesn't tell."""
    user: str | None = None
    """Whose it is; None where its pid is of another container, or hidden."""
    command: str | None = None
    """The name of its program."""
    of_run: bool = False

    def told(self) -> str:
        """`60.0 GiB by python of alice (pid 4242)`: what matters first, for a narrow line."""
        who = " of ".join(part for part in (self.command, self.user) if part)
        named = f"{who} (pid {self.pid})" if who else f"pid {self.pid}"
        return f"{_some(self.memory)} by {named}"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG instance, at one moment. None is what isn't told: shown as N/A."""

    index: int
    """In the order of the bus; of an instance, its GPU's."""
    name: str | None
    uuid: str | None
    memory_used: int | None
    """Bytes, of all processes; without what the driver keeps for itself, as nvidia-smi has it."""
    memory_total: int | None
    memory_of_run: int | None
    """Bytes held by the run's own processes; None where the driver doesn't tell."""
    utilization: int | None
    """Percent of the last sample period in which a kernel ran."""
    power: float | None
    """Watts."""
    power_limit: float | None
    temperature: int | None
    """Degrees Celsius."""
    memory_reserved: int | None = None
    """Bytes that the driver keeps for itself."""
    memory_of_others: int | None = None
    """Bytes held by processes that aren't the run's."""
    processes: tuple[GpuProcess, ...] | None = None
    """Those that the driver tells of: in a container, often only its own, or none."""
    sm_clock: int | None = None
    """MHz."""
    sm_clock_max: int | None = None
    memory_clock: int | None = None
    throttled: tuple[str, ...] | None = None
    """Why the clocks are below their highest: values of `THROTTLES`."""
    slowdown_temperature: int | None = None
    """Degrees Celsius at which the hardware slows itself down."""
    fan: int | None = None
    """Percent of its highest intended speed; None where there is no fan, as in servers."""
    ecc_corrected: int | None = None
    """Memory errors since the driver was loaded."""
    ecc_uncorrected: int | None = None
    ecc_corrected_ever: int | None = None
    """Over the card's life."""
    ecc_uncorrected_ever: int | None = None
    xids: tuple[int, ...] | None = None
    """Faults that the driver told of since the sample before; None where it tells none."""
    pcie_generation: int | None = None
    """As it is now: an idle GPU slows its link down."""
    pcie_generation_max: int | None = None
    pcie_width: int | None = None
    """Lanes."""
    pcie_width_max: int | None = None
    pcie_sent: int | None = None
    """Bytes a second, from the GPU to the host."""
    pcie_received: int | None = None
    pcie_replays: int | None = None
    """Packets sent again, since the driver was loaded."""
    nvlinks: int | None = None
    """Links that are up."""
    nvlinks_max: int | None = None
    """Links that the GPU has; 0 without any."""
    nvlink_sent: int | None = None
    """Bytes a second, over all links."""
    nvlink_received: int | None = None
    nvlink_errors: int | None = None
    """Checksum errors, packets sent again and recoveries, over all links."""
    mig: int | None = None
    """Which instance of its GPU; None for a whole GPU."""
    instances: int = 0
    """MIG instances that stand for this GPU in the list: work runs on them alone."""
    state: str = ""
    """`lost`, `reset_required`, `gone`, or empty while it answers."""

    def to_json(self) -> dict[str, Any]:
        """Its figures; of what only newer releases tell, what isn't told is left out."""
        body = asdict(self)
        body = {k: v for k, v in body.items() if k in _ALWAYS or v != _DEFAULTS[k]}
        for name in ("throttled", "xids"):
            if name in body:
                body[name] = list(body[name])
        if self.processes is not None:
            body["processes"] = [_short(asdict(process)) for process in self.processes]
        return body

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Gpu:
        """As a log has it, of this release, an earlier or a later one."""
        known: dict[str, Any] = {name: body.get(name) for name in _ALWAYS}
        known |= {name: body[name] for name in _DEFAULTS if name in body}
        for name in ("throttled", "xids"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        if known.get("processes") is not None:
            names = GpuProcess.__slots__
            known["processes"] = tuple(
                GpuProcess(**{"memory": None} | {n: p[n] for n in names if n in p})
                for p in known["processes"]
            )
        return cls(**known)

    @property
    def label(self) -> str:
        """`GPU 0`, or `GPU 0 MIG 1`."""
        return f"GPU {self.index}" + ("" if self.mig is None else f" MIG {self.mig}")

    @property
    def memory_free(self) -> int | None:
        """Bytes that a new process can have."""
        if self.memory_total is None or self.memory_used is None:
            return None
        return max(0, self.memory_total - self.memory_used - (self.memory_reserved or 0))

    @property
    def others(self) -> tuple[GpuProcess, ...]:
        """The processes that aren't the run's, the largest first."""
        others = (process for process in self.processes or () if not process.of_run)
        return tuple(sorted(others, key=lambda process: -(process.memory or 0)))

    @property
    def memory_unseen(self) -> int | None:
        """Bytes in use that no process listed here holds; None where that can't be told."""
        held = [process.memory for process in self.processes or ()]
        if self.memory_used is None or self.processes is None or None in held:
            return None
        return max(0, self.memory_used - sum(memory or 0 for memory in held))

    def slowed(self) -> str:
        """Why it is slower than it could be, in words; empty where it isn't, or nobody tells."""
        return ", ".join(
            words for reason, words in SLOWING.items() if reason in (self.throttled or ())
        )

    def slowed_gravely(self) -> bool:
        """Whether heat, or the machine's power supply, slows it down: a power limit is usual."""
        return any(reason in _GRAVE for reason in self.throttled or ())

    def remarks(self) -> list[str]:
        """What a person should know of it, in words: what is wrong with it, and who is on it."""
        company = self.company()
        others = "others" if self.memory_of_run is not None else "on it"
        return self.faults() + ([f"{others}: {company}"] if company else [])

    def faults(self) -> list[str]:
        """What is wrong with it, in words: it is lost, it is slowed down, it makes errors."""
        found = [STATES[self.state]] if self.state in STATES else []
        if slowed := self.slowed():
            clocks = self.clocks()
            found.append(f"slowed: {slowed}" + (f", {clocks}" if clocks else ""))
        if self.ecc_uncorrected:
            found.append(f"uncorrectable memory errors: {self.ecc_uncorrected}")
        if self.pcie_width and self.pcie_width_max and self.pcie_width < self.pcie_width_max:
            found.append(f"PCIe x{self.pcie_width} of x{self.pcie_width_max}")
        return found

    def in_short(self) -> str:
        """The gravest of what is remarkable, in two or three words; empty for nothing."""
        if self.state:
            return self.state.upper().replace("_", " ")
        if self.slowed_gravely():
            return next(SLOWING[reason] for reason in _GRAVE if reason in (self.throttled or ()))
        if self.ecc_uncorrected:
            return f"{self.ecc_uncorrected} memory errors"
        if self.company():
            return f"others {_gib(self.memory_of_others)}" if self.memory_of_others else "others"
        return ""

    def clocks(self) -> str:
        """`1230 of 1980 MHz`; empty where it isn't told."""
        if self.sm_clock is None:
            return ""
        return f"{self.sm_clock}" + (f" of {self.sm_clock_max}" * bool(self.sm_clock_max)) + " MHz"

    def company(self) -> str:
        """Who is on it besides the run, in words; empty for nobody."""
        parts = [process.told() for process in self.others]
        if len(parts) > _TOLD:
            parts[_TOLD:] = [f"{len(parts) - _TOLD} more"]
        unseen = self.memory_unseen
        # Where it isn't told what others hold, what isn't seen may be the run's own.
        if unseen is not None and unseen >= UNSEEN and self.memory_of_others is not None:
            parts.append(f"{_gib(unseen)} by processes that can't be seen from here")
        return ", ".join(parts)


_ALWAYS = tuple(field.name for field in fields(Gpu))[:10]
"""What every release has written."""
_DEFAULTS = {field.name: field.default for field in fields(Gpu)[10:]}


def devices(gpus: list[Gpu]) -> list[Gpu]:
    """Those that work runs on: the instances, instead of a GPU that is split into them."""
    return [gpu for gpu in gpus if not gpu.instances]


def against(value: float | None, limit: float | None, unit: str) -> str:
    """A figure and the limit that it has: `346/700 W`; N/A for None."""
    if value is None:
        return "N/A"
    return f"{value:.0f}" + (f"/{limit:.0f}" if limit is not None else "") + f" {unit}"


def throttles(bits: int) -> tuple[str, ...]:
    """The names of nvmlClocksEventReason* that are set in `bits`."""
    named = tuple(name for bit, name in THROTTLES.items() if bits & bit)
    unnamed = bits & ~sum(THROTTLES)
    return (*named, f"unknown_{unnamed:#x}") if unnamed else named


def _short(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value not in (None, False)}


def _some(memory: int | None) -> str:
    return "N/A" if memory is None else _gib(memory)


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.1f} GiB"
