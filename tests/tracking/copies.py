"""Copies of the trained run's workspace, which a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.trained import Trained
from workbench.workspace import Workspace

RUN = "small-0001"


def copy_of(trained: Trained, place: Path) -> tuple[Workspace, Path, Path]:
    """Workspace, run and base in a folder of the test's own; the run names that base."""
    workspace = Workspace(Path(shutil.copytree(trained.pristine, place / "ws")))
    base = Path(shutil.copytree(trained.base, place / "base"))
    run = workspace.runs / RUN
    for name in ("manifest.json", "config.yaml"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace(str(trained.base), str(base)))
    return workspace, run, base
