"""The forecast of memory against real models: weights, adapter, gradients and optimiser to the
byte, and what a batch takes against the most that is allocated.

On a processor that is by torch's own allocations (its profiler counts each), since a process's
resident set has too much else in it for models of some MB; with `--model` the rehearsal of a whole
one is told as well. On a GPU it is max_memory_allocated of everything, over 42 configurations of
models of 0.5B to 8B with random weights, against the forecast with its allowance: never under,
and within 10 %, is what it should be.

    python benchmarks/memory.py [--quick] [--model DIR]
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

Body = dict[str, dict[str, Any]]

SMALL: dict[str, dict[str, Any]] = {
    "llama, GQA": {"model_type": "llama", "tie_word_embeddings": False},
    "llama, tied": {"model_type": "llama", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "tie_word_embeddings": True, "head_dim": 64},
    "qwen3 MoE": {
        "model_type": "qwen3_moe",
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 128,
        "head_dim": 32,
    },
}
SHAPE = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
}
LARGE: dict[str, dict[str, Any]] = {
    # The shapes of the models' config.json on the hub.
    "Qwen2.5-0.5B": {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "Llama-3.2-3B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "Llama-3.1-8B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
METHODS: dict[str, Body] = {
    "LoRA": {},
    "QLoRA": {"model": {"quantization": "nf4"}},
    "full": {"training": {"method": "full"}},
}
COLUMNS = f"{'':14} {'':6} {'ckpt':>4} {'tokens':>6} {'exact parts':>12} {'batch':>9} {'peak':>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one length")
    parser.add_argument("--model", type=Path, help="rehearse this model's folder as well")
    parser.add_argument("--resident", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.resident:
        print("PEAK", *_resident(Path(args.resident[0]), int(args.resident[1])))
        return
    import torch

    gpu = torch.cuda.is_available()
    if gpu:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{COLUMNS} {'error':>7}   (MiB; exact parts: forecast less real, bytes)")
    errors: list[float] = []
    lengths = (512, 1024, 4096) if gpu else (512, 2048)
    names = LARGE if gpu else SMALL
    for name, about in names.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), about if gpu else {**SHAPE, **about}, gpu)
            at = lengths[: 1 if args.quick else None]
            for line in _lines(name, Path(folder), at, gpu, errors):
                print(line, flush=True)
    if errors:
        print(
            f"{len(errors)} configurations: {min(errors):+.1%} to {max(errors):+.1%}, "
            f"{sum(error < 0 for error in errors)} under, "
            f"{sum(abs(error) > 0.1 for error in errors)} over 10 % off"
        )
    if not gpu and args.model:
        _tell_resident(args.model)


def _lines(
    name: str, folder: Path, lengths: tuple[int, ...], gpu: bool, errors: list[float]
) -> Iterator[str]:
    """A line a configuration; its error goes to `errors`."""
    for method, body in METHODS.items():
        # 16 B a parameter of 8B are more than any one GPU has.
        if gpu and method == "full" and name != "Qwen2.5-0.5B":
            continue
        for checkpointed in (False, True):
            for length in lengths:
                training = {**body.get("training", {}), "gradient_checkpointing": checkpointed}
                try:
                    off, expected, peak = compare(folder, {**body, "training": training}, length)
                except RuntimeError as error:
                    mark = "yes" if checkpointed else "no"
                    yield f"{name:14} {method:6} {mark:>4} {length:>6} {str(error)[:60]}"
                    continue
                errors.append(expected / peak - 1)
                mark = "yes" if checkpointed else "no"
                figures = (
                    f"{expected / 2**20:>9,.1f} {peak / 2**20:>9,.1f} {expected / peak - 1:>+7.1%}"
                )
                yield f"{name:14} {method:6} {mark:>4} {length:>6} {off:>12,} {figures}"


def compare(folder: Path, body: Body, length: int) -> tuple[int, int, int]:
    """The forecast of a base's exact parts less the real ones, and of a batch of one row of
    `length` tokens, and what that takes at most; all in bytes. On a GPU the latter two are of all
    that is there: the model, its gradients and the batch, with the forecast's allowance."""
    import torch

    from workbench.config.activations import Work
    from workbench.config.base_facts import BaseFacts
    from workbench.config.memory import Device, forecast
    from workbench.config.schema import RunConfig
    from workbench.training import fast_lora, model
    from workbench.training.attention import use_segments
    from workbench.training.batches import Layout, Row, collate
    from workbench.training.loss import TrainedTokenLoss, causal_model

    device = model.pick_device()
    # What an earlier model left must neither count nor go away meanwhile.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    dtype = "auto" if device.type == "cuda" else "float32"
    told: Any = {**body, "model": {"base": str(folder), "dtype": dtype, **body.get("model", {})}}
    config = RunConfig.model_validate(told)
    model.quieten()
    trained = model.load_to_train(folder, config, device)
    use_segments(causal_model(trained))
    fast_lora.speed_up(trained)
    ids = torch.randint(0, 4096, (length,), dtype=torch.int32)
    row = Row(ids, torch.arange(length) >= length // 2, length // 2)
    batch = collate([row], [0], Layout(1, length, 0, packed=True), device)
    work = Work(length, length, batch.trained_tokens, 0)
    found = forecast(config, BaseFacts.of(folder), work, Device(device.type == "cuda"))
    off = sum(abs(found.of(part) - real) for part, real in exact(trained, config).items())
    measure = TrainedTokenLoss(trained)
    measure.train()
    expected = sum(found.of(part) for part in ("activations", "loss", "working"))
    if device.type == "cuda":
        # The optimiser, whose state is exact, has gone again.
        expected = found.measured - found.of("optimizer")
    peak = _peak(lambda: measure(batch).sum().backward(), device)
    return off, expected, peak


def exact(trained: Any, config: Any) -> dict[str, int]:
    """Bytes of weights, adapter, gradients and optimiser, of the objects themselves; leaves the
    gradients, of zeros, there."""
    import torch

    from workbench.training.optimizers import make_optimizer, parameter_groups

    learnt = [p for p in trained.parameters() if p.requires_grad]
    for parameter in learnt:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer(parameter_groups(trained, config), config.training)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    states = (v for of in optimizer.state.values() for v in of.values() if torch.is_tensor(v))
    state = {s.untyped_storage().data_ptr(): s for s in states}
    taken = _bytes(learnt)
    full = config.training.method == "full"
    return {
        "weights": taken if full else _frozen(trained),
        "adapter": 0 if full else taken,
        "gradients": _bytes(p.grad for p in learnt),
        "optimizer": _bytes(state.values()),
    }


def _frozen(trained: Any) -> int:
    total = 0
    for parameter in trained.parameters():
        if parameter.requires_grad:
            continue
        held = [parameter]
        if (quantised := getattr(parameter, "quant_state", None)) is not None:
            held += [quantised.absmax, quantised.code]
            if quantised.nested:
                held += [quantised.offset, quantised.state2.absmax, quantised.state2.code]
        if getattr(parameter, "SCB", None) is not None:
            held.append(parameter.SCB)
        total += _bytes(held)
    return total


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak(step: Callable[[], None], device: Any) -> int:
    """Bytes that `step` has allocated at most, above what there is before it; on a GPU all that
    is allocated, what cuBLAS keeps for itself included."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    if device.type == "cuda":
        step()  # what cuBLAS keeps for itself is there from then on
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as told:
        step()
    made: Any = told.profiler
    events = [
        (event.start_ns(), event.nbytes())
        for event in made.kineto_results.events()
        if event.name() == "[memory]"
    ]
    now = most = 0
    for _, amount in sorted(events, key=lambda event: event[0]):
        now += amount
        most = max(most, now)
    return most


def make(folder: Path, about: dict[str, Any], gpu: bool) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    body = dict(about)
    kind = body.pop("model_type")
    with torch.device("cuda") if gpu else nullcontext():
        made = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, **body), dtype=torch.bfloat16 if gpu else torch.float32
        )
    made.save_pretrained(folder)


def _tell_resident(folder: Path) -> None:
    """The rehearsal's peak of a whole model, each of a process of its own; 0 tokens: no model."""
    print(f"\n{folder.name}: a process's peak, as the rehearsal counts it, MiB")
    for length in (0, 256, 512, 1024):
        command = [sys.executable, __file__, "--resident", str(folder), str(length)]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("PEAK ")]
        if not lines:
            sys.exit(done.stderr[-2000:])
        expected, peak = map(int, lines[0].split()[1:])
        print(f"{length:>6} tokens  forecast {expected >> 20:>7,}  peak {peak >> 20:>7,}")


