"""The memory of a run before it runs, by part: weights, adapter, gradients, optimiser, batch.

Weights and what is trained are counted to the byte; `benchmarks/memory.py` holds them against the
real objects. What a batch takes is counted by `activations`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.config.activations import Formats, Work, held
from workbench.config.base_facts import BaseFacts
from workbench.config.schema import Optimizer, RunConfig
from workbench.config.steps import StepSize
from workbench.config.trained import added_rows, trained_tensors

CUDA_CONTEXT = 1343 << 20
"""Bytes that CUDA and its kernels take before any tensor: what the transformers documentation
measures (Methods and tools for efficient training on a single GPU: 1343 MB on an A100). With
kernels loaded when they are first used (CUDA 12.2 on) it is less."""
CUBLAS_WORKSPACE = 2 * (32 << 20)
"""Bytes: what torch gives cuBLAS on Hopper, and 8 MiB before it, once for the thread of forward
passes and once for that of backward ones, each of which has a handle of its own."""
ROUNDING = 0.02
"""Share of what stays that torch's allocator takes on top: large blocks come in multiples of 2 MiB,
smaller ones in segments of 20. Our own allowance, to be measured as the next."""
FRAGMENTATION = 0.05
"""Share of what comes and goes in a step that torch's allocator reserves and can't use; our own
allowance, to be measured by the GPU part of `benchmarks/memory.py`."""
PROCESS = 550 << 20
"""Bytes that a training process on a processor holds beside tensors: Python, torch 2.13,
transformers 5.23, PEFT 0.21 and what reads and checks the rows. 433 MiB once the first three are
imported, 490 before the base is loaded, 500 to 550 at the peak (SmolLM2-135M, and its first six
layers by `benchmarks/foretold.py`)."""
HOST_FRAGMENTS = 0.25
"""Share of what comes and goes in a step that a process keeps beside it: pieces that malloc can't
give back. 0 to 0.24 (the same runs)."""
_COPIED_FRAGMENTS = 0.17
"""The same beside the copies of `HOST_COPIES`."""
_MASKED_FRAGMENTS = 0.5
"""The same with dropout, whose masks are made beside what is kept: 0.46."""
HOST_COPIES = 2
"""Times the output layer's weights: matrix products lay the larger matrix out anew, forward and
back. With activations recomputed a rehearsal takes that much more than its tensors."""
_FEW = 32
"""Trained tokens whose product with the output layer copies nothing: none was seen at 30."""
_BNB_STEP = 5
"""Copies in float32 of the largest trained tensor that a step of bitsandbytes makes on a processor:
both states, the gradient, the root of the second and the divisor (its `backends/cpu/ops.py`)."""
_BLOCK_4BIT = 64
"""Weights to a constant (Dettmers et al. 2023, QLoRA), and constants to one of their own."""
_BLOCK_CONSTANTS = 256
_BLOCK_STATE = 256
"""Numbers of an 8-bit state to a constant (Dettmers et al. 2022, 8-bit optimizers)."""
_LEAST_8BIT = 4096
"""Numbers of a tensor below which bitsandbytes keeps its state in float32."""
_LEAST_PAGED = 100_000
"""Numbers of a tensor below which bitsandbytes pages nothing."""
_UNMEASURED = ("context", "buckets")
"""Parts that no rehearsal sees: CUDA is no tensor of torch's, and DDP begins after it."""
_FLOAT = 4
_SIZES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Device:
    """What a run is computed on."""

    gpu: bool
    bfloat16: bool = True
    """Whether it computes in it: GPUs from Ampere on, processors with avx512_bf16 or amx_bf16."""


@dataclass(frozen=True, slots=True)
class Part:
    """One use of memory."""

    name: str
    bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run takes at most on one device; each process of several takes as much."""

    parts: tuple[Part, ...]
    paged: int
    """Bytes of the optimiser's state that are in pages, which leave a GPU; in no part."""
    dtype: str
    """Of the base."""
    gpu: bool
    work: Work

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(part.bytes for part in self.parts)

    @property
    def measured(self) -> int:
        """Bytes of it that a rehearsal's peak counts: of a GPU what torch reserves, which the
        context is no part of."""
        return sum(self.measured_parts().values())

    def measured_parts(self) -> dict[str, int]:
        """Bytes of the parts that make up `measured`, by name."""
        return {p.name: p.bytes for p in self.parts if p.bytes and p.name not in _UNMEASURED}

    def of(self, name: str) -> int:
        """Bytes of the part `name`; 0 where there is none."""
        return sum(part.bytes for part in self.parts if part.name == name)

    def to_json(self) -> dict[str, Any]:
        """Parts in bytes, with the total."""
        return {**asdict(self), "total": self.total}


