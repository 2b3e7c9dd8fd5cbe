"""What earlier runs of a workspace have reached: the best word on how fast this machine is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from workbench.config import flops
from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import PastRun
from workbench.config.flops import Passing
from workbench.config.memory import Device, base_dtype, weight_bytes
from workbench.config.schema import RunConfig
from workbench.config.trained import trained_tensors
from workbench.errors import WorkbenchError
from workbench.jobs.events import Answered, Evaluated, Record, Started, Step
from workbench.jobs.log import ends
from workbench.tracking import inputs, manifest, runs
from workbench.tracking.finding import folders
from workbench.workspace import Workspace

_LOOKED_AT = 20
"""Runs, the newest ones."""
_LEAST = 3
"""Steps that tell a speed: the first is slower than the others."""


def past_runs(workspace: Workspace, apart_from: str = "") -> tuple[PastRun, ...]:
    """What runs of the workspace have reached, the newest first; those that took hardly a step, or
    whose base is gone, tell nothing."""
    found = []
    for folder in folders(workspace)[:_LOOKED_AT]:
        if folder.name == apart_from:
            continue
        try:
            told = _told(folder)
        except (WorkbenchError, LookupError, TypeError, ValueError, OSError):
            continue
        if told is not None:
            found.append(told)
    return tuple(found)


def _told(folder: Path) -> PastRun | None:
    records = ends(folder / runs.LOG, always=(Started, Evaluated, Answered))
    started = next((r.event for r in reversed(records) if isinstance(r.event, Started)), None)
    steps = [r.event for r in records if isinstance(r.event, Step) and r.event.seconds > 0]
    if started is None or len(steps) < _LEAST:
        return None
    config = runs.load_config(folder)
    facts = BaseFacts.of(inputs.base_folder(folder))
    rate = median(step.tokens / step.seconds for step in steps[1:])
    gpu = not started.device.startswith("CPU")
    device = Device(gpu, started.dtype == "bfloat16")
    return PastRun(
        run=folder.name,
        model=started.device if gpu else _processor(folder),
        gpu=gpu,
        dtype=started.dtype,
        base=config.model.base,
        method=config.training.method,
        quantization=config.model.quantization,
        dora=config.lora.dora,
        packed=started.packed,
        tokens_per_second=rate,
        flops=rate * _a_token(config, facts, started, steps) / (started.processes if gpu else 1),
        reading=_reading(config, facts, device, records),
    )


def _a_token(config: RunConfig, facts: BaseFacts, started: Started, steps: Sequence[Step]) -> float:
    """Operations to a token of the rows; of rows of the same length, which they aren't quite."""
    tokens = sum(step.tokens for step in steps)
    trained = sum(step.trained_tokens for step in steps)
    length = started.train_tokens / started.train_rows
    even = Passing.of_equal(tokens / length, length, facts)
    passing = Passing(even.rows, tokens, trained, even.pairs, even.in_window)
    return flops.of_training(config, facts, trained_tensors(config, facts), passing).total / tokens


def _reading(
    config: RunConfig, facts: BaseFacts, device: Device, records: Sequence[Record]
) -> float | None:
    """Bytes of weights a second while rows were answered after the last validation."""
    validated = 0.0
    seconds = None
    for record in records:
        if isinstance(record.event, Evaluated):
            validated = record.time
        elif isinstance(record.event, Answered) and validated:
            # All of a validation are written once all are there.
            seconds, validated = record.time - validated, 0.0
    if not seconds or seconds <= 0:
        return None
    evaluation = config.evaluation
    batches = -(-evaluation.asked // evaluation.batch_size)
    held = weight_bytes(config, facts, base_dtype(config, device))
    return held * batches * evaluation.sample_tokens / seconds


def _processor(folder: Path) -> str:
    starts: list[dict[str, Any]] = manifest.read(folder).get("starts") or [{}]
    name = starts[-1].get("environment", {}).get("processor", "")
    return name if isinstance(name, str) else ""
