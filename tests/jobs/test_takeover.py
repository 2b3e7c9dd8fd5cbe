"""A job whose supervisor was killed gets another, which knows and does all that the first did."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.jobs.conftest import StartJob
from tests.jobs.test_supervisor import events, samples, state_of, taken, working
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.client import command, ensure_supervisor
from workbench.jobs.events import CheckpointSaved
from workbench.jobs.launch import Care
from workbench.jobs.log import read_all
from workbench.jobs.processes import environment
from workbench.jobs.state import JobState, describe, start_ticks
from workbench.jobs.waiting import wait


def kill_supervisor(folder: Path) -> JobState:
    state = state_of(folder)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    eventually(lambda: start_ticks(state.supervisor_pid) is None)
    return state


def remove(folder: Path) -> None:
    """Take a folder away in one moment: a supervisor that lives makes anew what it misses."""
    shutil.rmtree(folder.rename(folder.with_name("gone")))


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
    numbers = [r.seq for r in read_all(folder / "host.jsonl")]
    assert numbers == list(range(len(numbers)))
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
    remove(path.parent)
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


def test_a_supervisor_is_heard_elsewhere_where_the_runtime_folder_is_gone(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person logged out: all of $XDG_RUNTIME_DIR goes, and comes again with the next login."""
    with tempfile.TemporaryDirectory(prefix="wb-") as above:
        runtime = Path(above) / "run"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        folder = working(start_job("work"))
        remove(runtime)
        eventually(lambda: not state_of(folder).socket.startswith(above))
        runtime.mkdir(mode=0o700)
        command(folder, "save_now")
        eventually(lambda: events(folder, CheckpointSaved))
        (folder / "go").touch()
        assert wait(folder) == "finished"


def test_one_that_takes_over_from_another_environment_reaches_the_job(
    start_job: StartJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As cron, su or a tmux of another login have it; and a restart has the job's own again."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    folder = working(start_job("work", care=Care(restarts=1, restart_after=0)))
    kill_supervisor(folder)
    with tempfile.TemporaryDirectory(prefix="wb-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        command(folder, "save_now")
        eventually(lambda: events(folder, CheckpointSaved))
        os.kill(state_of(folder).pid, signal.SIGKILL)
        eventually(lambda: state_of(folder).restarts == 1)
        assert environment(state_of(folder).pid)["CUDA_VISIBLE_DEVICES"] == "1"
        command(folder, "stop")
        assert wait(folder) == "stopped"


def test_a_job_that_is_started_anew_hears_where_its_control_line_was_removed(
    start_job: StartJob,
) -> None:
    folder = working(start_job("work", care=Care(restarts=1, restart_after=0)))
    remove(Path(state_of(folder).socket).parent)
    os.kill(state_of(folder).pid, signal.SIGKILL)
    eventually(lambda: state_of(folder).restarts == 1)
    command(folder, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    command(folder, "stop")
    assert wait(folder) == "stopped"


def test_a_job_is_one_by_whatever_path_it_is_reached(start_job: StartJob, tmp_path: Path) -> None:
    folder = working(start_job("work"))
    link = tmp_path / "link"
    link.symlink_to(folder)
    kill_supervisor(folder)
    command(link, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    command(link, "stop_now")
    assert wait(folder) == "stopped"
