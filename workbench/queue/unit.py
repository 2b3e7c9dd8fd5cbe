"""The systemd user unit that keeps a queue alive over reboots."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from workbench.workspace import Workspace

_KEPT = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
"""Variables that say where base models and settings are: the unit has no shell to set them."""
_TEXT = """\
[Unit]
Description=The queue of runs in {folder}

[Service]
ExecStart={command}
{environment}# Stopping the unit ends what starts runs, never a run.
KillMode=process
# Neither does a run that the kernel kills for memory end it.
OOMPolicy=continue
# When the machine goes down, the runs have 90 s of these to save a checkpoint.
TimeoutStopSec=100
Restart=on-failure
RestartSec=10

[Install]
WantedBy=default.target
"""


def path() -> Path:
    """Where the unit belongs."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd" / "user" / "workbench-queue.service"


def text(workspace: Workspace) -> str:
    """The unit's text, for this Python and this workspace."""
    words = (sys.executable, "-m", "workbench", "queue", "run", "--workspace", str(workspace.root))
    kept = [f"{name}={os.environ[name]}" for name in _KEPT if os.environ.get(name)]
    return _TEXT.format(
        folder=str(workspace.root).replace("%", "%%"),
        command=" ".join(_quoted(word).replace("$", "$$") for word in words),
        environment="".join(f"Environment={_quoted(variable)}\n" for variable in kept),
    )


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(c in word for c in " \t\"'\\;") else escaped
