"""A run on a machine whose driver is a stand-in: warned before, sampled while, room for after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.driver import GIB, H100, Driver
from tests.trained import Trained
from workbench.jobs.events import Sampled
from workbench.jobs.log import read_all
from workbench.planning import room
from workbench.tracking import runs
from workbench.workspace import Workspace

FAR = 5_000_000


@pytest.fixture
def run(trained_run: Trained, workspace: Workspace) -> Path:
    """A finished run in a workspace of this test's own."""
    shutil.copytree(trained_run.pristine, workspace.root)
    return runs.find(workspace, runs.LATEST)


def test_others_on_the_gpu_are_told_of_before_a_start_and_beside_it(
    run: Path, workspace: Workspace, cli: Cli, driver: Driver
) -> None:
    driver.gpus(H100 | {"memory_used": 60 * GIB, "compute": f"{FAR}:{60 * GIB}", "reasons": 0x20})
    config = run / "config.yaml"
    said = json.loads(cli("config", "check", config, "--json", **driver.env).stdout)["gpus"]
    assert [text for text in said if f"60.0 GiB by pid {FAR}" in text]
    shown = cli("config", "check", config, **driver.env).stdout
    assert "warning: GPU 0, which this run would use: slowed: too hot, 1755 of 1980 MHz." in shown
    short = ("--set", "training.max_steps=1", "--set", "name=beside", "--wait")
    started = cli("train", config, *short, **driver.env)
    assert f"Warning: {said[0]}" in started.stderr
    log = read_all(runs.find(workspace, "beside") / "host.jsonl")
    (gpu,) = [record.event for record in log if isinstance(record.event, Sampled)][-1].gpus
    assert gpu["throttled"] == ["thermal_software"]
    assert gpu["processes"] == [{"pid": FAR, "memory": 60 * GIB}]


def test_room_is_what_checkpoints_have_taken_or_the_config_says(
    run: Path, workspace: Workspace
) -> None:
    saved = [_bytes(path) for path in (run / "checkpoints").glob("step-*")]
    assert room.of(workspace, run).checkpoint == max(saved)
    for path in (run / "checkpoints").glob("step-*"):
        path.rename(path.with_name(f"{path.name}.damaged"))
    told = room.of(workspace, run)
    assert told.checkpoint == pytest.approx(max(saved), rel=0.02)
    assert told.rest is not None and told.rest >= told.checkpoint
    (run / "config.yaml").unlink()
    assert room.of(workspace, run) == room.Room(None, None)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
