"""What this machine has, and what would stand in the way of a run."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench import base_models
from workbench.errors import WorkbenchError
from workbench.hardware.gpu import Gpu, devices
from workbench.hardware.host import HostSampler
from workbench.hardware.nvml import Nvml
from workbench.jobs.socket import socket_folder
from workbench.terminal import DUMB, colours
from workbench.workspace import Workspace

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "accelerate",
    "textual",
    "nvidia-ml-py",
    "rouge-score",
)
_ROOM = 2 << 30
"""Bytes of free disk below which a run of the default model may not fit with its exports."""
_LONG_ESCAPE = 50
"""Milliseconds that tmux waits behind an Escape, above which the key feels dead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    level: str
    """`ok`, `note` (it works, with a limit) or `problem`."""
    text: str
    hint: str = ""


def examine(workspace: Workspace) -> list[Finding]:
    """Look at everything that a run needs; changes nothing but a probe in the workspace."""
    return [
        Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}"),
        *_packages(),
        *_gpus(),
        _processes(),
        _host(workspace),
        _workspace(workspace),
        _disk(workspace),
        _sockets(),
        _default_model(workspace),
        _tmux(),
        _terminal(),
    ]


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "problem", "is not installed", f"pip install {name}")


def _gpus() -> Iterator[Finding]:
    nvml = Nvml()
    if nvml.reason is not None:
        yield Finding("gpu", "note", f"{nvml.reason} Training runs on the processor.")
    for gpu in nvml.sample():
        yield _gpu(gpu, nvml.driver())
    if nvml.reason is None and _torch_is_for_processors():
        yield Finding(
            "torch and gpu",
            "problem",
            "torch is built for processors alone: training would not use the GPU.",
            "Install torch anew from an index with CUDA builds; its site shows the command.",
        )


def _gpu(gpu: Gpu, driver: str | None) -> Finding:
    """What it is, what is free, and what a person should know of it."""
    free = f"{gpu.memory_free / 2**30:.1f} GiB of " if gpu.memory_free is not None else ""
    total = f"{gpu.memory_total / 2**30:.1f} GiB free" if gpu.memory_total else "memory unknown"
    parts = [f"{gpu.name or 'unknown'}, {free}{total}, driver {driver}"]
    if gpu.instances:
        parts.append(f"split into {gpu.instances} (MIG): work runs on those")
    remarks = gpu.remarks()
    level = "problem" if gpu.state else "note" if remarks else "ok"
    hint = "The machine needs a restart, or the GPU a reset: nvidia-smi says more."
    name = gpu.label.lower()
    return Finding(name, level, "; ".join(parts + remarks), hint if gpu.state else "")


def _processes() -> Finding:
    """How many processes a run may train in, and what can share its weights out to them."""
    count = sum(not gpu.state for gpu in devices(Nvml().sample()))
    where = f"one to each of {count} GPUs" if count > 1 else "on the processor or one GPU"
    return Finding("processes", "ok", f"{where}: DDP, FSDP2")


def _torch_is_for_processors() -> bool:
    # Told by its version, `2.9.0+cpu`: importing torch takes seconds.
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def _host(workspace: Workspace) -> Finding:
    host = HostSampler(workspace.root).sample()
    total = host.memory_limit or host.memory_total
    memory = f"{total / 2**30:.1f} GiB of memory" if total else "memory unknown"
    limit = ", limited by its control group" if host.memory_limit else ""
    return Finding("host", "ok", f"{host.cpus} processors, {memory}{limit}, load {host.load1}")


def _workspace(workspace: Workspace) -> Finding:
    try:
        workspace.ensure()
    except WorkbenchError as error:
        return Finding("workspace", "problem", error.message, error.hint)
    return Finding("workspace", "ok", str(workspace.root))


def _disk(workspace: Workspace) -> Finding:
    place = next((p for p in (workspace.root, *workspace.root.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free at {place}"
    if free < _ROOM:
        return Finding("disk", "problem", text, "Free some space, or name another workspace.")
    return Finding("disk", "ok", text)


def _sockets() -> Finding:
    try:
        return Finding("sockets", "ok", str(socket_folder()))
    except (WorkbenchError, OSError) as error:
        return Finding("sockets", "problem", str(error))


def _default_model(workspace: Workspace) -> Finding:
    try:
        folder = base_models.resolve(workspace, base_models.DEFAULT)
    except WorkbenchError as error:
        return Finding("default model", "note", error.message, error.hint)
    return Finding("default model", "ok", str(folder))


def _tmux() -> Finding:
    if os.environ.get("STY") and not os.environ.get("TMUX"):
        return Finding("tmux", "ok", "inside screen")
    if not os.environ.get("TMUX"):
        return Finding("tmux", "note", "outside; runs go on without one all the same")
    wait, clipboard = _of_tmux("escape-time"), _of_tmux("set-clipboard")
    hints = []
    if wait.isdigit() and int(wait) > _LONG_ESCAPE:
        hints.append(f"Escape takes {wait} ms: set -sg escape-time 10")
    if clipboard and clipboard != "on":
        hints.append("What is copied here doesn't reach your clipboard: set -g set-clipboard on")
    text = "inside one" + (f", escape-time {wait} ms, set-clipboard {clipboard}" if wait else "")
    return Finding("tmux", "note" if hints else "ok", text, "; ".join(hints))


def _of_tmux(option: str) -> str:
    """A server option of the tmux that this runs in; empty where it can't be told."""
    command = ["tmux", "show-options", "-sv", option]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    shown = colours(os.environ)
    text = f"{os.environ.get('TERM') or 'unknown'}, {size.columns}x{size.lines}, "
    text += {DUMB: "no cursor to move", "truecolor": "true colour"}.get(shown, f"{shown} colours")
    if os.environ.get("NO_COLOR"):
        text += ", of which NO_COLOR wants none"
    if shown == DUMB:
        return Finding("terminal", "note", text, "The app can't be shown on it; all verbs work.")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", "note", text, "The screens want 80x24 at least.")
    return Finding("terminal", "ok", text)
