"""A wall clock that is set, back or forward, while a job runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.faults.invariants import told_in_words, whole_lines, whole_log
from tests.faults.matrix import Chance, play_each
from tests.jobs.conftest import ROOT, StartJob
from tests.polling import eventually
from workbench.jobs import launch
from workbench.jobs.client import command
from workbench.jobs.launch import Care
from workbench.jobs.state import ENDED, HOST_LOG, STALLED_AFTER, JobState, describe
from workbench.tracking.jobs import summarise
from workbench.workspace import Workspace

STANDIN = Path(__file__).with_name("standin")
_HOUR = 3600.0


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that sets the clock of this process, and of those that it starts."""
    file = tmp_path / "clock"
    real = time.time
    monkeypatch.setattr(
        time, "time", lambda: real() + (float(file.read_text()) if file.exists() else 0)
    )
    monkeypatch.setenv("CLOCK_OFF", str(file))
    return file


def test_the_clock_is_set_while_a_job_runs(
    start_job: StartJob, tmp_path: Path, clock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STANDIN), str(ROOT)]))

    def trial(chance: Chance, seconds: float) -> None:
        clock.unlink(missing_ok=True)
        # A watchdog whose times were the wall clock's would end it.
        care = Care(stall_after=20, on_stall="stop")
        workspace = Workspace(tmp_path / f"ws-{chance.number}")
        workspace.tasks.mkdir(parents=True)
        folder = start_job("work", workspace.tasks / "sample-0001", care=care)
        eventually(lambda: whole_lines(folder / launch.EVENTS))
        setting = clock.with_suffix(".new")
        setting.write_text(str(seconds))
        setting.replace(clock)
        beats = _beats(folder)
        # Two beats later at the latest everybody has the new time.
        eventually(lambda: _beats(folder) >= beats + 2)
        # What the supervisor writes between two beats has the machine's time.
        eventually(lambda: describe(folder) == ("running", "It is running."))
        assert command(folder, "save_now")["type"] == "ack"
        (folder / "go").touch()
        eventually(lambda: describe(folder)[0] in ENDED)
        assert told_in_words(folder) == "finished"
        events = whole_log(folder / launch.EVENTS)
        whole_log(folder / HOST_LOG)
        assert abs(events[-1]["t"] - events[0]["t"] - seconds) < _HOUR / 2
        told = summarise(workspace, folder)
        assert told.status == "finished"

    offsets = [-1.0, -STALLED_AFTER - 1, -_HOUR, -86_400.0, -1e9, STALLED_AFTER + 1, _HOUR, 1e8]
    play_each("clock: set back and forward under a running job", trial, offsets * 3, few=2)


def _beats(folder: Path) -> int:
    return whole_lines(folder / HOST_LOG).count(b'"type":"sampled"')


def test_the_clock_is_set_back_while_a_supervisor_hangs(
    start_job: StartJob, tmp_path: Path, clock: Path
) -> None:
    """Its last heartbeat is then in the future; that it is silent is seen all the same."""

    def trial(chance: Chance, seconds: float) -> None:
        clock.unlink(missing_ok=True)
        folder = start_job("work", tmp_path / f"hangs-{chance.number}")
        state = JobState.read(folder)
        assert state is not None
        os.kill(state.supervisor_pid, 19)
        try:
            clock.write_text(str(seconds))
            assert describe(folder)[0] == ("stalled" if seconds < -STALLED_AFTER else "running")
        finally:
            os.kill(state.supervisor_pid, 18)
        clock.unlink()
        (folder / "go").touch()
        eventually(lambda: describe(folder)[0] in ENDED)
        assert told_in_words(folder) == "finished"

    play_each("clock: set back while a supervisor hangs", trial, [-1.0, -_HOUR, -86_400.0])
