"""What a run's next checkpoints need on the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.config.effective import effective
from workbench.errors import WorkbenchError
from workbench.planning import known
from workbench.tracking import runs
from workbench.workspace import Workspace

_NAME = re.compile(r"step-\d+")


@dataclass(frozen=True, slots=True)
class Room:
    """What is to be written yet."""

    checkpoint: int | None
    """Bytes of the next checkpoint; None where neither the run nor its config tells."""
    rest: int | None
    """Bytes that the run's folder has to grow by, at most: all that is kept at once, one more
    while it is written, and the result."""


def of(workspace: Workspace, run: Path) -> Room:
    """A checkpoint is as large as the largest that there is; before the first, as its config
    makes it. Meant for a thread: it reads the base's headers."""
    sizes = [_size(p) for p in (run / "checkpoints").glob("step-*") if _NAME.fullmatch(p.name)]
    try:
        config = runs.load_config(run)
        comes_to = effective(config, known.gather(workspace, config))
    except (WorkbenchError, OSError):
        return Room(max(sizes, default=None), None)
    rest = None if comes_to.run_bytes is None else max(0, comes_to.run_bytes - sum(sizes))
    return Room(max(sizes, default=None) or comes_to.checkpoint_bytes, rest)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # removed since
    return total
