"""`python -m tests.training.short_of_memory BASE FOLDER MEBIBYTES`: prints how many rows at once
are found to fit in so much more memory than the process has with its model loaded."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

from tests.training.harness import CPU, LOG, configure
from workbench.jobs.log import LogWriter
from workbench.training import model
from workbench.training.batches import Row
from workbench.training.ranks import ALONE
from workbench.training.ready import make_ready

TOKENS = 1024
ROWS = 64


def main(base: Path, folder: Path, more: int) -> None:
    training = {"micro_batch": "auto", "batch_size": ROWS, "accumulation": 1}
    config = configure(base, training=training)
    row = Row(torch.arange(TOKENS, dtype=torch.int32) % 250, torch.ones(TOKENS).bool(), TOKENS - 1)
    trained = model.load_to_train(base, config, CPU)
    held = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert held is not None
    limit = int(held[1]) * 1024 + (more << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with LogWriter(folder / LOG) as log:
        ready = make_ready(
            config, trained, [row] * ROWS, [], pad_id=256, device=CPU, log=log, ranks=ALONE
        )
    print(ready.layout.size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
