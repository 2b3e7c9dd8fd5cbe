"""A run in one line for a status bar, read from both ends of its logs: they may be gigabytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.alarms.standing import brief, standing
from workbench.errors import WorkbenchError
from workbench.jobs.events import Sampled
from workbench.jobs.state import GOING_ON, HOST_LOG, UNREADABLE, look
from workbench.text import visible
from workbench.tracking import finding
from workbench.tracking.glance import glance, tail
from workbench.tracking.view import RunView, duration
from workbench.workspace import Workspace

WIDEST = 100
"""Columns."""
_TAIL = 1 << 14
"""Bytes: twenty steps of figures."""
_SAMPLES_TAIL = 1 << 15
"""Bytes: a sample of sixteen GPUs with their processes."""
_EXPLAINED = ("slow", "stalled", "restarting", "failed", *UNREADABLE)
"""States whose sentence says more than their word."""


def status_line(workspace: Workspace, reference: str) -> str:
    """Run, step, loss, time left, GPU memory, state and worst alarm; never more than one line.

    It raises nothing: a status bar shows whatever is wrong, too.
    """
    try:
        line = _line(finding.find(workspace, reference)) if finding.ids(workspace) else "no runs"
    except WorkbenchError as error:
        line = error.message
    except Exception as error:
        line = f"workbench can't read {reference}: {error or type(error).__name__}"
    # tmux takes #[…] and #{…} in a status line for its own.
    shown = visible(" ".join(line.split())).replace("#", "")
    return shown if len(shown) <= WIDEST else f"{shown[: WIDEST - 3]}..."


def _line(run: Path) -> str:
    state, status, text = look(run)
    parts = [run.name]
    worst = ""
    if state is not None:
        view = RunView()
        view.feed(glance(run / state.log, _TAIL))
        parts += _course(view, working=status in ("running", "slow"))
        if status in GOING_ON:
            alarms = standing(state, run.name, status, text)
            # A stall is the state's own word.
            worst = brief([alarm for alarm in alarms if alarm.name != status])
            parts.append(_gpu_memory(run / HOST_LOG))
    # Before the sentence, which may be cut off.
    parts += [status.upper(), worst, text if status in _EXPLAINED else ""]
    return " ".join(part for part in parts if part)


def _course(view: RunView, *, working: bool) -> list[str]:
    parts = [f"{view.step}/{view.total_steps}" if view.total_steps else ""]
    if view.progress is not None and working:
        parts.append(view.progress.phase)
    if view.last_step is not None:
        parts.append(f"loss {view.last_step.loss:.4g}")
    if (left := view.seconds_left) is not None and working:
        parts.append(f"{duration(left)} left")
    return parts


def _gpu_memory(log: Path) -> str:
    """Of the GPU that holds most of the run, else of the fullest; empty without one."""
    records = tail(log, _SAMPLES_TAIL)
    samples = [record.event for record in records if isinstance(record.event, Sampled)]
    gpus = [gpu for gpu in samples[-1].gpus if gpu["memory_total"]] if samples else []
    # Of one that is split work has a part.
    gpus = [gpu for gpu in gpus if not gpu.get("instances")]
    if not gpus:
        return ""

    def held(gpu: dict[str, Any]) -> tuple[int, int]:
        return gpu["memory_of_run"] or 0, gpu["memory_used"] or 0

    fullest = max(gpus, key=held)
    return f"{held(fullest)[1] / 2**30:.1f}/{fullest['memory_total'] / 2**30:.1f} GiB"
