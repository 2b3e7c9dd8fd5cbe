"""A person has a running job started again: its supervisor does it, whoever goes away meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.jobs.conftest import StartJob
from tests.jobs.test_care import notices
from tests.jobs.test_supervisor import ended, events, state_of, working
from tests.jobs.test_takeover import kill_supervisor
from tests.polling import eventually
from workbench.jobs.client import command
from workbench.jobs.ending import Ending
from workbench.jobs.events import CommandHandled, Finished
from workbench.jobs.launch import Care
from workbench.jobs.restarts import Restarts
from workbench.jobs.state import GOING_ON, JobState, describe
from workbench.jobs.waiting import wait


def again(folder: Path, before: JobState) -> JobState:
    """The state once another process does the job."""
    return eventually(lambda: (now := state_of(folder)).pid != before.pid and now)


def test_a_job_ends_after_its_step_and_goes_on_in_a_new_process(
    start_job: StartJob, tmp_path: Path
) -> None:
    told = ("touch", str(tmp_path / "it ended"))
    folder = working(start_job("work", care=Care(on_end=told)))
    before = state_of(folder)
    command(folder, "restart")
    after = again(folder, before)
    assert after.supervisor_pid == before.supervisor_pid and not after.again
    assert describe(folder)[0] in GOING_ON
    (first,) = events(folder, Finished)
    assert first.stopped and [e.command for e in events(folder, CommandHandled)] == ["stop"]
    assert any("A person has it started again" in text for text in notices(folder))
    # It has not ended: nobody is told so.
    assert not (tmp_path / "it ended").exists()
    (folder / "go").touch()
    assert wait(folder) == "finished" and state_of(folder).restarts == 0


def test_a_job_that_hears_nothing_is_killed_where_that_is_wanted(start_job: StartJob) -> None:
    folder = start_job("hang", care=Care(stall_after=0.3))
    eventually(lambda: describe(folder)[0] == "stalled")
    before = state_of(folder)
    command(folder, "restart")  # it never comes to it
    assert state_of(folder).again and state_of(folder).pid == before.pid
    command(folder, "restart_now")
    again(folder, before)
    command(folder, "stop_now")
    assert ended(folder).status == "stopped"


def test_a_stop_after_it_is_what_counts(start_job: StartJob) -> None:
    folder = start_job("hang")
    eventually(lambda: (folder / "events.jsonl").exists())
    before = state_of(folder)
    command(folder, "restart")
    command(folder, "stop")
    assert not state_of(folder).again
    command(folder, "stop_now")
    assert ended(folder).status == "stopped" and state_of(folder).pid == before.pid


def test_a_supervisor_that_takes_over_does_what_was_asked_of_the_one_before(
    start_job: StartJob,
) -> None:
    folder = start_job("hang")
    eventually(lambda: (folder / "events.jsonl").exists())
    command(folder, "restart")
    before = kill_supervisor(folder)
    assert before.again
    command(folder, "restart_now")
    again(folder, before)
    command(folder, "stop_now")
    assert ended(folder).status == "stopped"


def test_what_ended_by_itself_is_not_started_again() -> None:
    restarts = Restarts(Care())
    restarts.ask(at_once=False)
    assert restarts.next(Ending("finished", "Finished."), 9) is None
    assert restarts.next(Ending("failed", "Row 7 is bad.", "bad_input"), 9) is None
    assert restarts.next(Ending("failed", "Killed.", "killed"), 9) is None
    assert restarts.next(Ending("stopped", "Stopped."), 9) == 0
    restarts.ask(at_once=True)
    assert restarts.next(Ending("failed", "Killed.", "killed"), 9) == 0
