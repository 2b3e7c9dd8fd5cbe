"""What each of two ranks says to the other: `python -m tests.training.in_two_ranks FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from tests.polling import eventually
from tests.training.two_ranks import tell
from workbench.errors import WorkbenchError
from workbench.training.ranks import Ranks


def talk(folder: Path) -> None:
    ranks = Ranks.join()
    accelerator = Accelerator()
    # Stop on the second, pause and an interval on the first.
    asked = ranks.agree([0, 1, 25] if ranks.first else [1, 0, 0])
    values = torch.arange(3.0) if ranks.first else torch.tensor([7.0])
    gathered = ranks.gather(values)
    states = ranks.gather(torch.get_rng_state())
    total = torch.tensor([1.5, ranks.number])
    wait = ranks.sum(total)
    wait()
    ranks.wait_for_all("the test")
    told = {
        "ranks": [ranks.number, ranks.count, accelerator.process_index, accelerator.num_processes],
        "asked": asked,
        "gathered": [part.tolist() for part in gathered],
        "states": [len(state) for state in states],
        "sum": total.tolist(),
        "missing": _missing(ranks, folder),
    }
    tell(folder, ranks.number, told)
    ranks.leave()


def _missing(ranks: Ranks, folder: Path) -> Any:
    """What the first rank is told of the second, which doesn't come."""
    if not ranks.first:
        eventually((folder / "given-up").exists)
        return None
    try:
        ranks.wait_for_all("the checkpoint", seconds=0.3)
    except WorkbenchError as error:
        return [error.message, error.cause]
    finally:
        (folder / "given-up").touch()


if __name__ == "__main__":
    talk(Path(sys.argv[1]))