def _resident(folder: Path, length: int) -> tuple[int, int]:
    """What a rehearsal of one row should take, and takes, in bytes."""
    import torch

    from workbench.config.base_facts import BaseFacts
    from workbench.config.memory import PROCESS, Device, forecast
    from workbench.config.schema import RunConfig
    from workbench.training import fast_lora, memory, model, rehearsal
    from workbench.training.batches import Layout, Row, collate
    from workbench.training.loss import TrainedTokenLoss
    from workbench.training.optimizers import make_optimizer, parameter_groups

    device = torch.device("cpu")
    model.quieten()
    if not length:
        return PROCESS, memory.peak(device)
    body: Any = {"model": {"base": str(folder), "dtype": "float32"}}
    config = RunConfig.model_validate(body)
    trained = model.load_to_train(folder, config, device)
    row = Row(
        torch.randint(0, 1000, (length,), dtype=torch.int32), torch.ones(length).bool(), length
    )
    batch = collate([row], [0], Layout(1, length, 0, packed=False), device)
    fast_lora.speed_up(trained)
    result = rehearsal.rehearse(
        TrainedTokenLoss(trained),
        lambda: make_optimizer(parameter_groups(trained, config), config.training),
        [batch],
        None,
        lambda doing: nullcontext(),
    )
    found = forecast(config, BaseFacts.of(folder), result.work, Device(gpu=False))
    return found.measured, result.peak


if __name__ == "__main__":
    main()
