"""A job of two ranks, started by accelerate's launcher."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.jobs.conftest import StartJob
from tests.jobs.test_supervisor import ended, events, state_of, working
from tests.polling import eventually
from workbench.jobs.client import command
from workbench.jobs.events import CommandHandled, Progress
from workbench.jobs.log import read_all
from workbench.jobs.processes import of_job
from workbench.jobs.waiting import wait


@pytest.fixture
def folder(start_job: StartJob) -> Path:
    """A job whose two ranks work."""
    return at_work(start_job("work in ranks", processes=2))


def at_work(folder: Path) -> Path:
    """The folder, once both ranks have taken a step."""
    eventually(lambda: "working" in _phases(folder), 180)  # three processes load torch
    return folder


def _phases(folder: Path) -> list[str]:
    return [progress.phase for progress in events(folder, Progress)]


def rank(folder: Path, number: int) -> int:
    return int((folder / f"rank-{number}.pid").read_text())


def test_ranks_work_together_each_with_a_log_of_its_own_and_hear_what_was_asked_before(
    start_job: StartJob,
) -> None:
    folder = working(start_job("work in ranks", processes=2, wait=True))
    before = state_of(folder)
    command(folder, "set_interval", value=7)
    (folder / "ready").touch()
    at_work(folder)
    (handled,) = eventually(lambda: events(folder, CommandHandled))
    assert (handled.command, handled.value) == ("set_interval", 7)
    # What was one process is the launcher now, and guarded as before.
    assert state_of(folder).pid == before.pid and before.job_alive()

    assert {rank(folder, 0), rank(folder, 1), state_of(folder).pid} <= set(of_job(folder))
    command(folder, "dump_stacks")
    for name in ("rank-0.log", "rank-1.log"):
        stacks = folder / "stacks" / name
        eventually(lambda stacks=stacks: "in_ranks" in stacks.read_text())
    (folder / "go").touch()
    assert wait(folder) == "finished"
    assert set(_phases(folder)) == {"making ready", "working"}
    for log in (folder / "events.jsonl", folder / "ranks" / "rank-1.jsonl"):
        records = list(read_all(log))
        assert [record.seq for record in records] == list(range(len(records)))
    eventually(lambda: not of_job(folder))


def test_a_node_that_is_wanted_before_there_are_ranks_gets_it(start_job: StartJob) -> None:
    folder = working(start_job("work in ranks", processes=2, wait=True))
    os.kill(state_of(folder).supervisor_pid, signal.SIGTERM)
    assert ended(folder).text == "Pre-empted before its first step."
    assert not (folder / "rank-0.pid").exists()


def test_a_killed_launcher_leaves_no_rank_behind(folder: Path) -> None:
    os.kill(state_of(folder).pid, signal.SIGKILL)
    assert ended(folder).cause == "killed"
    eventually(lambda: not of_job(folder))


def test_stop_now_ends_every_rank(folder: Path) -> None:
    command(folder, "stop_now")
    assert wait(folder) == "stopped"
    eventually(lambda: not of_job(folder))


def test_a_node_that_is_wanted_is_told_to_the_ranks_and_not_to_their_launcher(
    folder: Path,
) -> None:
    """It would end them, or give them 30 s."""
    os.kill(state_of(folder).supervisor_pid, signal.SIGTERM)
    state = ended(folder)
    assert (state.status, state.exit_code) == ("pre-empted", 0)
    assert "with a checkpoint" in state.text
