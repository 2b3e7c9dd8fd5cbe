from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from textual._context import active_app
from textual.app import App
from textual.css.query import NoMatches
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.jobs.conftest import ROOT, end
from tests.trained import Trained
from workbench.jobs import launch
from workbench.workspace import Workspace

WorkIn = Callable[..., None]
_TURNS = 8
"""Turns of the event loop without anything to do after which nothing is on its way: a key takes
three to its queue."""
_BUSY_TURNS = 1000
"""Turns with something to do after which it is taken not to end, a second at least: one may take
that long by itself, as where a screen's modules are imported."""


@pytest.fixture
def past(trained_run: Trained, tmp_path: Path) -> Workspace:
    """A copy of a workspace with a finished run, which the test may spoil."""
    return Workspace(Path(shutil.copytree(trained_run.pristine, tmp_path / "ws")))


@pytest.fixture
def work_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkIn]:
    """Starts the sample job in a folder; kills what a failed test left running."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folders: list[Path] = []

    def start(folder: Path, do: str, log: str = launch.EVENTS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(json.dumps({"do": do}))
        folders.append(folder)
        launch.start(folder, "tests.jobs.sample_job", log=log)

    yield start
    for folder in folders:
        end(folder)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and pauses end when all that they have set off is done, notices stay, and a key that
    looks into files has the time that it takes.

    Textual's Pilot takes a process that used no processor for 20 ms to be done: on a busy machine
    it may not have got any. What takes 5 s there would find a notice gone.
    """
    monkeypatch.setattr(App, "NOTIFICATION_TIMEOUT", 600)
    monkeypatch.setattr("screens.patience._PATIENCE", 60.0)
    for module in ("app", "pilot"):
        monkeypatch.setattr(f"textual.{module}.wait_for_idle", _settled)


async def _settled(*_: float) -> None:
    app = active_app.get()
    left, calm = _BUSY_TURNS, 0
    while calm < _TURNS and left:
        busy = _is_busy(app)
        calm, left = (0, left - 1) if busy else (calm + 1, left)
        await asyncio.sleep(0.001 if busy else 0)


def _is_busy(app: App[object]) -> bool:
    """Whether a message isn't handled yet, or a change or another size not drawn."""
    screen = app.screen
    if screen._layout_required or screen._dirty_widgets or screen._callbacks:
        screen._on_timer_update()
        return True
    if app._resize_timer is not None:
        return True
    for pump in (app, *app._registry):
        queue = pump._message_queue
        # One that has nothing to do waits for the next message.
        if pump.is_running and (queue.values or not queue.ready_event._waiters):
            return True
    return False


def shown(pilot: Pilot[None], selector: str) -> str:
    """The text of a widget on the screen."""
    return str(pilot.app.screen.query_one(selector, Static).visual)


def said(pilot: Pilot[None]) -> str:
    """Every notice that is on the screen."""
    return "\n".join(note.message for note in pilot.app._notifications)


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Return once `condition` is true, and what came with it is drawn; fails the test when it
    doesn't come true in time. It isn't true as long as another screen is in front, or has no lines
    yet, without what it asks for."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with suppress(NoMatches, IndexError):
            if condition():
                await pilot.pause()
                return
        await pilot.pause(0.02)
    pytest.fail(f"it never came true; said: {said(pilot)!r}")


async def fill_in(pilot: Pilot[None], key: str, line: str, text: str) -> None:
    """Open a line by its key, and submit a text in it, as if it were pasted."""
    await pilot.press(key)
    pilot.app.screen.query_one(line, Input).value = text
    await pilot.press("enter")
