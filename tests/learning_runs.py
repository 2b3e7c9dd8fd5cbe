"""A run's folder as far as what it learnt of each row goes: a manifest, and `examples.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.data.versions import Version
from workbench.learning.log import NAME
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace


def line(
    row: int, loss: float | None, *, epoch: int = 1, step: int = 1, tokens: int = 9
) -> dict[str, float | int | None]:
    return {"epoch": epoch, "step": step, "row": row, "loss": loss, "tokens": tokens}


def write_lines(run: Path, lines: Sequence[Mapping[str, float | int | None]]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    with (run / NAME).open("a") as stream:
        stream.write("".join(f"{json.dumps(body)}\n" for body in lines))


def make_run(
    workspace: Workspace,
    version: Version,
    lines: Sequence[Mapping[str, float | int | None]],
    name: str = "small-0001",
) -> Path:
    """The folder of a run of a dataset version."""
    run = workspace.runs / name
    run.mkdir(parents=True)
    dataset = {
        "name": version.name,
        "version": version.version,
        "sha256": version.sha256,
        "rows": version.rows,
    }
    (run / MANIFEST).write_text(json.dumps({"v": 1, "run": name, "dataset": dataset}))
    if lines:
        write_lines(run, lines)
    return run
