"""What a config comes to with these rows and this base: steps, scale, what is trained, disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.config.base_facts import BaseFacts
from workbench.config.circumstances import TRAIN, VALIDATION, Circumstances
from workbench.config.conflicts import changes_base
from workbench.config.memory import base_dtype
from workbench.config.schema import Optimizer, RunConfig, Training
from workbench.config.steps import Epoch, StepSize, an_epoch
from workbench.config.trained import TrainedTensors, trained_tensors

_FLOAT = 4
_SIZES = {"float32": 4, "bfloat16": 2}
_STATE_HEADER, _WEIGHT_HEADER = 80, 132
"""Bytes that a tensor takes in a safetensors file's header: of an optimiser's state, and of an
adapter, whose names are long (SmolLM2-135M: 79 and 131)."""
_RANDOM = 5056
"""Bytes of torch's random state on a processor."""
_TRAINER, _A_PARAMETER = 1800, 12
"""Bytes of trainer.json, and of it to each trained tensor; adapter_config.json has as many."""
_CODES = 256
"""Numbers of the code that bitsandbytes saves with each 8-bit tensor of its state."""
_LEAST_8BIT = 4096
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Effective:
    """Effective values; None is what isn't known, with the reason in `why`."""

    scale: float | None
    """What the update is multiplied by; None where all weights are trained."""
    rows_a_step: float | None
    """Of steps by tokens on average."""
    tokens_a_step: float | None
    """On average, prompts included; the last step of an epoch may have fewer."""
    trained_tokens_a_step: float | None
    steps_an_epoch: int | None
    total_steps: int | None
    warmup_steps: int | None
    validations: int | None
    parameters: int | None
    """Of the base."""
    trained_parameters: int | None
    trained_share: float | None
    """Of the base's parameters and those beside them."""
    result_bytes: int | None
    """Of the adapter's, or the model's, folder when it is done: weights, and the tokenizer's files
    where these are known."""
    checkpoint_bytes: int | None
    checkpoints: int | None
    """That there are at once, at most."""
    run_bytes: int | None
    """That all of these take at most, and what is written before an older one goes."""
    disk_free: int | None
    why: dict[str, str] = field(default_factory=dict)
    """By the name of a value that isn't known."""

    @property
    def fits_on_disk(self) -> bool | None:
        """Whether what is free has room for the run."""
        if self.run_bytes is None or self.disk_free is None:
            return None
        return self.run_bytes <= self.disk_free

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "fits_on_disk": self.fits_on_disk}


def effective(config: RunConfig, known: Circumstances) -> Effective:
    """The effective values of `config`.

    Raises WorkbenchError for modules that the config names and the base has not.
    """
    why: dict[str, str] = {}
    epoch, steps = plan(config, known)
    lengths = known.dataset.lengths.get(TRAIN) if known.dataset else None
    rows = rows_of(config, known, VALIDATION)
    nowhere = "the rows aren't known"
    if rows_of(config, known, TRAIN) == 0:
        nowhere = "no row is left at data.max_length"
    size = StepSize.of(config.training, config.job.processes)
    rows_a_step = float(size.rows) or (epoch.rows_a_step if epoch else None)
    if rows_a_step is None:
        why["rows_a_step"] = "a step is filled by tokens, and the rows aren't known"
    if epoch is None:
        why |= dict.fromkeys(("steps_an_epoch", "tokens_a_step"), nowhere)
    elif epoch.tokens is None:
        why["tokens_a_step"] = "nobody has measured the rows: `workbench data verdict`"
    if steps is None:
        why |= dict.fromkeys(("total_steps", "warmup_steps"), nowhere)
    if rows is None or steps is None:
        why["validations"] = nowhere
    share = None
    if lengths is not None and lengths.rows:
        kept = lengths.at(config.data.max_length, config.data.too_long)
        share = kept.trained_kept / kept.tokens_kept if kept.tokens_kept else None
    tokens = epoch.tokens_a_step if epoch else None
    disk = _disk(config, known, steps, rows)
    if known.base is None:
        names = ("parameters", "trained_parameters", "trained_share", *disk)
        why |= dict.fromkeys(names, "the base isn't known")
    trained = None
    if known.base is not None:
        trained = trained_tensors(config, known.base, known.new_ids).parameters
    if config.training.method == "full":
        why["scale"] = "all weights are trained: there is no adapter"
    return Effective(
        scale=scale(config),
        rows_a_step=rows_a_step,
        tokens_a_step=tokens,
        trained_tokens_a_step=None if tokens is None or share is None else share * tokens,
        steps_an_epoch=epoch.steps if epoch else None,
        total_steps=steps,
        warmup_steps=None if steps is None else warmup_steps(config.training, steps),
        validations=None if rows is None or steps is None else validations(config, steps, rows),
        parameters=known.base.parameters if known.base else None,
        trained_parameters=trained,
        trained_share=_share(config, known.base, trained),
        **disk,
        disk_free=known.disk_free,
        why=why,
    )


def scale(config: RunConfig) -> float | None:
    """What an adapter's update is multiplied by: alpha/r, or alpha/sqrt(r) with `lora.rslora`
    (Kalajdzievski 2023); None where all weights are trained."""
    if config.training.method == "full":
        return None
    rank = config.lora.rank
    return config.lora.alpha / (math.sqrt(rank) if config.lora.rslora else rank)


def warmup_steps(training: Training, steps: int) -> int:
    """Steps in which the learning rate rises, of so many. A share is rounded up, as transformers
    does, but to fewer than all: its rate is 0 at the first step, and a run of one would learn
    nothing."""
    if training.warmup_steps is not None:
        return training.warmup_steps
    return min(math.ceil(training.warmup_ratio * steps), max(0, steps - 1))


