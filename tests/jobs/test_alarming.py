"""A supervisor judges its job, and everybody is told the same."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.jobs.conftest import StartJob
from tests.jobs.test_supervisor import state_of
from tests.polling import eventually
from workbench.alarms.reading import noted, read
from workbench.jobs.client import command, ensure_supervisor
from workbench.jobs.launch import EVENTS, Care
from workbench.jobs.state import describe
from workbench.jobs.waiting import wait

CURVE = Path(__file__).parents[1] / "alarms" / "curves" / "overfitting-tiny.jsonl"
NOTE = "import os, sys; print(os.environ[sys.argv[2]], file=open(sys.argv[1], 'a'))"


def test_an_alarm_is_logged_kept_in_the_state_and_told_once(
    start_job: StartJob, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    words = (sys.executable, "-c", NOTE, str(told), "WORKBENCH_ALARM_JSON")
    folder = start_job("train by a recorded curve", care=Care(on_alarm=words), curve=str(CURVE))
    eventually(lambda: state_of(folder).alarms)
    (alarm,) = state_of(folder).alarms or []
    assert (alarm["name"], alarm["since_step"]) == ("overfitting", 150)
    assert folder.name in alarm["next_step"]
    now = read(folder, EVENTS)
    assert (now.by, [e.alarm.name for e in now.standing], now.past) == (
        "supervisor",
        ["overfitting"],
        [],
    )
    # Whoever takes over tells nothing again.
    supervisor = state_of(folder).supervisor_pid
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not state_of(folder).supervisor_alive())
    ensure_supervisor(folder)
    eventually(lambda: state_of(folder).supervisor_alive())
    command(folder, "stop")
    assert wait(folder) == "stopped"
    assert [a["name"] for a in state_of(folder).alarms or []] == ["overfitting"]
    assert [a.over for _, a in noted(folder / "host.jsonl")] == [False]
    lines = eventually(lambda: told.exists() and told.read_text().splitlines())
    assert len(lines) == 1
    assert {"run": folder.name, "name": "overfitting"}.items() <= json.loads(lines[0]).items()
    after = read(folder, EVENTS)
    assert after.ended and [e.until for e in after.standing] == [None]


def test_what_a_job_writes_last_is_judged_too(start_job: StartJob) -> None:
    folder = start_job("train by a recorded curve", curve=str(CURVE), end=True)
    assert wait(folder) == "finished"
    assert [a["name"] for a in state_of(folder).alarms or []] == ["overfitting"]


def test_a_stall_is_an_alarm_that_ends_with_it(start_job: StartJob) -> None:
    folder = start_job("work in batches", care=Care(stall_after=2.0))
    eventually(lambda: describe(folder)[0] == "running" and (folder / EVENTS).exists())
    os.kill(state_of(folder).pid, signal.SIGSTOP)
    eventually(lambda: describe(folder)[0] == "stalled")
    (alarm,) = state_of(folder).alarms or []
    assert alarm["name"] == "stalled" and "Not a word for" in alarm["text"]
    # A slow start is a stall before it.
    earlier = len(read(folder, EVENTS).past)
    os.kill(state_of(folder).pid, signal.SIGCONT)
    eventually(lambda: state_of(folder).alarms == [])
    (episode,) = read(folder, EVENTS).past[earlier:]
    assert episode.alarm.name == "stalled" and episode.until is not None
    command(folder, "stop")
    wait(folder)


def test_a_command_that_is_not_there_harms_neither_job_nor_supervisor(start_job: StartJob) -> None:
    care = Care(on_alarm=("/no/such/command",))
    folder = start_job("train by a recorded curve", care=care, curve=str(CURVE))
    eventually(lambda: "on_alarm: /no/such/command failed" in _said(folder))
    command(folder, "stop")
    assert wait(folder) == "stopped"


def _said(folder: Path) -> str:
    return (folder / "supervisor.log").read_text()
