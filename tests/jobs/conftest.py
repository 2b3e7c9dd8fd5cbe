from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.jobs import launch
from workbench.jobs.state import JobState, start_ticks

ROOT = Path(__file__).parents[2]

StartJob = Callable[..., Path]


@pytest.fixture
def start_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartJob]:
    """Starts the sample job under a supervisor; kills what a failed test left running."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folders: list[Path] = []

    def start(
        do: str,
        folder: Path | None = None,
        care: launch.Care | None = None,
        **plan: Any,
    ) -> Path:
        folder = folder or tmp_path / f"job-{len(folders)}"
        folder.mkdir(exist_ok=True)
        (folder / "plan.json").write_text(json.dumps({"do": do, **plan}))
        folders.append(folder)
        launch.start(folder, "tests.jobs.sample_job", care=care)
        return folder

    yield start
    for folder in folders:
        end(folder)


def end(folder: Path) -> None:
    """Kill the processes of a job, if there are any."""
    state = JobState.read(folder)
    if state is None:
        return
    for pid, ticks in (
        (state.pid, state.start_ticks),
        (state.supervisor_pid, state.supervisor_start_ticks),
    ):
        if start_ticks(pid) == ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
