from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from textual.css.query import NoMatches
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.jobs.conftest import ROOT, end
from tests.trained import Trained
from workbench.jobs import launch
from workbench.workspace import Workspace

WorkIn = Callable[..., None]


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


def shown(pilot: Pilot[None], selector: str) -> str:
    """The text of a widget on the screen."""
    return str(pilot.app.screen.query_one(selector, Static).visual)


def said(pilot: Pilot[None]) -> str:
    """Every notice that is on the screen."""
    return "\n".join(note.message for note in pilot.app._notifications)


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Return once `condition` is true; fails the test when it doesn't come true in time. It isn't
    true as long as another screen is in front, without the widget that it asks for."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(NoMatches):
            if condition():
                return
        await pilot.pause(0.05)
    pytest.fail(f"it never came true; said: {said(pilot)!r}")


async def fill_in(pilot: Pilot[None], key: str, line: str, text: str) -> None:
    """Open a line by its key, and submit a text in it, as if it were pasted: a key takes the
    better part of a tenth of a second here."""
    await pilot.press(key)
    pilot.app.screen.query_one(line, Input).value = text
    await pilot.press("enter")
