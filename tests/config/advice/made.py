"""Circumstances made on the spot: a Llama by its shapes, rows by their lengths, a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.config.base_facts import BaseFacts, Weight
from workbench.config.circumstances import (
    Circumstances,
    DatasetFacts,
    Machine,
    TaskRows,
    TemplateFacts,
)
from workbench.config.memory import Device
from workbench.data.lengths import LengthCounts, Lengths

GIB = 1 << 30
Rows = Sequence[tuple[int, int]]
"""Lengths in tokens, each with how many rows have it."""
USUAL: Rows = ((120, 2500), (200, 1500), (300, 950), (600, 50))


def llama(layers: int = 16, width: int = 2048, inner: int = 8192, context: int = 8192) -> BaseFacts:
    """A Llama with a head of its own, grouped keys, and a vocabulary of 32,000."""
    keys = width // 4
    shapes = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    weights = [
        Weight(f"model.layers.{layer}.{name}.weight", shape)
        for layer in range(layers)
        for name, shape in shapes.items()
    ]
    ends = [
        Weight("model.embed_tokens.weight", (32_000, width)),
        Weight("model.norm.weight", (width,)),
        Weight("lm_head.weight", (32_000, width)),
    ]
    config = {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "max_position_embeddings": context,
    }
    return BaseFacts((*weights, *ends), config, tied=False)


def mixture(family: str) -> BaseFacts:
    """The Llama with eight experts in each layer but the first."""
    made = llama()
    dense = [w for w in made.weights if w.layer in (None, 0) or ".mlp." not in w.name]
    inside = {"gate_proj": (1024, 2048), "up_proj": (1024, 2048), "down_proj": (2048, 1024)}
    chosen = [
        Weight(f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight", shape)
        for layer in range(1, made.layers)
        for expert in range(8)
        for name, shape in inside.items()
    ]
    routers = [
        Weight(f"model.layers.{n}.mlp.gate.weight", (8, 2048)) for n in range(1, made.layers)
    ]
    config = made.config | {"model_type": family, "num_experts": 8, "num_experts_per_tok": 2}
    return BaseFacts((*dense, *chosen, *routers), config, tied=False)


BASE = llama()
"""1.1 billion parameters."""
LARGE = llama(48, 5120, 13824)
"""13.7 billion."""


def measured(rows: Rows, prompt: int = 50) -> Lengths:
    """Rows of which all that follows the first `prompt` tokens is trained."""
    counts = LengthCounts()
    for tokens, times in rows:
        for _ in range(times):
            counts.add(tokens, (min(prompt, tokens - 1), tokens))
    return Lengths(counts.counts)


_USUAL = {"train": measured(USUAL), "validation": measured([(t, n // 10) for t, n in USUAL])}


def dataset(
    train: int = 5000,
    validation: int = 500,
    *,
    lengths: dict[str, Lengths] | None = None,
    tasks: dict[str, TaskRows] | None = None,
    **others: Any,
) -> DatasetFacts:
    """5,000 training rows and 500 of validation, of usual lengths where no others are given."""
    if lengths is None:
        lengths = _USUAL if (train, validation) == (5000, 500) else {}
    return DatasetFacts(
        "made@0123456789ab",
        train,
        validation,
        tasks=tasks or {"": TaskRows(train, train)},
        lengths=lengths,
        **others,
    )


def gpu(
    free: float = 22.0, *, total: float = 24.0, bfloat16: bool = True, gpus: int = 1
) -> Machine:
    """A GPU with so many GiB free."""
    device = Device(gpu=True, bfloat16=bfloat16)
    return Machine(device, "GPU 0 (made)", int(free * GIB), int(total * GIB), gpus)


def processor(free: float = 30.0, *, bfloat16: bool = False) -> Machine:
    """A machine without a GPU."""
    device = Device(gpu=False, bfloat16=bfloat16)
    return Machine(device, "this machine, without a GPU", int(free * GIB))


CHAT = TemplateFacts(chat=True, system=True, pad_ends=False)


def known(
    machine: Machine | None = None,
    *,
    base: BaseFacts | None = BASE,
    template: TemplateFacts | None = CHAT,
    rows: DatasetFacts | None = None,
) -> Circumstances:
    """A base of 1.1B on a GPU of 24 GiB, with the usual rows."""
    return Circumstances(machine or gpu(), base, template, rows or dataset())
