"""Which settings of a config would make it need less memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from workbench.config.conflicts import needs_whole_base
from workbench.config.schema import RunConfig, Training
from workbench.config.steps import StepSize

Doing = Literal["loading", "training", "evaluating", "answering"]
"""What a run was at when its memory ran out: each has settings that count then."""
_MOST = 4096
"""The bound of training.accumulation."""
_FEWEST_TOKENS = 16
"""The bound of training.micro_batch_tokens."""


def memory_advice(config: RunConfig, doing: Doing = "training") -> str:
    """Settings that would help this config, as `--set` takes them: the most effective and least
    costly first, and only those that change something."""
    found = [*_activations(config, doing), *_weights(config)]
    if doing == "training":
        found += _costly(config)
    if not found:
        return "Use a smaller base model, or a machine with more memory."
    listed = "; ".join(f"{number}. {step}" for number, step in enumerate(found, 1))
    return f"In this order, until it fits: {listed}; {len(found) + 1}. a smaller base model."


def _activations(config: RunConfig, doing: Doing) -> Iterator[str]:
    """What each row in flight takes."""
    training = config.training
    if doing == "training":
        if smaller := _smaller_batch(training):
            what = "rows" if training.step_tokens is None else "tokens"
            yield f"{smaller} (as many {what} a step)"
        if not training.gradient_checkpointing:
            yield "training.gradient_checkpointing=true (about a third slower)"
    evaluation = config.evaluation
    if doing == "evaluating" and evaluation.batch_size > 1:
        yield f"evaluation.batch_size={evaluation.batch_size // 2}"
    if doing == "answering" and evaluation.asked:
        # Fewer at once are tried by themselves: it was not enough for one.
        own = " and no evaluation.sample_prompts" if evaluation.sample_prompts else ""
        yield f"evaluation.samples=0{own} (no rows are answered while it trains)"


def _weights(config: RunConfig) -> Iterator[str]:
    """What the base model itself takes."""
    model = config.model
    if config.training.method == "full":
        yield "training.method=lora (an adapter: no gradients and no state for the base's weights)"
    elif model.quantization == "none":
        # Some initialisations can't be had on a quantised base.
        start = config.lora.initialisation
        other = " lora.initialisation=default" if needs_whole_base(start) else ""
        yield f"model.quantization=nf4{other} (QLoRA: the base in 4 bits instead of 16 or 32)"
    elif model.quantization == "int8":
        yield "model.quantization=nf4 (the base in 4 bits instead of 8)"
    elif not model.double_quantization:
        yield "model.double_quantization=true (0.4 bits less a weight)"
    if model.upcast:
        yield "model.upcast=false (norms, embeddings and head in half the size)"
    if model.dtype == "float32" and model.quantization == "none":
        yield "model.dtype=bfloat16 (half the memory for the base, if it must not be in 4 bits)"


def _costly(config: RunConfig) -> Iterator[str]:
    """What helps little, or changes what is learnt."""
    optimizer = config.training.optimizer
    smallest = "paged_lion_8bit" if "lion" in optimizer else "paged_adamw_8bit"
    shared = config.job.sharding != "none" or config.job.accelerate_config
    if optimizer != smallest and not shared:
        yield f"training.optimizer={smallest} (its state in 8 bits, moved out of the way)"
    shorter = config.data.max_length // 2
    if shorter >= 16:
        yield f"data.max_length={shorter} data.too_long=drop (longer rows are left out)"


def _smaller_batch(training: Training) -> str:
    """At most half as much at once, and as much a step; empty where it is one row already, or as
    few tokens as there can be."""
    if training.micro_batch_tokens is not None:
        half = training.micro_batch_tokens // 2
        return f"training.micro_batch_tokens={half}" if half >= _FEWEST_TOKENS else ""
    match training.micro_batch:
        case "auto":
            return ""
        case int(size):
            return f"training.micro_batch={size // 2}" if size > 1 else ""
    rows = StepSize.of(training).rows
    if not rows:
        half = training.batch_size // 2
        return f"training.batch_size={half}" if half else ""
    smaller = (
        f"training.batch_size={n} training.accumulation={rows // n}"
        for n in range(training.batch_size // 2, 0, -1)
        if rows % n == 0 and rows // n <= _MOST
    )
    return next(smaller, "")
