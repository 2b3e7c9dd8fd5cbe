"""What a run in the queue does at the moment, by its own folder."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from workbench.jobs.state import GOING_ON, UNREADABLE, JobState, boot_id, look
from workbench.queue.entries import Entry
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace

WAITING = "waiting"
RUNNING = "running"
OVER = "over"
BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Standing:
    entry: Entry
    word: str
    """`waiting`, `running`, `over` (it leaves the queue) or `broken` (it can't be started)."""
    state: str
    """The word of the run's own state; empty where there is no run."""
    text: str
    """The run's own sentence; of one that is broken, what is wrong."""


def of(workspace: Workspace, entry: Entry) -> Standing:
    """Where `entry` stands. Whatever is wrong with its files makes it broken, never an error."""
    if not entry.run:
        return Standing(entry, BROKEN, "", entry.problem)
    folder = workspace.runs / entry.run
    if not (folder / MANIFEST).exists():
        return Standing(entry, BROKEN, "", f"There is no run {entry.run} in {workspace.runs}.")
    start, state, text = look(folder)
    return Standing(entry, _word(entry, start, state), state, text)


def _word(entry: Entry, start: JobState | None, state: str) -> str:
    if state in UNREADABLE:
        return BROKEN
    if state in GOING_ON:
        return RUNNING
    if start is None or start.started == entry.last_start:
        return WAITING
    if state == "pre-empted" or (state == "dead" and _was_before_a_reboot(start)):
        return WAITING
    return OVER


def _was_before_a_reboot(state: JobState) -> bool:
    """Whether the machine has been started anew since the run was; only then is it the queue's
    to go on with it. What both processes were killed for might come again at once."""
    return state.host == socket.gethostname() and state.boot not in ("", boot_id())
