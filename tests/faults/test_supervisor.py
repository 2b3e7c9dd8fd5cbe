"""SIGKILL of the supervisor: alone, with its job, in its own start; and of the job again and
again while its supervisor starts it anew."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Fresh
from tests.faults.invariants import (
    LOG,
    Course,
    course,
    nothing_runs,
    resumed_from_newest,
    told_in_words,
    whole_checkpoints,
    whole_lines,
    whole_log,
)
from tests.faults.matrix import Chance, play
from tests.jobs.conftest import StartJob
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import launch, processes
from workbench.jobs.client import command
from workbench.jobs.events import Progress
from workbench.jobs.log import read_all
from workbench.jobs.state import GOING_ON, HOST_LOG, JobState, describe
from workbench.tracking import runs

SECONDS = 8.0
"""About what a training takes under a supervisor, with its imports."""
PATIENCE = 240.0
"""What it may take on a busy machine."""


def state_of(folder: Path) -> JobState:
    state = JobState.read(folder)
    assert state is not None
    return state


def kill(*pids: int) -> None:
    processes.send(pids, signal.SIGKILL)


def has_ended(folder: Path) -> bool:
    return describe(folder)[0] not in GOING_ON


def test_sigkill_of_the_supervisor_while_it_trains(fresh: Fresh, reference: Course) -> None:
    def trial(chance: Chance) -> None:
        run = fresh()
        runs.start(run)
        time.sleep(chance.uniform(0, SECONDS))
        kill(state_of(run).supervisor_pid)
        if chance.random() < 0.5:
            with contextlib.suppress(WorkbenchError):  # it was done already
                command(run, "save_now")
                chance.note("taken over by another")
        eventually(lambda: has_ended(run), PATIENCE)
        assert told_in_words(run) == "finished"
        assert course(run) == reference
        eventually(lambda: not processes.of_job(run))
        nothing_runs(run)
        whole_log(run / HOST_LOG)

    play("supervisor: SIGKILL while it trains", trial, few=1, many=24)


def test_sigkill_of_supervisor_and_trainer(fresh: Fresh, reference: Course) -> None:
    """As a node that loses its power: what is on disk is all there is."""

    def trial(chance: Chance) -> None:
        run = fresh()
        runs.start(run)
        time.sleep(chance.uniform(0, SECONDS))
        state = state_of(run)
        pids = [state.supervisor_pid, state.pid]
        chance.shuffle(pids)
        kill(*pids)
        eventually(lambda: has_ended(run), PATIENCE)
        word = told_in_words(run)
        chance.note(word)
        before, whole = whole_lines(run / LOG), whole_checkpoints(run)
        if word != "finished":
            runs.start(run)
            eventually(lambda: has_ended(run), PATIENCE)
            assert told_in_words(run) == "finished"
            whole_log(run / LOG, before)
            resumed_from_newest(run, whole)
        assert course(run) == reference
        nothing_runs(run)

    play("supervisor and trainer: SIGKILL, then --resume", trial, few=1, many=24)


def test_sigkill_of_a_trainer_that_is_started_anew(fresh: Fresh, reference: Course) -> None:
    def trial(chance: Chance) -> None:
        run = fresh(restarts=9, restart_after=0)
        runs.start(run)
        for _ in range(chance.randint(1, 3)):
            time.sleep(chance.uniform(0, SECONDS))
            kill(state_of(run).pid)
        eventually(lambda: has_ended(run), PATIENCE)
        assert told_in_words(run) == "finished"
        chance.note("starts anew", state_of(run).restarts)
        assert course(run) == reference
        nothing_runs(run)

    play("trainer: SIGKILL, started anew by its supervisor", trial, few=0, many=24)


def test_sigkill_of_the_supervisor_of_a_light_job(start_job: StartJob, tmp_path: Path) -> None:
    """Many moments of one that works in milliseconds; then a command brings another."""

    def trial(chance: Chance) -> None:
        folder = start_job("work", tmp_path / f"light-{chance.number}")
        for _ in range(chance.randint(1, 3)):
            time.sleep(chance.uniform(0, 0.4))
            kill(state_of(folder).supervisor_pid)
            chance.note("kills")
            command(folder, "save_now")
        (folder / "go").touch()
        eventually(lambda: has_ended(folder))
        assert told_in_words(folder) == "finished"
        events = whole_log(folder / launch.EVENTS)
        # One start: the job itself never noticed.
        assert [e["done"] for e in events if e["type"] == "progress"] == list(
            range(1, len([e for e in events if e["type"] == "progress"]) + 1)
        )
        whole_log(folder / HOST_LOG)
        eventually(lambda: not processes.of_job(folder))

    play("supervisor: SIGKILL again and again, a light job", trial, few=3, many=100)


def test_sigkill_in_the_start(start_job: StartJob, tmp_path: Path) -> None:
    """A start that is killed half-way is none, or one that goes on; never two jobs."""

    def trial(chance: Chance) -> None:
        folder = start_job("finish", tmp_path / f"start-{chance.number}")
        eventually(lambda: has_ended(folder) and not _supervisor(folder))
        (folder / "plan.json").write_text('{"do": "work"}')
        starting = subprocess.Popen(
            [sys.executable, "-c", _START, str(folder)], stderr=subprocess.DEVNULL
        )
        supervisor = eventually(lambda: _supervisor(folder))
        time.sleep(chance.uniform(0, 0.5))
        kill(supervisor)
        starting.wait()
        goes_on = describe(folder)[0] in GOING_ON
        chance.note("the job ran already" if goes_on else "nothing was started yet")
        if goes_on:
            command(folder, "save_now")
        else:
            launch.start(folder, "tests.jobs.sample_job")
        job = eventually(lambda: _working(folder))
        assert processes.of_job(folder) == [job]
        (folder / "go").touch()
        eventually(lambda: has_ended(folder))
        assert told_in_words(folder) == "finished"
        whole_log(folder / launch.EVENTS)
        eventually(lambda: not processes.of_job(folder))

    play("supervisor: SIGKILL in its start", trial, few=3, many=100)


_START = """
import sys
from collections.abc import Callable
from pathlib import Path
from workbench.jobs import launch
launch.start(Path(sys.argv[1]), "tests.jobs.sample_job")
"""


def _supervisor(folder: Path) -> int:
    """The pid of the supervisor of a job, by its command line; 0 without one."""
    wanted = b"\0".join([b"workbench.jobs.supervisor", os.fsencode(folder), b""])
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "cmdline").read_bytes():
                return int(entry.name)
    return 0


def _working(folder: Path) -> int:
    """The pid of the job, once it has told of its work in this start; 0 before."""
    state = state_of(folder)
    told = [r for r in read_all(folder / launch.EVENTS) if r.seq >= state.first_event]
    return state.pid if any(isinstance(r.event, Progress) for r in told) else 0


def test_two_supervisors_for_one_job(start_job: StartJob, tmp_path: Path) -> None:
    """Several at once, for a job that starts and for one whose supervisor was killed: one has
    it, the others say so."""

    def trial(chance: Chance) -> None:
        folder = start_job("finish", tmp_path / f"two-{chance.number}")
        eventually(lambda: has_ended(folder))
        (folder / "plan.json").write_text('{"do": "work"}')
        (folder / "go").unlink(missing_ok=True)
        started = _at_once(chance, lambda: launch.start(folder, "tests.jobs.sample_job"))
        assert started.count("") == 1, started
        eventually(lambda: _working(folder))
        assert processes.of_job(folder) == [state_of(folder).pid]
        kill(state_of(folder).supervisor_pid)
        eventually(lambda: not state_of(folder).supervisor_alive())
        taken_over = _at_once(chance, lambda: launch.adopt(folder))
        assert taken_over.count("") == 1, taken_over
        for said in {*started, *taken_over} - {""}:
            assert "Another supervisor guards" in said or "running already" in said, said
            chance.note("turned away")
        (folder / "go").touch()
        eventually(lambda: has_ended(folder))
        assert told_in_words(folder) == "finished"
        whole_log(folder / launch.EVENTS)
        whole_log(folder / HOST_LOG)

    play("two supervisors and more for one job", trial, few=2, many=50)


def _at_once(chance: random.Random, act: Callable[[], None]) -> list[str]:
    """Do something from several threads at nearly one moment; what each was refused with."""
    said: list[str] = []

    def one(pause: float) -> None:
        time.sleep(pause)
        try:
            act()
            said.append("")
        except WorkbenchError as error:
            said.append(str(error))

    pauses = [chance.uniform(0, 0.02) for _ in range(chance.randint(2, 4))]
    threads = [threading.Thread(target=one, args=(pause,)) for pause in pauses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said