def validations(config: RunConfig, steps: int, rows: int) -> int:
    """How many validations a run of so many steps has: before the first step, after the last one
    and every `evaluation.every` between; none without rows."""
    if not rows:
        return 0
    every = config.evaluation.every
    return 2 + ((steps - 1) // every if every else 0)


def rows_of(config: RunConfig, known: Circumstances, split: str) -> int | None:
    """Rows of a split that are used, by the config's cutoff and limits, where they are known."""
    if known.dataset is None:
        return None
    data = config.data
    rows = known.dataset.train if split == TRAIN else known.dataset.validation
    if (lengths := known.dataset.lengths.get(split)) is not None:
        rows = min(rows, lengths.at(data.max_length, data.too_long).rows_kept)
    most = data.train_rows if split == TRAIN else data.validation_rows
    return rows if most is None else min(rows, most)


def plan(config: RunConfig, known: Circumstances) -> tuple[Epoch | None, int | None]:
    """A pass over the training rows, and the steps of the whole run, as `training.batches` plans
    them; None where the rows aren't known."""
    rows = rows_of(config, known, TRAIN)
    lengths = known.dataset.lengths.get(TRAIN) if known.dataset else None
    epoch = an_epoch(config, rows, lengths) if rows else None
    if config.training.max_steps is not None:
        return epoch, config.training.max_steps
    if epoch is None:
        return None, None
    # 1.1 epochs of 10 steps are 11 steps, though 1.1 * 10 is a little more.
    return epoch, math.ceil(round(config.training.epochs * epoch.steps, 6))


def _share(config: RunConfig, facts: BaseFacts | None, trained: int | None) -> float | None:
    if facts is None or trained is None:
        return None
    return trained / (facts.parameters + (0 if config.training.method == "full" else trained))


def _disk(
    config: RunConfig, known: Circumstances, steps: int | None, validated: int | None
) -> dict[str, int | None]:
    count = None if steps is None else _checkpoints(config, steps, validated or 0)
    if known.base is None:
        return {"result_bytes": None, "checkpoint_bytes": None, "checkpoints": count} | {
            "run_bytes": None
        }
    trained = trained_tensors(config, known.base, known.new_ids)
    size = _itemsize(config, known)
    one = checkpoint_bytes(config, trained, size)
    result = result_bytes(config, trained, size)
    # An adapter is a folder that works by itself.
    result += known.template.bytes if known.template else 0
    whole = None
    if steps is not None and count is not None:
        # One more is written before the one too many is removed; the result is written last.
        made = _checkpoints_made(config, steps, validated or 0)
        whole = max(min(made, count + 1) * one, count * one + result)
    return {
        "result_bytes": result,
        "checkpoint_bytes": one,
        "checkpoints": count,
        "run_bytes": whole,
    }


def _itemsize(config: RunConfig, known: Circumstances) -> int:
    if config.training.method == "full":
        return _SIZES[base_dtype(config, known.machine.device)]
    return _SIZES[config.lora.dtype]


def _checkpoints(config: RunConfig, steps: int, validated: int) -> int:
    """Checkpoints that are kept at once, at most."""
    best = 1 if _best_ones(config, steps, validated) else 0
    made = _checkpoints_made(config, steps, validated)
    return min(made, config.checkpoints.keep + best)


def _checkpoints_made(config: RunConfig, steps: int, validated: int) -> int:
    """In the whole run, at most."""
    every = config.checkpoints.every
    regular = (steps - 1) // every if every else 0
    return min(steps, 1 + regular + _best_ones(config, steps, validated))


def _best_ones(config: RunConfig, steps: int, validated: int) -> int:
    """Checkpoints that are made because no validation loss was lower, at most."""
    if validated and (config.evaluation.every or config.checkpoints.result == "best"):
        return validations(config, steps, validated) - 1
    return 0


def checkpoint_bytes(config: RunConfig, trained: TrainedTensors, itemsize: int) -> int:
    """Bytes of a checkpoint, as `training.checkpoint` writes it: what is trained, in numbers of
    `itemsize` bytes, the optimiser's state and that of the random numbers of each process."""
    tensors = len(trained.sizes)
    weights = trained.parameters * itemsize + tensors * _WEIGHT_HEADER
    if changes_base(config.lora.initialisation) and config.training.method != "full":
        # What the adapter began with is kept beside it.
        weights *= 2
    state, states = _state(trained.sizes, config.training.optimizer, itemsize)
    state += states * _STATE_HEADER + config.job.processes * (_RANDOM + _STATE_HEADER)
    return weights + state + 2 * _TRAINER + tensors * _A_PARAMETER


def result_bytes(config: RunConfig, trained: TrainedTensors, itemsize: int) -> int:
    """Bytes of the weights that a run leaves behind, in numbers of `itemsize` bytes."""
    one = trained.parameters * itemsize + len(trained.sizes) * _WEIGHT_HEADER
    full = config.training.method == "full"
    # One that began with a part of the base's weights is told at twice the rank.
    return one * (2 if not full and changes_base(config.lora.initialisation) else 1)


def _state(sizes: Sequence[int], kind: Optimizer, itemsize: int) -> tuple[int, int]:
    """Bytes of an optimiser's state in a file, and how many tensors it is. On disk each 8-bit
    tensor has the code of its numbers, which they share in memory."""
    if kind == "adamw":
        return sum(2 * n * itemsize + _FLOAT for n in sizes), 3 * len(sizes)
    numbers = 1 if "lion" in kind else 2
    total = tensors = 0
    for n in sizes:
        if kind.endswith("8bit") and n >= _LEAST_8BIT:
            total += numbers * (n + _FLOAT * (_CODES + -(-n // _BLOCK)))
            tensors += 3 * numbers
        else:
            total += numbers * n * _FLOAT
            tensors += numbers
    return total, tensors