def largest_work(
    config: RunConfig,
    longest: int | None = None,
    trained_share: float = 1.0,
    longest_validated: int | None = None,
) -> Work:
    """The largest batch that rows of at most `longest` tokens can give (None: data.max_length).

    Packed, a batch has no more tokens than so many of the longest row would have; padded, just
    as many. `trained_share` of the tokens are trained. By tokens it has those of
    `training.micro_batch_tokens`; no more than a step has, but for a row that is longer.
    """
    training = config.training
    row = config.data.max_length if longest is None else min(longest, config.data.max_length)
    rows = training.batch_size if training.micro_batch is None else training.micro_batch
    # `auto` begins with one, and takes more only where they fit.
    at_once = training.micro_batch_tokens or row * (1 if rows == "auto" else rows)
    step = StepSize.of(training, config.job.processes)
    # Padded to the longest, a few rows of a step by tokens may have more than all of its own.
    if training.packing or step.rows:
        at_once = min(at_once, step.most_tokens(row))
    tokens = max(row, at_once)
    validated = min(longest_validated or row, config.data.max_length)
    return Work(
        tokens,
        row,
        math.ceil(tokens * trained_share),
        config.evaluation.batch_size * validated,
    )


def forecast(
    config: RunConfig,
    facts: BaseFacts,
    work: Work,
    device: Device,
    new_ids: Sequence[int] = (),
) -> Forecast:
    """What `config` takes at most on `device`, with `work` as its largest batch.

    `new_ids` are those of `model.new_tokens`. A model that is spread over GPUs (fsdp) is counted
    whole. Raises WorkbenchError for modules that the config names and the base has not.
    """
    trained = trained_tensors(config, facts, new_ids)
    dtype = base_dtype(config, device)
    full = config.training.method == "full"
    size = _SIZES[dtype] if full else _SIZES[config.lora.dtype]
    state, paged = optimizer_state(trained.sizes, config.training.optimizer, size, device.gpu)
    flow = _FLOAT if config.model.upcast else _SIZES[dtype]
    formats = Formats(
        base=flow,
        trained=size,
        processor=not device.gpu,
        varlen=device.gpu and device.bfloat16 and flow == 2 and config.training.packing,
        checkpointed=config.training.gradient_checkpointing,
    )
    batch = held(config, facts, trained, formats, work)
    moving = batch.activations + batch.loss + batch.working
    parts = [
        Part("weights", weight_bytes(config, facts, dtype, new_ids), _held_in(config, dtype)),
        Part("adapter", 0 if full else trained.parameters * size),
        Part("gradients", trained.parameters * size, f"{trained.parameters:,} parameters"),
        Part("optimizer", state, config.training.optimizer),
        Part("activations", batch.activations, f"{work.tokens:,} tokens"),
        Part("loss", batch.loss, f"of {work.trained_tokens:,} trained tokens, in chunks"),
        Part("working", batch.working, "of the backward pass"),
    ]
    staying = sum(part.bytes for part in parts[:4]) + batch.copies
    if batch.copies:
        parts.append(Part("copies", batch.copies, f"of the adapter, in {dtype}"))
    if config.job.processes > 1 and config.job.sharding == "none":
        size_of_all = trained.parameters * size
        parts.append(Part("buckets", size_of_all, "DDP's, in which gradients are exchanged"))
    if device.gpu:
        allowance = CUBLAS_WORKSPACE + int(FRAGMENTATION * moving + ROUNDING * staying)
        parts.append(Part("allowance", allowance, "fragments, cuBLAS"))
        parts.append(Part("context", CUDA_CONTEXT, "CUDA itself"))
    else:
        copied, many = 0, work.trained_tokens > _FEW
        if many:
            copied += HOST_COPIES * facts.vocabulary * facts.width * flow
        if config.model.quantization != "none":
            # Of the matrices that were loaded whole to be quantised, pieces stay with the process.
            copied += sum(w.numel for w in facts.linear) * flow
        beside = _host_allowance(config, moving, trained.largest, copies=many)
        allowance = copied + beside
        parts.append(Part("allowance", allowance, "fragments, copies of products"))
        parts.append(Part("process", PROCESS, "Python and its libraries"))
    return Forecast(tuple(parts), paged, dtype, device.gpu, work)


