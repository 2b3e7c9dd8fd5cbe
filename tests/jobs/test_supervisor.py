from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import ROOT, StartJob, end
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.client import command
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    CommandTaken,
    Finished,
    Progress,
    Record,
    Sampled,
)
from workbench.jobs.log import read_all
from workbench.jobs.socket import Connection, Message, Unpacker, pack
from workbench.jobs.state import STATE, JobState, describe, start_ticks
from workbench.jobs.waiting import follow, wait


def state_of(folder: Path) -> JobState:
    state = JobState.read(folder)
    assert state is not None
    return state


def ended(folder: Path) -> JobState:
    """The state of a job once its supervisor has recorded its end."""
    eventually(lambda: state_of(folder).ended)
    return state_of(folder)


def events(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in read_all(folder / "events.jsonl") if isinstance(r.event, kind)]


def working(folder: Path) -> Path:
    """The folder, once the job has written something."""
    eventually(lambda: events(folder, Progress))
    return folder


def samples(folder: Path) -> list[Record]:
    return [r for r in read_all(folder / "host.jsonl") if isinstance(r.event, Sampled)]


def taken(folder: Path) -> list[tuple[str, str]]:
    """Commands as the supervisor has logged them, each with why it was refused."""
    found = (record.event for record in read_all(folder / "host.jsonl"))
    return [(e.command, e.refused) for e in found if isinstance(e, CommandTaken)]


def test_a_job_that_finishes_is_recorded_as_finished(start_job: StartJob) -> None:
    folder = start_job("finish")
    assert wait(folder) == "finished"
    state = state_of(folder)
    assert (state.status, state.exit_code, state.signal) == ("finished", 0, None)
    assert state.ended and state.ended >= state.started
    assert describe(folder) == ("finished", "Finished.")
    assert not Path(state.socket).exists()
    assert events(folder, Finished) == [Finished(stopped=False, step=1, result="nothing")]


def test_a_running_job_has_a_state_a_heartbeat_and_samples_of_the_host(
    start_job: StartJob,
) -> None:
    folder = working(start_job("work"))
    state = state_of(folder)
    assert describe(folder)[0] == "running"
    assert state.status == "running" and state.log == "events.jsonl"
    assert start_ticks(state.pid) == state.start_ticks
    assert os.getsid(state.pid) == os.getsid(state.supervisor_pid) != os.getsid(0)
    before = (folder / STATE).stat().st_mtime
    eventually(lambda: (folder / STATE).stat().st_mtime > before)
    eventually(lambda: len(samples(folder)) >= 2)
    first, second = samples(folder)[:2]
    assert first.time < second.time
    assert isinstance(second.event, Sampled)
    assert second.event.host["memory_total"] > second.event.host["rss"] > 0
    (folder / "go").touch()
    assert wait(folder) == "finished"


@pytest.mark.parametrize(
    ("do", "cause", "words", "exit_code"),
    [
        ("bad input", "bad_input", "Row 7 is bad.", 2),
        ("bug", "error", "KeyError: 'oops'", 1),
        ("bad input that speaks of a full disk", "bad_input", "no dataset named", 2),
        ("another job failed", "killed", "SIGKILL", 1),
        ("disk full", "disk_full", "disk is full", 1),
        ("quota used up", "disk_full", "quota is used up", 1),
        ("disk full in safetensors", "disk_full", "disk is full", 1),
    ],
)
def test_a_job_that_fails_says_why_in_words(
    start_job: StartJob, do: str, cause: str, words: str, exit_code: int
) -> None:
    folder = start_job(do)
    with pytest.raises(WorkbenchError) as failure:
        wait(folder)
    assert words in failure.value.message
    assert "Traceback" not in str(failure.value)
    state = state_of(folder)
    assert (state.status, state.cause, state.exit_code) == ("failed", cause, exit_code)
    assert "Traceback" in (folder / "stderr.log").read_text()


