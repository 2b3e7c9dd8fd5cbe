"""Tokens a second of workbench and of TRL's SFTTrainer on the same rows, side by side.

Both get the same encoded rows in the same order, the same model, LoRA on all linear layers and
seed; a contender is a process of its own, and they take turns. Printed are the median over the
rounds of tokens a second, peak memory and the loss on held-out rows by one and the same plain
computation, each with its ratio to workbench in the same round; and the share that workbench
reaches of what the arithmetic that can't be avoided allows at this machine's matrix product.

    python benchmarks/throughput.py --model DIR --data FILE.jsonl [--rounds 3] [--steps 4]

TRL is no dependency: `pip install trl==1.16.0` first. Its loss curve is printed beside ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.contenders import OURS, ROWS, Result, Spec, tokens_in, work

PLAIN: Spec = {"use_cpu": True, "gradient_checkpointing": False}
ONE: Spec = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
FOUR: Spec = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
PACKED: Spec = {
    "packing": True,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
}
CONTENDERS: dict[str, Spec] = {
    OURS: {},
    f"{OURS} float32": {"dtype": "float32"},
    # bfloat16 by autocast, activation checkpointing, 8 rows padded to the longest.
    "TRL as it comes": {"use_cpu": True},
    "TRL as it comes float32": {"use_cpu": True, "bf16": False},
    "TRL padding": {**PLAIN, **FOUR},
    "TRL padding float32": {**PLAIN, **FOUR, "bf16": False},
    "TRL a row at a time": {**PLAIN, **ONE},
    "TRL a row at a time float32": {**PLAIN, **ONE, "bf16": False},
    "TRL packing": {**PLAIN, **PACKED},
    "TRL packing float32": {**PLAIN, **PACKED, "bf16": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument(
        "--only", nargs="*", choices=list(CONTENDERS), help="default: all that pay here"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        spec = json.loads(args.worker)
        print("RESULT", json.dumps(_work(spec)))
        return
    args.only = args.only or _worth_running(args.model)
    with tempfile.TemporaryDirectory() as folder:
        _compare(args, Path(folder))


def _worth_running(model: Path) -> list[str]:
    """Without TRL in bfloat16 where workbench's own choice is float32: such a processor emulates
    bfloat16, and one step of TRL's default took over four minutes on two cores with AVX2."""
    emulated = "float32" in str(_own_dtype(model))
    ours = [OURS] if emulated else [OURS, f"{OURS} float32"]
    theirs = [name for name in CONTENDERS if name.startswith("TRL")]
    return ours + [name for name in theirs if not emulated or name.endswith("float32")]


def _compare(args: argparse.Namespace, folder: Path) -> None:
    rows = _encode(args.model, args.data, (args.steps + 1) * ROWS + 16)
    held_out, train = rows[:16], rows[16:]
    (folder / "rows.json").write_text(json.dumps({"train": train, "held_out": held_out}))
    print(f"{args.steps} steps of {ROWS} rows, {tokens_in(train[ROWS:]):,} tokens timed")
    found: dict[str, list[Result]] = {name: [] for name in args.only}
    for number in range(args.rounds):
        # Whoever is first meets a cooler machine.
        order = args.only if number % 2 == 0 else args.only[::-1]
        for name in order:
            result = _run(name, args, folder)
            found[name].append(result)
            print(
                f"  round {number + 1}  {name:27} {result['speed']:6.1f} tokens/s  "
                f"{result['peak'] / 2**30:5.2f} GiB  loss {result['held_out']:.4f}",
                flush=True,
            )
    _print_table(found)
    _print_curves(found)
    _print_share(args.model, train, found)


def _run(name: str, args: argparse.Namespace, folder: Path) -> Result:
    spec = {
        "name": name,
        "settings": CONTENDERS[name],
        "model": str(args.model),
        "rows": str(folder / "rows.json"),
        "steps": args.steps,
        "folder": str(folder),
    }
    command = [sys.executable, __file__, "--model", ".", "--data", ".", "--worker"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [*command, json.dumps(spec)], capture_output=True, text=True, env=environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(lines[0].removeprefix("RESULT "))
    result["speed"] = result["tokens"] / result["seconds"]
    return result


def _encode(model: Path, data: Path, count: int) -> list[Spec]:
    from workbench.config.schema import Data
    from workbench.data.formats import to_examples
    from workbench.data.template import ChatTemplate
    from workbench.training.encoding import encode

    template = ChatTemplate.load(model)
    lines = data.read_text(encoding="utf-8").splitlines()[:count]
    examples = [example for line in lines for example in to_examples(json.loads(line))]
    rows = encode(examples, template, Data(dataset="x", max_length=2048)).rows
    return [{"ids": row.ids.tolist(), "trained": row.trained.tolist()} for row in rows]


def _work(spec: Spec) -> Result:
    """In a contender's own process."""
    rows = json.loads(Path(spec["rows"]).read_text())
    return work(spec, rows["train"], rows["held_out"])


def _print_table(found: dict[str, list[Result]]) -> None:
    print(f"\n{'':27} tokens/s    ×  peak GiB     ×    loss      ×  (workbench / the other)")
    for name, results in found.items():
        cells = []
        for key, scale in (("speed", 1.0), ("peak", 2**30), ("held_out", 1.0)):
            values = [result[key] / scale for result in results]
            ours = [result[key] for result in found.get(OURS, results)]
            ratios = [a / r[key] for a, r in zip(ours, results, strict=True)]
            cells.append(f"{statistics.median(values):9.3f} {statistics.median(ratios):6.3f}")
        print(f"{name:27}{'  '.join(cells)}")


def _print_curves(found: dict[str, list[Result]]) -> None:
    print("\nloss by step")
    for name, results in found.items():
        print(f"{name:27} " + " ".join(f"{loss:.4f}" for loss in results[0]["losses"]))


def _print_share(model: Path, rows: Sequence[Spec], found: dict[str, list[Result]]) -> None:
    """Forward and back through frozen weights, the adapter with its own gradients, and the head
    forward and back on trained tokens: 4 and 6 operations a weight and token."""
    import torch

    config = json.loads((model / "config.json").read_text())
    width, inner, layers = (
        config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    key_value = config["num_key_value_heads"] * config["head_dim"]
    shapes = [(width, width)] * 2 + [(width, key_value)] * 2 + [(width, inner)] * 3
    frozen = layers * sum(a * b for a, b in shapes)
    adapter = layers * sum(16 * (a + b) for a, b in shapes)
    trained = sum(sum(row["trained"]) for row in rows) / tokens_in(rows)
    operations = 4 * frozen + 6 * adapter + 4 * trained * config["vocab_size"] * width
    for name in (name for name in found if name.startswith(OURS)):
        dtype = torch.float32 if "float32" in name else _own_dtype(model)
        rate = _product_rate(torch.randn(2048, width, dtype=dtype), inner)
        limit = rate / operations
        speed = statistics.median(result["speed"] for result in found[name])
        print(
            f"{rate / 1e9:.0f} GFLOP/s in {dtype} allow {limit:.0f} tokens/s: {name} reaches "
            f"{100 * speed / limit:.0f} %"
        )


def _own_dtype(model: Path) -> Any:
    """The number format that workbench takes by itself here."""
    from workbench.config.schema import Model
    from workbench.training.model import pick_device, pick_dtype

    return pick_dtype(Model(base=str(model)), pick_device())


def _product_rate(x: Any, inner: int) -> float:
    """Operations a second of a matrix product of this machine, at best."""
    weight = x.new_ones(inner, x.shape[1])
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(10):
            x @ weight.t()
        best = max(best, 20 * x.numel() * inner / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
