"""Jobs that another machine has started, or this one before it was started anew."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, STATE, JobState, boot_id, describe, start_ticks
from workbench.tracking import runs

HERE = socket.gethostname()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job whose pids, here, are those of this living process."""
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    JobState(
        status="running",
        log="events.jsonl",
        pid=os.getpid(),
        start_ticks=ticks,
        supervisor_pid=os.getpid(),
        supervisor_start_ticks=ticks,
        socket=str(tmp_path / "socket"),
        started=time.time(),
        host=HERE,
        boot=boot_id(),
    ).write(tmp_path)
    return tmp_path


def change(folder: Path, *, age: float = 0.0, **fields: object) -> None:
    """Change fields of the state (None takes one away), with a heartbeat `age` seconds ago."""
    body = json.loads((folder / STATE).read_text()) | fields
    body = {name: value for name, value in body.items() if value is not None}
    (folder / STATE).write_text(json.dumps(body))
    os.utime(folder / STATE, (time.time() - age, time.time() - age))


def test_a_job_of_this_machine_is_told_by_its_processes(folder: Path) -> None:
    assert boot_id()
    assert describe(folder) == ("running", "It is running.")
    change(folder, age=3600)
    assert describe(folder)[0] == "stalled"


def test_a_file_of_an_earlier_release_is_taken_for_one_of_this_machine(folder: Path) -> None:
    change(folder, host=None, boot=None)
    assert describe(folder) == ("running", "It is running.")


@pytest.mark.parametrize("host", ["node-7", HERE])
def test_a_job_with_a_fresh_heartbeat_runs_on_its_own_machine(folder: Path, host: str) -> None:
    """Also on another machine of the same name."""
    change(folder, host=host, boot="another")
    assert describe(folder) == ("running", f"It runs on {host}.")


@pytest.mark.parametrize(("sampled", "word"), [(1, "running"), (300, "stalled")])
def test_a_heartbeat_elsewhere_counts_with_what_its_supervisor_wrote(
    folder: Path, sampled: float, word: str
) -> None:
    """To copy or to edit state.json looks like a heartbeat."""
    with LogWriter(folder / HOST_LOG) as log:
        log.write(Notice("a sample"))
    line = json.loads((folder / HOST_LOG).read_text())
    (folder / HOST_LOG).write_text(json.dumps({**line, "t": time.time() - sampled}) + "\n")
    change(folder, host="node-7")
    assert describe(folder)[0] == word
    change(folder, host="node-7", condition="restarting", condition_text="It starts again.")
    assert describe(folder)[0] == "restarting"


def test_a_copy_of_a_job_s_folder_is_no_running_job(folder: Path, tmp_path: Path) -> None:
    state = JobState.read(folder)
    assert state is not None and not state.copied
    change(folder, inode=folder.stat().st_ino)
    assert describe(folder)[0] == "running"
    for name, host in (("here", HERE), ("there", "node-7")):
        copy = tmp_path.with_name(f"{tmp_path.name}-{name}")
        shutil.copytree(folder, copy)
        change(copy, host=host)
        status, text = describe(copy)
        assert status == "dead" and "This folder is a copy" in text and host in text
        copied = JobState.read(copy)
        assert copied is not None and copied.copied
        assert not copied.is_here() and not copied.job_alive() and not copied.supervisor_alive()
        copied.write(copy)
        assert "copied" not in json.loads((copy / STATE).read_text())
    # A folder that was moved while nothing ran in it is the same one.
    change(folder, inode=1, ended=1.0, status="stopped", text="Stopped by a person.")
    assert describe(folder) == ("stopped", "Stopped by a person.")


def test_a_file_system_that_numbers_folders_anew_makes_no_copies(tmp_path: Path) -> None:
    """The job's own command line names the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()", tmp_path], stdin=subprocess.PIPE, text=True
    ) as job:
        ticks = start_ticks(job.pid)
        assert ticks is not None
        begun = JobState.begun(tmp_path, job.pid, "events.jsonl", tmp_path / "socket")
        replace(begun, inode=1).write(tmp_path)
        assert begun.start_ticks == ticks
        assert describe(tmp_path) == ("running", "It is running.")
        job.communicate("\n")


def test_the_state_of_a_newer_release_is_not_guessed_at(folder: Path) -> None:
    change(folder, v=2)
    status, text = describe(folder)
    assert status == "newer" and "its version is 2, and this release knows 1" in text


def test_a_job_of_another_machine_without_a_heartbeat_cannot_be_told(folder: Path) -> None:
    change(folder, host="node-7", age=3600)
    status, text = describe(folder)
    assert status == "stalled" and "node-7" in text and "can't be told from here" in text


def test_a_job_from_before_a_restart_of_this_machine_is_dead(folder: Path) -> None:
    """Whoever has its pids now."""
    change(folder, boot="another", age=3600)
    status, text = describe(folder)
    assert status == "dead" and "started anew" in text


@pytest.mark.parametrize("host", ["node-7", HERE])
def test_what_such_a_job_said_of_its_ending_counts(folder: Path, host: str) -> None:
    change(folder, host=host, boot="another", age=3600)
    with LogWriter(folder / "events.jsonl") as log:
        log.write(Finished(stopped=False, step=3))
    assert describe(folder) == ("finished", "Finished.")


@pytest.mark.parametrize("age", [0, 3600])
def test_commands_and_a_second_start_are_refused_where_it_does_not_run(
    folder: Path, age: float
) -> None:
    change(folder, host="node-7", age=age)
    with pytest.raises(WorkbenchError, match=r"takes no commands.*node-7"):
        runs.command(folder, "stop")
    with pytest.raises(WorkbenchError, match="running already") as refused:
        runs.start(folder)
    assert "node-7" in refused.value.hint
