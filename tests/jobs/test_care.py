"""What a supervisor does for its job: restarts, stalls, stacks, the command at the end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.jobs.conftest import StartJob
from tests.jobs.test_supervisor import ended, events, state_of, taken, working
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.ending import Ending
from workbench.jobs.events import Notice, Progress
from workbench.jobs.launch import Care
from workbench.jobs.log import read_all
from workbench.jobs.restarts import RECURRING, Restarts
from workbench.jobs.state import describe
from workbench.jobs.waiting import wait

AT_ONCE = 0.05


def notices(folder: Path) -> list[str]:
    found = (record.event for record in read_all(folder / "host.jsonl"))
    return [event.text for event in found if isinstance(event, Notice)]


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text().splitlines())


def test_a_job_that_is_killed_starts_again_by_itself(start_job: StartJob) -> None:
    care = Care(restarts=3, restart_after=AT_ONCE)
    folder = start_job("fail at first", care=care, ways=["killed", "killed"])
    assert wait(folder) == "finished"
    assert starts(folder) == 3
    assert state_of(folder).restarts == 2
    first, second = notices(folder)
    assert "SIGKILL" in first and "restart 1 of 3" in first and "restart 2 of 3" in second
    assert [r.seq for r in read_all(folder / "events.jsonl")] == list(range(4))


def test_no_job_starts_again_unless_it_is_told_to(start_job: StartJob) -> None:
    folder = start_job("fail at first", ways=["killed"])
    assert ended(folder).status == "failed"
    assert starts(folder) == 1


@pytest.mark.parametrize(
    ("ways", "count"),
    [
        (["killed"] * 9, 3),
        (["bad input"] * 9, 1),
        (["killed", "bad input"], 2),
        (["an error"] * 9, 2),
        (["an error", "an error further on", "an error"], 3),
    ],
)
def test_restarts_end_where_the_cause_would_come_again(
    start_job: StartJob, ways: list[str], count: int
) -> None:
    folder = start_job("fail at first", care=Care(2, AT_ONCE), ways=ways)
    assert ended(folder).status == "failed"
    assert starts(folder) == count


def test_waits_double_up_to_ten_minutes() -> None:
    restarts = Restarts(Care(restarts=9, restart_after=10))
    killed = Ending("failed", "Killed.", "killed")
    waits = [restarts.next(killed, 1) for _ in range(10)]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600, None]


@pytest.mark.parametrize("cause", RECURRING)
def test_what_would_come_again_starts_nothing(cause: str) -> None:
    restarts = Restarts(Care(restarts=9))
    assert restarts.next(Ending("failed", "It failed.", cause), 1) is None
    assert restarts.next(Ending("stopped", "Stopped by a person."), 1) is None


@pytest.mark.parametrize("name", ["stop", "stop_now"])
def test_a_job_that_waits_to_start_again_says_so_and_can_be_given_up(
    start_job: StartJob, name: str
) -> None:
    folder = start_job("fail at first", care=Care(3, 600), ways=["killed"] * 4)
    eventually(lambda: describe(folder)[0] == "restarting")
    assert "starts again in 600 s (restart 1 of 3)" in describe(folder)[1]
    with pytest.raises(WorkbenchError, match="waits to be started again"):
        command(folder, "pause")
    command(folder, name)
    state = ended(folder)
    assert state.status == "stopped" and "Before that: Killed by signal 9" in state.text
    assert starts(folder) == 1


def test_a_stopped_job_is_not_started_again(start_job: StartJob) -> None:
    folder = working(start_job("work", care=Care(3, AT_ONCE)))
    command(folder, "stop_now")
    assert wait(folder) == "stopped"


def test_a_job_that_hangs_is_told_as_stalled_and_its_stacks_are_written(
    start_job: StartJob,
) -> None:
    folder = start_job("hang", care=Care(stall_after=0.3, on_stall="dump"))

    def told() -> bool:
        # A slow start is a stall before it.
        word, text = describe(folder)
        return word == "stalled" and "(hanging)" in text

    eventually(told)
    stacks = folder / "stacks" / "rank-0.log"
    eventually(lambda: "sample_job.py" in stacks.read_text())
    # The supervisor says so after it has asked for them.
    eventually(lambda: any("writes its stacks" in text for text in notices(folder)))
    command(folder, "stop_now")
    assert wait(folder) == "stopped"


def test_a_stalled_job_is_ended_and_started_again_where_that_is_wanted(
    start_job: StartJob,
) -> None:
    care = Care(restarts=1, restart_after=600, stall_after=2.0, on_stall="stop")
    folder = start_job("hang", care=care)
    # A slow start would be a stall before it, of a process that can't write its stacks yet.
    supervisor = state_of(folder).supervisor_pid
    os.kill(supervisor, signal.SIGSTOP)
    working(folder)
    os.kill(supervisor, signal.SIGCONT)
    eventually(lambda: describe(folder)[0] == "restarting")
    assert "had stalled" in describe(folder)[1]
    command(folder, "stop")
    assert "Before that: Ended because it had stalled" in ended(folder).text
    assert (folder / "stacks" / "rank-0.log").read_text()


def test_stacks_are_written_on_demand_and_the_job_goes_on(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    command(folder, "dump_stacks")
    eventually(lambda: "_until_told" in (folder / "stacks" / "rank-0.log").read_text())
    (folder / "go").touch()
    assert wait(folder) == "finished"
    assert taken(folder) == [("dump_stacks", "")]


def test_a_paused_job_says_so_and_is_never_stalled(start_job: StartJob) -> None:
    folder = working(start_job("work in batches", care=Care(stall_after=0.3)))
    command(folder, "pause")
    eventually(lambda: describe(folder)[0] == "paused")
    done = len(events(folder, Progress))
    samples = len(list(read_all(folder / "host.jsonl")))
    eventually(lambda: len(list(read_all(folder / "host.jsonl"))) > samples)
    assert describe(folder)[0] == "paused"
    assert len(events(folder, Progress)) == done
    command(folder, "resume")
    eventually(lambda: describe(folder)[0] == "running")
    eventually(lambda: len(events(folder, Progress)) > done)
    command(folder, "stop")
    assert wait(folder) == "stopped"


def test_a_command_of_the_persons_own_is_run_at_the_end_without_a_shell(
    start_job: StartJob, tmp_path: Path
) -> None:
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(sys.argv[2] + os.environ['WORKBENCH_TEXT'])"
    )
    told = tmp_path / "told"
    care = Care(on_end=(sys.executable, "-c", code, str(told), "$HOME; {run} {status}: "))
    folder = start_job("bad input", care=care)
    ended(folder)
    assert eventually(lambda: told.exists() and told.read_text()) == (
        f"$HOME; {folder.name} failed: Row 7 is bad."
    )


def test_a_command_at_the_end_that_fails_harms_nothing(start_job: StartJob) -> None:
    folder = start_job("finish", care=Care(on_end=("/no/such/command",)))
    assert wait(folder) == "finished"
    eventually(lambda: "/no/such/command failed" in (folder / "supervisor.log").read_text())


def test_what_is_left_of_a_dead_job_is_ended_before_it_starts_again(start_job: StartJob) -> None:
    """A rank that outlived its launcher and its supervisor would hold its GPU for good."""
    folder = working(start_job("work with a helper"))
    helper = int(eventually((folder / "helper").read_text))
    state = state_of(folder)
    for pid in (state.supervisor_pid, state.pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: describe(folder)[0] == "dead")
    os.kill(helper, 0)
    start_job("finish", folder)
    assert wait(folder) == "finished"
    with pytest.raises(ProcessLookupError):
        eventually(lambda: os.kill(helper, 0))


def test_the_helpers_of_a_job_end_with_it(start_job: StartJob) -> None:
    folder = working(start_job("work with a helper"))
    helper = int(eventually((folder / "helper").read_text))
    os.kill(state_of(folder).pid, signal.SIGKILL)
    assert ended(folder).cause == "killed"
    with pytest.raises(ProcessLookupError):
        eventually(lambda: os.kill(helper, 0))


def test_a_job_that_waits_to_start_again_is_pre_empted_with_its_node(start_job: StartJob) -> None:
    folder = start_job("fail at first", care=Care(3, 600), ways=["killed"] * 4)
    eventually(lambda: describe(folder)[0] == "restarting")
    os.kill(state_of(folder).supervisor_pid, signal.SIGTERM)
    state = ended(folder)
    assert state.status == "pre-empted" and "Before that: Killed by signal 9" in state.text


def test_a_job_whose_supervisor_is_killed_in_that_wait_says_what_was_before(
    start_job: StartJob,
) -> None:
    folder = start_job("fail at first", care=Care(3, 600), ways=["killed"] * 4)
    eventually(lambda: describe(folder)[0] == "restarting")
    os.kill(state_of(folder).supervisor_pid, signal.SIGKILL)
    eventually(lambda: describe(folder)[0] == "dead")
    assert "Killed by signal 9" in describe(folder)[1]


def test_a_hang_up_in_the_first_moment_harms_nothing(start_job: StartJob) -> None:
    folder = start_job("work")
    os.kill(state_of(folder).pid, signal.SIGHUP)
    working(folder)
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_damaged_state_of_a_dead_job_is_set_aside_when_it_starts_again(
    start_job: StartJob,
) -> None:
    folder = start_job("finish")
    assert wait(folder) == "finished"
    # Until it has gone, the first supervisor's state is what a second one waits by.
    eventually(lambda: not state_of(folder).supervisor_alive())
    (folder / "state.json").write_text("{")
    assert describe(folder)[0] == "damaged"
    start_job("finish", folder)
    assert wait(folder) == "finished"
    assert (folder / "state.json.damaged").read_text() == "{"
