"""A tiny model over two ranks: `python -m tests.training.in_shards FOLDER`.

FOLDER/cases.json names what is trained; `train` is the same for one process alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from tests.training.harness import CPU, configure, encode
from tests.training.two_ranks import tell
from workbench.training import batches, model, sharding
from workbench.training.loss import TrainedTokenLoss
from workbench.training.ranks import Ranks

STEPS = 3
LIMIT = 0.5
ROWS = 8
MICRO_BATCHES = 2


class Trainer:
    """Steps of eight rows in two micro-batches, each of which the ranks share."""

    def __init__(self, base: Path, case: dict[str, Any], ranks: Ranks) -> None:
        config = configure(base, **case["config"])
        loaded: Any = model.load_base(base, config.model, CPU)
        self.model = (
            loaded.requires_grad_(True) if case["full"] else model.add_adapter(loaded, config)
        )
        self.ranks = ranks
        self.rows = encode(base, ROWS)
        self.measure = TrainedTokenLoss(self.model)
        self.sharded: FSDPModule | None = None
        if ranks.count > 1:
            self.sharded = sharding.shard(self.measure, CPU, ranks.count)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-2, fused=True)

    def step(self) -> float:
        """The norm of the gradient before it was clipped."""
        total = sum(row.trained_tokens for row in self.rows)
        each = ROWS // MICRO_BATCHES
        for number in range(MICRO_BATCHES):
            rows = self.rows[number * each : (number + 1) * each]
            mine = rows[self.ranks.number :: self.ranks.count]
            (batch,) = batches.batches(mine, each, 256, CPU)
            if self.sharded is not None:
                sharding.add_up(self.sharded, number == MICRO_BATCHES - 1)
            (self.measure(batch).sum() * self.ranks.count / total).backward()
        norm = sharding.clip_gradients(self.parameters, LIMIT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm)

    def weights(self) -> dict[str, Tensor]:
        return sharding.trained_weights(self.model, keep=True)


def train(folder: Path, base: Path, case: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Norms; the first rank saves the weights. In shards a second one goes on from half-way."""
    trainer = Trainer(base, case, ranks)
    norms = [trainer.step()]
    weights = trainer.weights()
    state = sharding.optimizer_state(trainer.optimizer, keep=True)
    norms += [trainer.step() for _ in range(STEPS - 1)]
    result = trainer.weights()
    if ranks.first:
        save_file(result, folder / f"{case['name']}-{ranks.count}.safetensors")
    resumed = Trainer(base, case, ranks)
    sharding.load_weights(resumed.model, weights)
    sharding.load_optimizer_state(resumed.optimizer, state)
    again = [resumed.step() for _ in range(STEPS - 1)]
    end = resumed.weights()
    return {
        "norms": norms,
        "resumes exactly": again == norms[1:] and all(torch.equal(result[n], end[n]) for n in end),
        "not kept": len(sharding.trained_weights(resumed.model, keep=False)),
        "held here": _share_held(trainer.parameters),
    }


def _share_held(parameters: Sequence[Tensor]) -> float:
    """How much of all numbers is in this process."""
    local = (p.to_local() if isinstance(p, DTensor) else p for p in parameters)
    return sum(p.numel() for p in local) / sum(p.numel() for p in parameters)


if __name__ == "__main__":
    at = Path(sys.argv[1])
    told = json.loads((at / "cases.json").read_text())
    together = Ranks.join()
    tell(
        at,
        together.number,
        {case["name"]: train(at, Path(told["base"]), case, together) for case in told["cases"]},
    )
    together.leave()
