"""What produced a run: written before its first step, closed at its end.

Values of environment variables never go in, and neither does the command's environment.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.data.versions import Version
from workbench.files import read_json_object, sha256_file, write_json
from workbench.hardware import host
from workbench.hardware.nvml import Nvml
from workbench.tracking.finding import MANIFEST

_PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "jinja2",
    "safetensors",
    "gguf",
    "numpy",
    "rouge-score",
)


def begin(
    folder: Path,
    *,
    run_id: str,
    config: dict[str, Any],
    dataset: Version,
    base: dict[str, Any],
    command: str | None,
    repeat: str,
    mixture: dict[str, float] | None = None,
) -> None:
    """Write what is known when a run is asked for.

    `base` is the base model's name and, of one from the hub, its revision. `command` is
    what was typed (None on a screen), `repeat` the line that does the same anywhere, `mixture`
    the shares of the versions that the dataset was mixed of for this run.
    """
    body = {
        "v": 1,
        "run": run_id,
        "created": time.time(),
        # Some chat templates write the date: all of a run's tokens are of this one.
        "date": date.today().isoformat(),
        "workbench": __version__,
        "command": command,
        "working_folder": str(Path.cwd()) if command else None,
        "repeat": repeat,
        "config": config,
        "dataset": {
            "name": dataset.name,
            "version": dataset.version,
            "sha256": dataset.sha256,
            "rows": dataset.rows,
        },
        "mixture": mixture,
        "base": base,
        "git": git_state(Path.cwd()),
    }
    write_json(folder / MANIFEST, body)


def update(folder: Path, **sections: Any) -> None:
    """Add or replace sections of a run's manifest."""
    write_json(folder / MANIFEST, {**read(folder), **sections})


def add_start(
    folder: Path,
    environment: dict[str, Any],
    resumed_from: int,
    micro_batch: int,
    peak: tuple[int, int | None] | None = None,
) -> None:
    """Append a start of the run: when, on what, after which step, with how many rows at once.

    `peak` is what its rehearsal took at most, in bytes, and what was forecast of it.
    """
    start: dict[str, Any] = {
        "time": time.time(),
        "resumed_from": resumed_from,
        "micro_batch": micro_batch,
        "environment": environment,
    }
    if peak is not None:
        start["memory"] = {"peak": peak[0], "forecast": peak[1]}
    update(folder, starts=[*read(folder).get("starts", ()), start])


def micro_batch(folder: Path) -> int | None:
    """How many rows at once the last start of a run took; None before the first."""
    starts = read(folder).get("starts") or [{}]
    found: int | None = starts[-1].get("micro_batch")
    return found


def read(folder: Path) -> dict[str, Any]:
    """A run's manifest. Raises WorkbenchError when it has none."""
    return read_json_object(folder / MANIFEST)


def environment() -> dict[str, Any]:
    """Python, the machine, its GPUs and the versions of the packages that decide a result."""
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": host.processor().name,
        "nvidia": _nvidia(),
        "packages": versions,
    }


def _nvidia() -> dict[str, Any] | None:
    """The driver and every GPU that it shows; None without a driver."""
    nvml = Nvml()
    if nvml.reason is not None:
        return None
    gpus = [{"name": gpu.name, "uuid": gpu.uuid} for gpu in nvml.sample()]
    return {"driver": nvml.driver(), "gpus": gpus}


def model_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a base model that decides what it computes."""
    kinds = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
    paths = sorted(p for kind in kinds for p in folder.glob(kind))
    return {path.name: sha256_file(path) for path in paths}


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the git checkout around `folder`; None without one."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=10,
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty}
