"""What produced a run: written before its first step, closed at its end by its supervisor.

Values of environment variables never go in, nor does the command's environment; what looks like
a secret in anything else is written as `***` (`workbench.redaction`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.data.versions import Version
from workbench.files import sha256_file, write_json
from workbench.hardware import host
from workbench.hardware.nvml import Nvml
from workbench.redaction import redact_command, redacted
from workbench.tracking.finding import MANIFEST
from workbench.tracking.soundness import VERSION
from workbench.tracking.soundness import read as read

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
"""The files of a base model that decide what it computes."""
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
    mixture: Mapping[str, float] | None = None,
    others: Sequence[tuple[str, Version]] = (),
    repeats: Mapping[str, Any] | None = None,
) -> None:
    """Write what is known when a run is asked for.

    `base` is the base model's name and, of one from the hub, its revision. `command` is
    what was typed (None on a screen), `repeat` the line that does the same anywhere, `mixture`
    the shares of the versions that the dataset was mixed of for this run. `others` are the
    versions beside the one it is trained on, each with what it is there for. `repeats` are the
    sections that a run which repeats another has of it: it is held to them when it starts.
    """
    body = {
        "v": VERSION,
        "run": run_id,
        "created": time.time(),
        # Some chat templates write the date: all of a run's tokens are of this one.
        "date": date.today().isoformat(),
        "workbench": __version__,
        "command": redact_command(command) if command else None,
        "working_folder": str(Path.cwd()) if command else None,
        "repeat": repeat,
        "config": config,
        "seeds": {"training.seed": config["training"]["seed"]},
        "dataset": _version(dataset),
        "mixture": mixture,
        "other_datasets": [{"for": what, **_version(version)} for what, version in others],
        "base": base,
        "git": git_state(Path.cwd()),
        **(repeats or {}),
    }
    _write(folder, body)


def _version(version: Version) -> dict[str, Any]:
    return {name: getattr(version, name) for name in ("name", "version", "sha256", "rows")}


def update(folder: Path, **sections: Any) -> None:
    """Add or replace sections of a run's manifest; None takes one away."""
    body = {**read(folder), **sections}
    _write(folder, {name: body[name] for name in body if sections.get(name, "") is not None})


def _write(folder: Path, body: Mapping[str, Any]) -> None:
    write_json(folder / MANIFEST, redacted(body))


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
    # It goes on: how it had ended is no longer how it ends.
    update(folder, starts=[*read(folder).get("starts", ()), start], ended=None)


def micro_batch(folder: Path) -> int | None:
    """How many rows at once the last start of a run took, or of the run that it repeats; None
    before the first."""
    made = read(folder)
    starts = made.get("starts") or [made.get("repeats", {})]
    found: int | None = starts[-1].get("micro_batch")
    return found


def threads(folder: Path) -> int | None:
    """The threads that a run is to compute with, to the bit as the one that it repeats; None where
    it may take what there are."""
    found: int | None = read(folder).get("repeats", {}).get("threads")
    return found


def last_environment(made: Mapping[str, Any]) -> dict[str, Any]:
    """What the last start of a run found around it; empty before the first."""
    starts = made.get("starts") or [{}]
    found: dict[str, Any] = starts[-1].get("environment", {})
    return found


def environment() -> dict[str, Any]:
    """Python, the machine, its GPUs, workbench's own code, the versions of the packages that
    decide a result, and of all others that are installed."""
    installed = {
        name: found.version
        for found in importlib.metadata.distributions()
        if (name := found.metadata["Name"])
    }
    known = {_normal(name): version for name, version in installed.items()}
    packages = {name: known.get(_normal(name)) for name in _PACKAGES}
    decisive = {_normal(name) for name in _PACKAGES}
    return {
        "workbench": code(),
        "python": sys.version.split()[0],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": host.processor().name,
        "nvidia": _nvidia(),
        "packages": packages,
        "other_packages": {
            name: installed[name]
            for name in sorted(installed, key=str.lower)
            if _normal(name) not in decisive
        },
    }


def _normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def code() -> dict[str, Any]:
    """Workbench itself: its release, the SHA-256 of its Python files, and where it runs from a
    checkout the commit of that."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0{sha256_file(path)}\n".encode())
    checkout = git_state(root) if (root.parent / ".git").exists() else None
    return {
        "version": __version__,
        "sha256": digest.hexdigest(),
        "commit": checkout["commit"] if checkout else None,
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
    paths = sorted(p for kind in MODEL_FILES for p in folder.glob(kind))
    return {path.name: sha256_file(path) for path in paths}


def result_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each of these files."""
    return {path.name: sha256_file(path) for path in files_of_result(folder)}


def files_of_result(folder: Path) -> list[Path]:
    """The files that a run has made, but for the card, which is written anew."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name != "README.md")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The git checkout around `folder`: its folder, commit and cleanliness, and the SHA-256 of
    what was changed since that commit; None without one."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=10,
        ).stdout

    try:
        top = git("rev-parse", "--show-toplevel").decode(errors="replace").strip()
        commit = git("rev-parse", "HEAD").decode().strip()
        changes = git("diff", "--no-ext-diff", "--no-color", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None
    return {
        "folder": top,
        "commit": commit,
        "dirty": bool(changes),
        "changes": hashlib.sha256(changes).hexdigest() if changes else None,
    }
