"""Who is on the GPUs that a run would take, and what else stands against taking them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from workbench.config.schema import RunConfig
from workbench.hardware.gpu import Gpu
from workbench.hardware.nvml import Nvml
from workbench.queue.machine import VISIBLE, select

_LITTLE = 128 << 20
"""Bytes: a process with less, as a desktop's, is in nobody's way."""
_ORDER = "CUDA_DEVICE_ORDER"


def warnings(config: RunConfig) -> list[str]:
    """What is to be said before a run of `config` is started here and now, in sentences.

    Empty without a GPU. The queue needs none of it: it takes GPUs that are free.
    """
    if config.job.gpus == 0:
        return []
    gpus = chosen(Nvml().sample(), config.job.processes, os.environ.get(VISIBLE))
    return [text for gpu in gpus for text in _against(gpu)]


def chosen(gpus: Sequence[Gpu], processes: int, visible: str | None) -> list[Gpu]:
    """Those that so many processes would train on, by CUDA_VISIBLE_DEVICES.

    CUDA counts from the fastest unless CUDA_DEVICE_ORDER says otherwise, so that of different
    cards any may be the first.
    """
    whole = [gpu for gpu in gpus if gpu.mig is None]
    if visible is not None and visible.startswith("MIG-"):
        whole = [gpu for gpu in gpus if gpu.mig is not None]
    mine = [_part(gpu, gpus) for gpu in select(visible, whole)]
    alike = len({gpu.name for gpu in mine}) == 1
    if alike or os.environ.get(_ORDER) == "PCI_BUS_ID":
        return mine[:processes]
    return mine


def _part(gpu: Gpu, gpus: Sequence[Gpu]) -> Gpu:
    """Of a split GPU, the instance that CUDA takes: its first."""
    parts = [one for one in gpus if one.index == gpu.index and one.mig is not None]
    return parts[0] if gpu.instances and parts else gpu


def _against(gpu: Gpu) -> list[str]:
    """Why one would rather not start on this GPU."""
    # A power limit, or a narrow slot, is the machine's way, and no reason to wait.
    grave = gpu.state or gpu.slowed_gravely() or gpu.ecc_uncorrected
    found = gpu.faults() if grave else []
    others = [p for p in gpu.others if p.memory is None or p.memory >= _LITTLE]
    if (others or gpu.memory_unseen) and (company := gpu.company()):
        free = "" if gpu.memory_free is None else f"; {gpu.memory_free / 2**30:.1f} GiB are left"
        found.append(f"it isn't free: {company}{free}")
    return [f"{gpu.label}, which this run would use: {text}." for text in found]