def test_a_job_that_exits_by_itself_is_told_by_its_exit_code(start_job: StartJob) -> None:
    folder = start_job("exit", code=3)
    with pytest.raises(WorkbenchError, match=r"exit code 3\. the last words"):
        wait(folder)
    assert state_of(folder).exit_code == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_job_that_is_killed_is_told_by_the_signal(
    start_job: StartJob, number: signal.Signals
) -> None:
    folder = start_job("kill itself", signal=number)
    with pytest.raises(WorkbenchError, match=number.name):
        wait(folder)
    state = state_of(folder)
    assert (state.status, state.exit_code, state.signal) == ("failed", None, number)


def test_stop_ends_the_job_between_two_steps(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    connection = Connection(Path(state_of(folder).socket))
    assert connection.command("save_now")["type"] == "ack"
    eventually(lambda: events(folder, CheckpointSaved))
    assert connection.command("stop")["type"] == "ack"
    connection.close()
    assert wait(folder) == "stopped"
    assert state_of(folder).exit_code == 0
    assert [c.command for c in events(folder, CommandHandled)] == ["save_now", "stop"]


def test_stop_ends_a_job_that_works_in_batches(start_job: StartJob) -> None:
    folder = working(start_job("work in batches"))
    connection = Connection(Path(state_of(folder).socket))
    connection.command("save_now")
    assert connection.command("stop")["type"] == "ack"
    connection.close()
    assert wait(folder) == "stopped"
    assert describe(folder) == ("stopped", "Stopped by a person.")
    assert [c.command for c in events(folder, CommandHandled)] == ["save_now", "stop"]


def test_stop_now_ends_the_job_at_once(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    connection = Connection(Path(state_of(folder).socket))
    assert connection.command("stop_now")["type"] == "ack"
    assert wait(folder) == "stopped"
    state = ended(folder)
    assert "without a new checkpoint" in state.text
    assert taken(folder) == [("stop_now", "")]


def test_sigterm_to_the_supervisor_preempts_the_job_with_its_checkpoint(
    start_job: StartJob,
) -> None:
    """As when a node is shut down, or Slurm ends an allocation."""
    folder = working(start_job("work"))
    os.kill(state_of(folder).supervisor_pid, signal.SIGTERM)
    assert wait(folder) == "pre-empted"
    assert "with a checkpoint" in describe(folder)[1]
    assert events(folder, Finished)[0].preempted
    assert state_of(folder).exit_code == 0


@pytest.mark.parametrize("to", ["the job", "its group", "all of its session"])
def test_sigterm_to_the_job_preempts_it(start_job: StartJob, to: str) -> None:
    folder = working(start_job("work"))
    state = state_of(folder)
    if to == "the job":
        os.kill(state.pid, signal.SIGTERM)
    elif to == "its group":
        os.killpg(state.pid, signal.SIGTERM)
    else:
        for pid in (state.supervisor_pid, state.pid):
            os.kill(pid, signal.SIGTERM)
    assert wait(folder) == "pre-empted"
    assert state_of(folder).exit_code == 0


def test_sighup_does_nothing_to_the_job(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    state = state_of(folder)
    for pid in (state.supervisor_pid, state.pid):
        os.kill(pid, signal.SIGHUP)
    steps = len(events(folder, Progress))
    eventually(lambda: len(events(folder, Progress)) > steps + 5)
    (folder / "go").touch()
    assert wait(folder) == "finished"


@pytest.mark.parametrize("to", ["pid", "supervisor_pid"])
def test_sigint_stops_after_a_step_and_a_second_one_at_once(start_job: StartJob, to: str) -> None:
    folder = working(start_job("work"))
    os.kill(getattr(state_of(folder), to), signal.SIGINT)
    assert wait(folder) == "stopped"
    assert "with a checkpoint" in describe(folder)[1]
    hung = working(start_job("hang"))
    os.kill(getattr(state_of(hung), to), signal.SIGINT)
    eventually(lambda: "asked to stop" in (hung / "stderr.log").read_text())
    os.kill(getattr(state_of(hung), to), signal.SIGINT)
    assert wait(hung) == "stopped"
    assert "at once" in describe(hung)[1]


def test_a_command_sent_again_under_its_id_is_acted_on_once(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(state_of(folder).socket)
        client.sendall(pack({"type": "hello", "protocol": 1}))
        save = pack({"type": "command", "id": "7", "command": "save_now"})
        client.sendall(save * 3)
        unpacker, acks = Unpacker(), list[Message]()
        while len(acks) < 3:
            acks += [m for m in unpacker.feed(client.recv(1 << 16)) if m.get("id") == "7"]
    assert acks == [{"type": "ack", "id": "7", "command": "save_now"}] * 3
    eventually(lambda: events(folder, CommandHandled))
    (folder / "go").touch()
    wait(folder)
    assert [c.id for c in events(folder, CommandHandled)] == ["7"]


def test_an_unknown_command_is_refused_and_nothing_happens(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    connection = Connection(Path(state_of(folder).socket))
    with pytest.raises(WorkbenchError, match="no command 'dance'"):
        connection.command("dance")
    for value in (None, 0, "2", True):
        with pytest.raises(WorkbenchError, match="whole number of steps"):
            connection.command("set_interval", value=value)
    assert [command for command, _ in taken(folder)] == ["dance"] + ["set_interval"] * 4
    assert all(refused for _, refused in taken(folder))
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_following_a_job_gives_every_event_of_it(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    seen: list[int] = []
    for records in follow(folder):
        seen += [r.seq for r in records]
        if len(seen) > 5:
            (folder / "go").touch()
    assert seen == list(range(len(seen)))
    assert seen[-1] == len(list(read_all(folder / "events.jsonl"))) - 1


START = """
    import os, signal, sys
    from pathlib import Path
    from workbench.jobs import launch
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, which ignores it, is inherited
    launch.start(Path(sys.argv[1]), "tests.jobs.sample_job")
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_job_outlives_the_program_and_the_terminal_that_started_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A program on a terminal of its own starts the job; both go away, the job works on."""
    (tmp_path / "plan.json").write_text('{"do": "work"}')
    terminal, theirs = os.openpty()
    # `setsid --ctty` makes the terminal the program's own, as a login does.
    program = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-c", textwrap.dedent(START), str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(theirs)
    said = b""
    while b"started" not in said:
        said += os.read(terminal, 1 << 10)
    try:
        working(tmp_path)
        state = state_of(tmp_path)
        assert os.getsid(program.pid) == program.pid
        os.killpg(program.pid, number)
        os.close(terminal)
        assert program.wait(60) == -number
        steps = len(events(tmp_path, Progress))
        eventually(lambda: len(events(tmp_path, Progress)) > steps + 5)
        assert state_of(tmp_path) == state
        assert describe(tmp_path) == ("running", "It is running.")
        (tmp_path / "go").touch()
        assert wait(tmp_path) == "finished"
    finally:
        end(tmp_path)


def test_a_job_works_on_and_says_so_when_its_supervisor_is_killed(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    os.kill(state_of(folder).supervisor_pid, signal.SIGKILL)
    eventually(lambda: not state_of(folder).supervisor_alive())
    status, text = describe(folder)
    assert status == "running" and "supervisor was killed" in text
    steps = len(events(folder, Progress))
    eventually(lambda: len(events(folder, Progress)) > steps + 5)
    (folder / "go").touch()
    assert wait(folder) == "finished"
    assert describe(folder) == ("finished", "Finished.")


def test_a_job_whose_processes_are_both_gone_is_dead(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    state = state_of(folder)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    os.kill(state.pid, signal.SIGKILL)
    eventually(lambda: describe(folder)[0] == "dead")
    with pytest.raises(WorkbenchError, match="left no word"):
        wait(folder)


def test_a_pid_that_was_given_to_another_process_is_not_the_job(start_job: StartJob) -> None:
    folder = start_job("finish")
    wait(folder)
    state = state_of(folder)
    body = json.loads((folder / STATE).read_text())
    body |= {"status": "running", "pid": os.getpid(), "supervisor_pid": os.getpid()}
    (folder / STATE).write_text(json.dumps(body))
    (folder / "events.jsonl").unlink()
    assert state_of(folder).start_ticks == state.start_ticks
    assert describe(folder)[0] == "dead"


def test_a_supervisor_that_hangs_is_told_as_stalled(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    supervisor = state_of(folder).supervisor_pid
    os.kill(supervisor, signal.SIGSTOP)
    eventually(lambda: Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2][1] == "T")
    an_hour_ago = (folder / STATE).stat().st_mtime - 3600
    os.utime(folder / STATE, (an_hour_ago, an_hour_ago))
    status, text = describe(folder)
    assert status == "stalled" and "No heartbeat" in text


def test_a_full_disk_under_the_samples_does_not_take_the_guardian(
    start_job: StartJob, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "host.jsonl").symlink_to("/dev/full")
    working(start_job("work", folder))
    before = (folder / STATE).stat().st_mtime
    eventually(lambda: (folder / STATE).stat().st_mtime > before)
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_job_that_has_just_ended_can_be_started_again_at_once(start_job: StartJob) -> None:
    folder = start_job("finish")
    for _ in range(3):
        ended(folder)
        start_job("finish", folder)
    assert wait(folder) == "finished"


def test_a_job_goes_on_in_the_same_log_and_its_new_ending_counts(start_job: StartJob) -> None:
    folder = start_job("bad input")
    ended(folder)
    start_job("kill itself", folder, signal=signal.SIGKILL)
    assert ended(folder).cause == "killed"
    start_job("finish", folder)
    assert wait(folder) == "finished"
    assert [r.seq for r in read_all(folder / "events.jsonl")] == [0, 1, 2]


def test_a_folder_whose_job_runs_takes_no_second_supervisor(start_job: StartJob) -> None:
    folder = working(start_job("work"))
    state = state_of(folder)
    with pytest.raises(WorkbenchError, match="Another supervisor"):
        launch.start(folder, "tests.jobs.sample_job")
    assert state_of(folder) == state
    (folder / "go").touch()
    assert wait(folder) == "finished"


def test_a_job_that_can_not_be_guarded_is_not_left_running(
    start_job: StartJob, tmp_path: Path
) -> None:
    folder = tmp_path / "unwritable"
    (folder / STATE).mkdir(parents=True)
    with pytest.raises(WorkbenchError, match="could not be started"):
        start_job("work", folder)
    (folder / STATE).rmdir()
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(folder) not in lines


def test_a_folder_without_a_job_is_not_started(tmp_path: Path) -> None:
    assert describe(tmp_path) == ("not started", "It has not started.")
    with pytest.raises(WorkbenchError, match="has not started yet"):
        wait(tmp_path)


@pytest.mark.parametrize("message_id", ["x" * 200_000, "", None, 7, ["1"]])
def test_a_command_with_an_id_that_is_none_is_refused_and_harms_nothing(
    start_job: StartJob, message_id: object
) -> None:
    folder = working(start_job("work"))
    connection = Connection(Path(state_of(folder).socket))
    body = {"type": "command", "command": "save_now", "id": message_id}
    connection._socket.sendall(pack(body))
    answer = connection._receive_until(lambda m: m["type"] != "tick", 60)
    assert answer is not None and answer["type"] == "error" and "has an id" in answer["text"]
    assert command(folder, "save_now")["type"] == "ack"
    eventually(lambda: events(folder, CheckpointSaved))
    (folder / "go").touch()
    assert wait(folder) == "finished"
