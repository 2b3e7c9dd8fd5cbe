"""The GPUs that the queue may use, and who is on them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from workbench.errors import WorkbenchError
from workbench.hardware.gpu import GpuProcess
from workbench.hardware.nvml import Nvml, Occupancy
from workbench.jobs.launch import read_job
from workbench.jobs.state import JobState
from workbench.queue.choice import Gpu, Machine, Turn, gib
from workbench.tracking import finding
from workbench.workspace import Workspace

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SUPERVISOR = (b"-m", b"workbench.jobs.supervisor")
_TOLD = 2
"""Processes on a GPU that are named one by one."""


def look(workspace: Workspace, nvml: Nvml, visible: str | None) -> Machine:
    """This machine as it is now; `visible` is the CUDA_VISIBLE_DEVICES of the queue's runner."""
    everything = nvml.occupancy()
    mine = select(visible, everything)
    machine = Machine(
        gpus=tuple(_gpu(gpu) for gpu in mine),
        unseen="" if mine else _why_unseen(nvml, visible, everything),
    )
    folders = [workspace.runs / run for run in finding.running(workspace)]
    return hold(machine, ((f.name, _held_by(f, everything)) for f in folders if _is_here(f)))


def hold(machine: Machine, holders: Iterable[tuple[str, set[str] | None]]) -> Machine:
    """`machine` with what the live runs hold: GPUs by uuid, an empty set for the processor, or
    None for all GPUs that there are and, where there is none, the processor."""
    has_gpus = bool(machine.gpus or machine.unseen)
    for run, uuids in holders:
        if uuids is None and has_gpus:
            uuids = {gpu.uuid for gpu in machine.gpus}
        elif not uuids:
            machine = replace(machine, run_on_cpu=run)
            continue
        gpus = (replace(gpu, run=run) if gpu.uuid in uuids else gpu for gpu in machine.gpus)
        machine = replace(machine, gpus=tuple(gpus))
    return machine


class _Listed(Protocol):
    """A GPU as the bus and the driver name it."""

    @property
    def index(self) -> int: ...
    @property
    def uuid(self) -> str | None: ...


_One = TypeVar("_One", bound=_Listed)


def select(visible: str | None, gpus: Sequence[_One]) -> list[_One]:
    """The GPUs that CUDA_VISIBLE_DEVICES lets through: by index, uuid or the start of one.

    As for CUDA, what follows one that isn't there isn't there either.
    """
    if visible is None:
        return list(gpus)
    chosen: list[_One] = []
    for name in (part.strip() for part in visible.split(",")):
        found = [g for g in gpus if (name and g.uuid and g.uuid.startswith(name)) or _is(g, name)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def environment(machine: Machine, turn: Turn) -> dict[str, str]:
    """The variables that hold a run to the GPUs of its turn."""
    if turn.gpus:
        uuids = ",".join(gpu.uuid for gpu in turn.gpus)
        return {VISIBLE: uuids, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if machine.gpus or turn.entry.gpus == 0:
        return {VISIBLE: ""}
    # What isn't NVIDIA's listens to this variable as well, and can't be seen from here.
    return {}


def supervised() -> set[Path]:
    """The folders of the jobs on this machine that have a supervisor, if only just started."""
    folders = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended since
            words = path.read_bytes().split(b"\0")
            if tuple(words[1:3]) == _SUPERVISOR and len(words) > 3:
                folders.add(Path(os.fsdecode(words[3])))
    return folders


def _is(gpu: _Listed, name: str) -> bool:
    return name.isdecimal() and int(name) == gpu.index


def _why_unseen(nvml: Nvml, visible: str | None, everything: Sequence[Occupancy]) -> str:
    """Why there is no GPU where there should be; empty where there need be none."""
    if not nvml.installed or (visible is not None and visible.strip() in ("", "-1")):
        return ""
    if nvml.reason:
        return nvml.reason.rstrip(".")
    if not everything:
        return "the NVIDIA driver shows no GPU"
    return f"{VISIBLE} is {visible!r}, which is none of the {len(everything)} that there are"


def _gpu(gpu: Occupancy) -> Gpu:
    return Gpu(gpu.index, gpu.uuid or "", gpu.total, gpu.free, _users(gpu.processes))


def _users(processes: Sequence[GpuProcess]) -> str:
    """`pid 4242 of alice holds 60 GiB`, the largest first."""
    told = sorted(processes, key=lambda p: p.memory or 0, reverse=True)
    parts = [f"{_process(p)} holds {'some' if p.memory is None else gib(p.memory)}" for p in told]
    if len(parts) > _TOLD:
        parts[_TOLD:] = [f"{len(parts) - _TOLD} more"]
    return ", ".join(parts)


def _process(process: GpuProcess) -> str:
    try:
        owner = pwd.getpwuid(Path(f"/proc/{process.pid}").stat().st_uid).pw_name
    except (OSError, KeyError):
        # Of another container, whose pids are not ours.
        return f"pid {process.pid}"
    return f"pid {process.pid} of {owner}"


def _is_here(folder: Path) -> bool:
    """Whether a live run is on this machine: folders are shared between machines."""
    state = JobState.read(folder)
    return state is not None and state.is_here()


def _held_by(folder: Path, everything: Sequence[Occupancy]) -> set[str] | None:
    """The GPUs of a live run by uuid, as `hold` takes them."""
    visible = _visible_to(folder)
    if visible is None:
        return None
    uuids = {gpu.uuid for gpu in select(visible, everything) if gpu.uuid}
    # A part of a GPU, say, which is none that is listed: then it may be any.
    return uuids if uuids or visible.strip() in ("", "-1") else None


def _visible_to(folder: Path) -> str | None:
    """CUDA_VISIBLE_DEVICES as a live run has it; None where it has none."""
    try:
        given = read_job(folder).environment
        state = JobState.read(folder)
    except (WorkbenchError, LookupError, TypeError):
        return None
    if VISIBLE in given or state is None:
        return given.get(VISIBLE)
    pid = state.supervisor_pid if state.supervisor_alive() else state.pid
    name = f"{VISIBLE}=".encode()
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(name):
                return os.fsdecode(variable.removeprefix(name))
    return None
