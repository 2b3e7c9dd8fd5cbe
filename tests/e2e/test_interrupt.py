from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Journey
from tests.polling import eventually
from workbench.jobs.state import describe


def interrupted(trip: Journey, workspace: Path, *arguments: str, after: str) -> str:
    """What `workbench ARGUMENTS` said; it gets a Ctrl-C once `after` came on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WORKBENCH_HOME": str(workspace)},
    )
    assert process.stderr is not None
    said = ""
    while after not in said:
        line = process.stderr.readline()
        assert line, f"it ended before {after!r}: {said}"
        said += line
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    return said


def test_ctrl_c_ends_a_merge_and_an_evaluation_and_leaves_nothing_half_done(
    journey: Journey, tmp_path: Path
) -> None:
    workspace = Path(shutil.copytree(journey.workspace, tmp_path / "ws"))
    (run,) = (workspace / "runs").iterdir()
    target = tmp_path / "out" / "merged"
    verbs = (["export", "merged", run.name, "--to", str(target)], ["eval", run.name])
    for verb in verbs:
        said = interrupted(journey, workspace, *verb, after="Ctrl-C ends it")
        assert "Stopped; nothing half-done is left." in said
    for folder in (run / "exports" / "merge-02", run / "evaluations" / "02"):
        eventually(lambda folder=folder: describe(folder)[0] == "stopped")
        assert not (folder / "metrics.json").exists()
    assert not target.parent.exists() or list(target.parent.iterdir()) == []


def test_ctrl_c_leaves_a_training_running_and_says_so(
    journey: Journey, tmp_path: Path, unhurried: None
) -> None:
    workspace = Path(shutil.copytree(journey.workspace, tmp_path / "ws"))
    trip = Journey(workspace, tmp_path, journey.base, journey.said)
    verb = ["train", "tiny", "--set", "training.max_steps=100000", "--wait"]
    said = interrupted(trip, workspace, *verb, after="tokens/s")
    assert "tiny-0002 goes on without this terminal" in said
    assert trip.run("status")["status"] == "running"
    trip.run("stop", "--now")
    eventually(lambda: describe(workspace / "runs" / "tiny-0002")[0] == "stopped")
