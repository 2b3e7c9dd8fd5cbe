"""Peak memory of a training step against the length of the prompt, the response being the same.

Ours beside the loss that transformers computes itself from all logits; each figure is of a
process of its own, activations recomputed in both, so that what is left is the loss.

    python benchmarks/loss_memory.py --model DIR [--response 128]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

PROMPTS = (256, 512, 1024, 2048, 4096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--response", type=int, default=128)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print("PEAK", _step(args.model, args.worker[0], int(args.worker[1]), args.response))
        return
    print(f"response of {args.response} tokens; peak above the model alone, MiB")
    print(f"{'prompt':>8} {'workbench':>10} {'all logits':>11}")
    for prompt in PROMPTS:
        ours, theirs = (_measure(args, how, prompt) for how in ("workbench", "all"))
        print(f"{prompt:>8} {ours >> 20:>10,} {theirs >> 20:>11,}", flush=True)


def _measure(args: argparse.Namespace, how: str, prompt: int) -> int:
    command = [sys.executable, __file__, "--model", str(args.model)]
    command += ["--response", str(args.response), "--worker", how, str(prompt)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PEAK ")]
    if not lines:
        sys.exit(done.stderr[-2000:])
    return int(lines[0].split()[1])


def _step(folder: Path, how: str, prompt: int, response: int) -> int:
    """Bytes that a forward and backward pass takes at most above what is held before it."""
    import torch

    from workbench.config.schema import RunConfig
    from workbench.training import fast_lora, memory, model
    from workbench.training.batches import Layout, Row, collate
    from workbench.training.loss import TrainedTokenLoss

    body: dict[str, Any] = {
        "model": {"base": str(folder), "dtype": "float32"},
        "training": {"gradient_checkpointing": True},
    }
    config = RunConfig.model_validate(body)
    model.quieten()
    device = torch.device("cpu")
    trained = model.load_to_train(folder, config, device)
    ids = torch.randint(0, 1000, (prompt + response,), dtype=torch.int32)
    row = Row(ids, torch.arange(len(ids)) >= prompt, response)
    batch = collate([row], [0], Layout(1, len(ids), 0, packed=False), device)
    trained.train()
    memory.forget_peak(device)
    before = memory.held(device)
    if how == "workbench":
        fast_lora.speed_up(trained)
        TrainedTokenLoss(trained)(batch).sum().backward()
    else:
        labels = torch.where(row.trained, ids, -100).long().unsqueeze(0)
        trained(input_ids=batch.input_ids, labels=labels).loss.backward()
    return memory.peak(device) - before


if __name__ == "__main__":
    main()
