"""The section of a config on how its process is looked after: processes, GPUs, restarts."""

from __future__ import annotations

from typing import Literal

from workbench.config.section import Section, field


class Job(Section):
    """How its process is looked after."""

    processes: int = field(
        1,
        "Training processes on this machine, one to a GPU.",
        unit="processes",
        ge=1,
        le=64,
        source="torchrun: nproc-per-node 1",
    )
    sharding: Literal["none", "fsdp"] = field(
        "none",
        "none: each process holds the whole model (DDP); fsdp: a share of it (FSDP2).",
        source="ours: DDP has the least traffic; FSDP2 is for what fits no single GPU",
    )
    accelerate_config: str = field(
        "",
        "A config file of accelerate for its launcher, or for DeepSpeed, in place of sharding; the "
        "run keeps a copy.",
        source="ours: no file is needed",
    )
    restarts: int = field(
        0,
        "Starts anew by itself, from the newest checkpoint, so many times after a crash; never "
        "after what would come again, such as a bad row or a loss that is not a number.",
        unit="restarts",
        ge=0,
        le=1000,
        source="torchrun: max-restarts 0",
    )
    restart_after: float = field(
        10.0,
        "Wait before the first restart; each later one waits twice as long.",
        unit="s",
        ge=0,
        le=86_400,
        source="ours, not measured: time for ports and the GPU's memory to be given back",
    )
    stall_after: float | None = field(
        None,
        "Counts as stalled after so long without a word, while it loads its base model, too; "
        "empty: by the run's own step times.",
        unit="s",
        gt=0,
        le=30 * 86_400,
        allow_inf_nan=False,
        source="ours: ten of its usual steps, a minute at least (docs/jobs.md)",
    )
    on_stall: Literal["tell", "dump", "stop"] = field(
        "tell",
        "When it stalls: say so; write the stacks of all ranks, too; and end it, too.",
        source="ours: a slow disk isn't a dead run; nothing is ended unasked",
    )
    gpus: int | None = field(
        None,
        "GPUs that the queue waits for; empty: one for each process, where there are any.",
        unit="GPUs",
        ge=0,
        le=64,
        source="ours: as many as job.processes can use",
    )
    gpu_memory: float | None = field(
        None,
        "Free memory that the queue wants on each; empty: nobody else may be on it.",
        unit="GiB",
        gt=0,
        le=4096,
        allow_inf_nan=False,
        source="ours: a GPU that nobody uses can't be short of memory half-way (docs/queue.md)",
    )
