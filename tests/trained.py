"""One real run of the tiny model, made by the command line as a person would make it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.workspace import Workspace

ANSWER = "ok"
LICENCE = "Do as you like."
SECRET = "the-value-of-an-environment-variable"  # noqa: S105


@dataclass(frozen=True)
class Trained:
    """A workspace with a finished and evaluated run in it, to be read only."""

    workspace: Workspace
    base: Path
    run: Path
    evaluation: Path
    pristine: Path
    """The workspace as it was made, to be copied: a verb that a test runs leaves its job behind."""
    evaluation_table: str
    """What `workbench eval` printed."""

    def cli(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _cli(self.workspace.root, *arguments, check=check)

    def json(self, *arguments: object) -> Any:
        return json.loads(self.cli(*arguments, "--json").stdout)


def make(root: Path, tiny_model: Path) -> Trained:
    base = Path(shutil.copytree(tiny_model, root / "base"))
    let_it_be_sure(base / "model.safetensors")
    (base / "LICENSE").write_text(LICENCE)
    workspace = Workspace(root / "ws")
    rows = [
        {"prompt": f"Is {n} {'really ' * (n % 4)}a number?", "completion": ANSWER}
        for n in range(40)
    ]
    (root / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    settings = {
        # Relative, to prove that a run finds its base from wherever it is looked at.
        "model.base": "base",
        "model.dtype": "float32",
        "data.dataset": "numbers",
        "data.max_length": 256,
        "lora.rank": 16,
        "training.max_steps": 40,
        "training.batch_size": 4,
        "training.accumulation": 2,
        "training.learning_rate": 0.005,
        "evaluation.every": 20,
        "evaluation.generate_rows": 3,
        "evaluation.max_new_tokens": 24,
        "checkpoints.every": 20,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    _cli(workspace.root, "data", "import", "rows.jsonl", "--name", "numbers", "--validation", 0.2)
    _cli(workspace.root, "config", "new", "small", *sets)
    # Each process says on its stderr what it imports.
    told = {"PYTHONPROFILEIMPORTTIME": "1"}
    _cli(workspace.root, "train", "small", "--wait", **told)
    table = _cli(workspace.root, "eval", **told).stdout
    run = workspace.runs / "small-0001"
    pristine = Path(shutil.copytree(workspace.root, root / "pristine"))
    return Trained(workspace, base, run, run / "evaluations" / "01", pristine, table)


def let_it_be_sure(weights: Path) -> None:
    """Larger embeddings, which are its head as well: else it could never be sure of a token."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    tensors["model.embed_tokens.weight"] *= 10
    save_file(tensors, weights, metadata={"format": "pt"})


def _cli(
    root: Path, *arguments: object, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "workbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=root.parent,
        env={**os.environ, "WORKBENCH_HOME": str(root), "API_TOKEN": SECRET, **environment},
        timeout=600,
    )
    assert not check or result.returncode == 0, result.stderr
    return result
