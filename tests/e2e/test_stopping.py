from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import Journey
from tests.polling import eventually
from workbench.jobs import processes
from workbench.jobs.state import JobState, describe, start_ticks
from workbench.workspace import Workspace


@pytest.fixture
def trip(journey: Journey, workspace: Workspace, unhurried: None) -> Journey:
    shutil.copytree(journey.workspace, workspace.root)
    return Journey(workspace.root, workspace.root.parent, journey.base, journey.said)


def begin(trip: Journey) -> Path:
    """A run of many steps that has taken some."""
    run = trip.run("train", "tiny", "--set", "training.max_steps=100000")["id"]
    eventually(lambda: trip.step(run) > 3)
    return trip.workspace / "runs" / str(run)


def test_a_run_is_stopped_evaluated_exported_resumed_and_goes_on_where_it_was_pre_empted(
    trip: Journey,
) -> None:
    """Its supervisor is killed first: it takes commands all the same."""
    run = begin(trip)
    state = JobState.read(run)
    assert state is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)
    eventually(lambda: start_ticks(state.supervisor_pid) is None)
    assert trip.run("status", run.name)["status"] == "running"
    trip.run("stop", run.name)
    stopped = trip.run("attach", run.name)
    assert stopped["status"] == "stopped" and "with a checkpoint" in stopped["text"]
    assert trip.run("eval", run.name)["systems"]["adapter"]["loss"]["n"] == 12
    exported = trip.run("export", "adapter", run.name, "--to", trip.home / "half-way")
    assert (Path(exported["path"]) / "adapter_model.safetensors").exists()
    trip.run("train", "--resume", run.name)
    eventually(lambda: trip.step(run.name) > stopped["step"])

    # SIGTERM to all of a run's processes, as a node sends that is taken away.
    state = JobState.read(run)
    assert state is not None
    # By the second one the job may have ended of its supervisor's.
    processes.send((state.supervisor_pid, state.pid), signal.SIGTERM)
    eventually(lambda: describe(run)[0] == "pre-empted")
    ended = JobState.read(run)
    assert ended is not None and ended.exit_code == 0
    step = trip.run("status", run.name)["step"]
    assert (run / "checkpoints" / f"step-{step}" / "trainer.json").exists()
    trip.run("train", "--resume", run.name)
    eventually(lambda: trip.step(run.name) > step)
    trip.run("stop", "--now", run.name)
    eventually(lambda: describe(run)[0] == "stopped")


def test_a_run_is_evaluated_once_at_a_time_and_the_evaluation_can_be_stopped(
    trip: Journey, cli: Cli
) -> None:
    from workbench.evaluation import request

    run = trip.workspace / "runs" / "tiny-0001"
    folder = request.start(run, request.Request(rows=6, max_new_tokens=2000))
    refused = cli("eval", run.name)
    assert refused.returncode == 2
    assert "being evaluated already: 02" in refused.stderr
    trip.run("stop", f"{run.name}/evaluations/{folder.name}")
    eventually(lambda: describe(folder)[0] == "stopped")
    assert not (folder / "metrics.json").exists()


def test_a_config_is_checked_with_what_it_names(trip: Journey, cli: Cli) -> None:
    assert cli("config", "check", "tiny").returncode == 0
    for setting, said in (
        ("data.dataset=nothing", "There is no dataset nothing"),
        ("data.dataset=", "names no dataset version"),
        ("model.base=./nowhere", "doesn't exist"),
    ):
        ended = cli("config", "check", "tiny", "--set", setting)
        assert ended.returncode == 2
        assert said in ended.stderr


def test_a_run_is_restarted_with_a_checkpoint_and_one_that_ended_goes_on(
    trip: Journey, cli: Cli
) -> None:
    run = begin(trip)
    before = JobState.read(run)
    told = trip.run("restart", run.name, "--wait")
    assert "so far are kept: nothing is lost" in told["text"]
    after = JobState.read(run)
    assert before is not None and after is not None
    assert after.pid != before.pid and after.supervisor_pid == before.supervisor_pid
    saved = [int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")]
    eventually(lambda: trip.step(run.name) > min(saved))
    course = trip.run("status", run.name)["course"]
    assert course["eta"]["low"] <= course["eta"]["seconds"] <= course["eta"]["high"]
    trip.run("stop", run.name)
    trip.run("attach", run.name)
    assert (
        "it had ended (stopped), and goes on from its checkpoint"
        in (trip.run("restart", run.name)["text"])
    )
    trip.run("stop", "--now", run.name)
    eventually(lambda: describe(run)[0] == "stopped")
    refused = cli("restart", "tiny-0001")
    assert refused.returncode == 2
    assert "nothing to go on with" in refused.stderr and "runs repeat" in refused.stderr
