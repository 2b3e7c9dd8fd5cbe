"""The queue as a person sees it: who runs, who waits for what, and who looks after it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.hardware.nvml import Nvml
from workbench.queue import attendance, entries, machine, standing
from workbench.queue.attendance import Runner
from workbench.queue.choice import Machine, choose, wish
from workbench.queue.standing import OVER, RUNNING, WAITING, Standing
from workbench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Line:
    """An entry's line."""

    run: str
    """Empty for an entry that can't be read."""
    status: str
    """`running`, `waiting` or `broken`: it can't be started."""
    position: int | None
    """Among those that wait, from 1."""
    wants: str
    text: str
    """What it waits for, where it runs, or what is wrong."""


@dataclass(frozen=True, slots=True)
class Overview:
    lines: list[Line]
    """Those that run first, then in the order of the queue."""
    runner: Runner | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def look(workspace: Workspace) -> Overview:
    """The queue at this moment. Raises WorkbenchError when its file can't be read."""
    runner = attendance.current(workspace)
    visible = runner.visible if runner else os.environ.get(machine.VISIBLE)
    found = [standing.of(workspace, entry) for entry in entries.read(workspace)]
    found = [s for s in found if s.word != OVER]
    here = machine.look(workspace, Nvml(), visible) if found else Machine()
    waiting = [s for s in found if s.word == WAITING]
    texts = {turn.entry.run: turn.text for turn in choose(here, [s.entry for s in waiting])}
    lines = []
    for one in sorted(found, key=lambda s: s.word != RUNNING):
        place = waiting.index(one) + 1 if one in waiting else None
        text = _where(here, one) if place is None else _wait(one, texts[one.entry.run], runner)
        wants = wish(here, one.entry) if one.entry.run else ""
        lines.append(Line(one.entry.run, one.word, place, wants, text))
    return Overview(lines, runner)


def words(workspace: Workspace, run: str) -> str:
    """Where a run that has not started is in the queue, in a sentence; empty if it isn't in it."""
    try:
        lines = look(workspace).lines
    except WorkbenchError as error:
        return error.message
    for line in lines:
        if line.run == run:
            place = f"Number {line.position} in the queue: " if line.position else ""
            return f"{place}{line.text}."
    return ""


def _where(here: Machine, one: Standing) -> str:
    """Where a run runs, and how it does; of one that is broken, why."""
    if one.word != RUNNING:
        return one.text
    gpus = ", ".join(f"GPU {gpu.index}" for gpu in here.gpus if gpu.run == one.entry.run)
    on_cpu = "the processor" if here.run_on_cpu == one.entry.run else ""
    place = f"{one.state} on {gpus or on_cpu}" if gpus or on_cpu else one.state
    return place if one.state == "running" and (gpus or on_cpu) else f"{place}: {one.text}"


def _wait(one: Standing, text: str, runner: Runner | None) -> str:
    if one.entry.problem:
        return f"could not be started: {one.entry.problem}"
    if text:
        return text
    return "starts now" if runner else "can start, but the queue has no runner"