def base_dtype(config: RunConfig, device: Device) -> str:
    """What `model.dtype` stands for, as `training.model.training_dtype` has it."""
    model = config.model
    if model.dtype != "auto":
        return model.dtype
    if config.training.method == "full":
        return "float32"
    good = device.bfloat16 and (device.gpu or model.quantization == "none")
    return "bfloat16" if good else "float32"


def weight_bytes(
    config: RunConfig, facts: BaseFacts, dtype: str, new_ids: Sequence[int] = ()
) -> int:
    """Bytes of the base's weights as they are held, constants of quantised ones included."""
    kind, size = config.model.quantization, _SIZES[dtype]
    quantised = facts.linear_names if kind != "none" else frozenset()
    rest = _FLOAT if config.model.upcast else size
    ends = 1 if facts.head is None else 2
    total = ends * added_rows(facts, new_ids) * facts.width * rest
    for weight in facts.weights:
        if weight.name not in quantised:
            total += weight.numel * rest
        elif kind == "int8":
            # A constant for each row.
            total += weight.numel + weight.shape[0] * _FLOAT
        else:
            total += _four_bits(weight.numel, double=config.model.double_quantization)
    return total


def _four_bits(numel: int, *, double: bool) -> int:
    """Bytes of a 4-bit matrix: two numbers a byte, the code of 16 numbers, and constants, which
    are 8 bits each themselves with double quantisation, beside their own code of 256 and mean."""
    blocks = -(-numel // _BLOCK_4BIT)
    constants = blocks * _FLOAT
    if double:
        constants = blocks + (-(-blocks // _BLOCK_CONSTANTS) + 256 + 1) * _FLOAT
    return (numel + 1) // 2 + 16 * _FLOAT + constants


def optimizer_state(
    sizes: Sequence[int], kind: Optimizer, itemsize: int, gpu: bool
) -> tuple[int, int]:
    """Bytes of an optimiser's state that stay where the model is, and those that are in pages.

    AdamW has two numbers to a parameter, in its own format (`itemsize` bytes), and a counter to a
    tensor; Lion has one; of bitsandbytes both in float32 or in 8 bits with a constant to 256.
    """
    if kind == "adamw":
        return sum(2 * n * itemsize + _FLOAT for n in sizes), 0
    numbers, few_bits = (1 if "lion" in kind else 2), kind.endswith("8bit")
    kept = paged = 0
    if few_bits and max(sizes, default=0) >= _LEAST_8BIT:
        # The codes of 256 numbers are shared by all.
        kept = numbers * 256 * _FLOAT
    for n in sizes:
        in_8_bits = few_bits and n >= _LEAST_8BIT
        state = numbers * n * (1 if in_8_bits else _FLOAT)
        kept += numbers * _FLOAT * -(-n // _BLOCK_STATE) if in_8_bits else 0
        if gpu and kind.startswith("paged") and n >= _LEAST_PAGED:
            paged += state
        else:
            kept += state
    return kept, paged


def _host_allowance(config: RunConfig, moving: int, largest: int, *, copies: bool) -> int:
    """What malloc keeps, and a step of bitsandbytes; `largest` is that of the trained tensors."""
    dropped = config.lora.dropout and config.training.method != "full"
    share = _COPIED_FRAGMENTS if copies else HOST_FRAGMENTS
    beside = int((_MASKED_FRAGMENTS if dropped else share) * moving)
    if config.training.optimizer != "adamw":
        # A step comes when the batch is gone.
        beside = max(beside, _BNB_STEP * _FLOAT * largest - moving)
    return beside


def _held_in(config: RunConfig, dtype: str) -> str:
    kind = config.model.quantization
    return dtype if kind == "none" else f"{kind}, the rest in {dtype}"
