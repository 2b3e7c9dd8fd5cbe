"""A job whose supervisor was killed gets another, which knows and does all that the first did."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.jobs.conftest import StartJob
from tests.jobs.test_supervisor import events, samples, state_of, taken, working
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.client import command, ensure_supervisor
from workbench.jobs.events import CheckpointSaved
from workbench.jobs.log import read_all
from workbench.jobs.state import JobState, describe, start_ticks
from workbench.jobs.waiting import wait


def kill_supervisor(folder: Path) -> JobState:
    state = state_of(folder)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    eventually(lambda: start_ticks(state.supervisor_pid) is None)
    return state


def test_a_command_brings_a_new_supervisor_and_is_done(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    before = kill_supervisor(folder)
    command(folder, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    after = state_of(folder)
    assert (after.pid, after.started) == (before.pid, before.started)
    assert after.supervisor_alive() and after.supervisor_pid != before.supervisor_pid
    assert taken(folder) == [("save_now", "")]
    eventually(lambda: samples(folder))
    assert [r.seq for r in read_all(folder / "host.jsonl")] == list(
        range(len(list(read_all(folder / "host.jsonl"))))
    )
    command(folder, "stop")
    assert wait(folder) == "stopped"
    assert state_of(folder).ended


def test_it_reaches_the_job_where_the_folder_of_sockets_was_removed(start_job: StartJob) -> None:
    """A system removes $XDG_RUNTIME_DIR when a person's last session ends."""
    folder = working(start_job("work"))
    sockets = Path(state_of(folder).socket).parent
    kill_supervisor(folder)
    shutil.rmtree(sockets)
    command(folder, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_supervisor_listens_again_where_its_socket_was_removed(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    path = Path(state_of(folder).socket)
    shutil.rmtree(path.parent)
    eventually(path.exists)
    command(folder, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_second_supervisor_is_turned_away(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    before = state_of(folder)
    with pytest.raises(WorkbenchError, match="Another supervisor"):
        launch.adopt(folder)
    ensure_supervisor(folder)
    assert state_of(folder) == before
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_running_job_without_a_supervisor_is_not_started_twice(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    kill_supervisor(folder)
    with pytest.raises(WorkbenchError, match="running already"):
        launch.start(folder, "tests.jobs.sample_job")
    (folder / "go").touch()
    assert wait(folder) == "finished"


@pytest.mark.parametrize(("end", "word"), [("kill", "failed"), ("stop_now", "stopped")])
def test_the_end_of_a_job_that_was_taken_over_is_told(
    start_job: StartJob, end: str, word: str
) -> None:
    folder = working(start_job("work"))
    kill_supervisor(folder)
    ensure_supervisor(folder)
    if end == "kill":
        os.kill(state_of(folder).pid, signal.SIGKILL)
    else:
        command(folder, end)
    eventually(lambda: state_of(folder).ended)
    assert describe(folder)[0] == word
