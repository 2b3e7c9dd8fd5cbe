"""What may start next: a function of the entries, the GPUs and the runs on them, and of nothing
else.

The rule is the order of the queue for the same GPUs. An entry that waits keeps every GPU that is
large enough for it from those behind it, whether it is free or not; only on GPUs that are too
small for it, and on the processor, may they pass it. So nothing that comes later can make it wait
longer. An entry that can never start on this machine keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.queue.entries import Entry

GIB = 1 << 30
IDLE_MEMORY = GIB
"""Bytes in use up to which a GPU counts as nobody's: the driver keeps some hundred MiB of an
idle one, and a desktop as much again."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that the queue may use."""

    index: int
    """In the order of the bus, as nvidia-smi shows it."""
    uuid: str
    """Empty for one that has stopped answering."""
    total: int | None
    """Bytes; None where the driver doesn't tell."""
    free: int | None
    used_by: str = ""
    """The processes on it, in words."""
    run: str = ""
    """The run of this workspace that holds it."""


@dataclass(frozen=True, slots=True)
class Machine:
    gpus: tuple[Gpu, ...] = ()
    unseen: str = ""
    """Why GPUs that should be here can't be seen: what wants one waits."""
    run_on_cpu: str = ""
    """The run of this workspace that computes on the processor."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is decided for an entry."""

    entry: Entry
    start: bool
    gpus: tuple[Gpu, ...] = ()
    """Those that it gets."""
    text: str = ""
    """What it waits for."""


def choose(machine: Machine, waiting: Sequence[Entry]) -> list[Turn]:
    """A turn for each entry, in order."""
    turns: list[Turn] = []
    kept: dict[str, str] = {}
    for entry in waiting:
        if wanted_gpus(machine, entry) == 0:
            turn = _on_cpu(machine, entry)
            if turn.start:
                machine = replace(machine, run_on_cpu=entry.run)
        else:
            turn = _on_gpus(machine, entry, kept)
        turns.append(turn)
    return turns


def wanted_gpus(machine: Machine, entry: Entry) -> int:
    """How many GPUs an entry waits for on this machine."""
    if entry.gpus is not None:
        return entry.gpus
    return entry.processes if machine.gpus or machine.unseen else 0


def wish(machine: Machine, entry: Entry) -> str:
    """What an entry waits for, in words: `2 GPUs with 40 GiB free`."""
    count = wanted_gpus(machine, entry)
    if count == 0:
        return "the processor"
    gpus = "1 GPU" if count == 1 else f"{count} GPUs"
    if entry.gpu_memory is None:
        return f"{gpus} that nobody uses"
    return f"{gpus} with {entry.gpu_memory:g} GiB free"


def gib(size: float) -> str:
    """`12 GiB`, `0.5 GiB`."""
    amount = size / GIB
    return f"{amount:.0f} GiB" if amount >= 10 else f"{amount:.1f} GiB"


def _on_cpu(machine: Machine, entry: Entry) -> Turn:
    if machine.run_on_cpu:
        text = f"waits for the processor: {machine.run_on_cpu} has it"
        return Turn(entry, start=False, text=text)
    return Turn(entry, start=True)


def _on_gpus(machine: Machine, entry: Entry, kept: dict[str, str]) -> Turn:
    """The turn of an entry that wants GPUs; what it takes or keeps goes into `kept`."""
    wanted = wanted_gpus(machine, entry)
    if machine.unseen:
        return Turn(entry, start=False, text=f"waits for {wish(machine, entry)}: {machine.unseen}")
    large = [gpu for gpu in machine.gpus if _is_large_enough(gpu, entry)]
    if len(large) < wanted:
        return Turn(entry, start=False, text=_why_never(machine, entry))
    lacks = {gpu.uuid: _lack(gpu, entry, kept) for gpu in large}
    free = [gpu for gpu in large if not lacks[gpu.uuid]]
    if len(free) < wanted:
        for gpu in large:
            kept.setdefault(gpu.uuid, f"is kept for {entry.run}, ahead of it")
        text = f"waits for {wish(machine, entry)}: {_tell(large, lacks)}"
        return Turn(entry, start=False, text=text)
    # The smallest that will do, so that the largest is left for whoever needs it; of equal
    # ones that with the most room.
    free.sort(key=lambda gpu: (gpu.total or 0, -(gpu.free or 0), gpu.index))
    taken = sorted(free[:wanted], key=lambda gpu: gpu.index)
    for gpu in taken:
        kept[gpu.uuid] = f"is given to {entry.run}, ahead of it"
    return Turn(entry, start=True, gpus=tuple(taken))


def _is_large_enough(gpu: Gpu, entry: Entry) -> bool:
    if not gpu.uuid or entry.gpu_memory is None:
        return bool(gpu.uuid)
    return gpu.total is not None and gpu.total >= entry.gpu_memory * GIB


def _lack(gpu: Gpu, entry: Entry, kept: Mapping[str, str]) -> str:
    """Why an entry can't have a GPU at the moment; empty when it can."""
    if gpu.run:
        return f"runs {gpu.run}"
    if gpu.uuid in kept:
        return kept[gpu.uuid]
    if gpu.total is None or gpu.free is None:
        # Some that share the machine's memory tell only who is on them.
        return f"is used ({gpu.used_by})" if gpu.used_by else ""
    if entry.gpu_memory is None:
        if gpu.total - gpu.free <= IDLE_MEMORY:
            return ""
        return f"has {gib(gpu.total - gpu.free)} in use{_by(gpu)}"
    if gpu.free >= entry.gpu_memory * GIB:
        return ""
    return f"has {gib(gpu.free)} free{_by(gpu)}"


def _by(gpu: Gpu) -> str:
    return f" ({gpu.used_by})" if gpu.used_by else ""


def _tell(gpus: Sequence[Gpu], lacks: Mapping[str, str]) -> str:
    """`GPU 0 runs small-0001; GPU 1 is free`."""
    return "; ".join(f"GPU {gpu.index} {lacks[gpu.uuid] or 'is free'}" for gpu in gpus)


def _why_never(machine: Machine, entry: Entry) -> str:
    here = len(machine.gpus)
    text = f"can't start here: it wants {wish(machine, entry)}, and there "
    text += {0: "is no GPU", 1: "is 1 GPU"}.get(here, f"are {here} GPUs")
    lost = [f"GPU {gpu.index}" for gpu in machine.gpus if not gpu.uuid]
    if lost:
        return f"{text}, of which {', '.join(lost)} answers no more"
    if entry.gpu_memory is not None and here:
        largest = max(gpu.total or 0 for gpu in machine.gpus)
        text += f" of at most {gib(largest)}" if largest else ", which tells no memory"
    return text
