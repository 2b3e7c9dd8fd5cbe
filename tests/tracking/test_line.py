"""`workbench status --line`, from the files of a run as each state leaves them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from workbench.jobs.events import (
    Alarm,
    Event,
    Failed,
    Finished,
    Progress,
    Sampled,
    Started,
    Step,
    encode,
)
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, JobState, start_ticks
from workbench.tracking.line import WIDEST, status_line
from workbench.workspace import Workspace

STARTED = Started(200, 1.0, 90, 10, 12345, 1000, 9999, "cuda", "bfloat16")
GIB = 1 << 30
HEAVY = ("textual", "pydantic", "yaml", "torch", "transformers", "pynvml", "workbench.verbs.train")
MODULES = """
import json, sys
from workbench.cli import main
main(["status", "--line"])
json.dump(sorted(sys.modules), sys.stderr)
"""


def step(number: int, loss: float = 1.842) -> Step:
    return Step(number, 0.1, loss, 1e-4, 1.0, 1000, 500, 1.0)


def gpu(index: int, used: float, of_run: float | None) -> dict[str, Any]:
    held = None if of_run is None else int(of_run * GIB)
    return {
        "index": index,
        "memory_used": int(used * GIB),
        "memory_total": int(79.6 * GIB),
        "memory_of_run": held,
    }


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(workspace: Workspace) -> MakeRun:
    """A run's folder as its processes would leave it; this very process is the job."""

    def make(*events: Event, name: str = "demo-0001", **state: Any) -> Path:
        run = workspace.runs / name
        run.mkdir(parents=True)
        (run / "manifest.json").write_text("{}")
        with LogWriter(run / "train.jsonl") as log:
            for event in events:
                log.write(event)
        pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
        kept: dict[str, Any] = {"status": "running", "started": 0.0, **state}
        JobState(
            log="train.jsonl",
            pid=pid,
            start_ticks=ticks,
            supervisor_pid=pid,
            supervisor_start_ticks=ticks,
            socket="",
            **kept,
        ).write(run)
        return run

    return make


def test_a_running_run(make_run: MakeRun, workspace: Workspace) -> None:
    run = make_run(STARTED, *(step(n) for n in range(1, 16)))
    with LogWriter(run / HOST_LOG) as host:
        host.write(Sampled({}, [gpu(0, 70.0, None), gpu(1, 41.2, 40.0)], None))
    assert (
        status_line(workspace, "latest")
        == "demo-0001 15/200 loss 1.842 3 min 05 s left 41.2/79.6 GiB RUNNING"
    )


@pytest.mark.parametrize(
    ("state", "last", "line"),
    [
        ({}, [Progress("validation", 5, 40, "rows")], "validation loss 1.842 RUNNING"),
        ({"condition": "paused"}, [], "loss 1.842 PAUSED"),
        (
            {"condition": "stalled", "condition_text": "Not a word for 90 s (step)."},
            [],
            "loss 1.842 STALLED Not a word for 90 s (step).",
        ),
        ({"status": "finished"}, [Finished(stopped=False)], "loss 1.842 FINISHED"),
        ({"status": "stopped", "text": "By a person."}, [], "loss 1.842 STOPPED"),
        (
            {"status": "failed", "text": "The disk is full."},
            [Failed("disk_full", "The disk is full.")],
            "loss 1.842 FAILED The disk is full.",
        ),
    ],
)
def test_every_state(
    make_run: MakeRun, workspace: Workspace, state: dict[str, Any], last: list[Event], line: str
) -> None:
    make_run(STARTED, step(1), *last, **state)
    assert status_line(workspace, "demo") == f"demo-0001 1/200 {line}"


def test_the_worst_alarm_stands_behind_the_state(make_run: MakeRun, workspace: Workspace) -> None:
    def alarm(name: str, severity: str) -> dict[str, Any]:
        alarm = Alarm(name, severity, 7, 0.0, "Seen.", "Why.", "Next.", "Source.")
        return asdict(alarm)

    alarms = [alarm("plateau", "info"), alarm("divergence", "error"), alarm("stalled", "error")]
    make_run(STARTED, step(1), alarms=alarms)
    line = status_line(workspace, "latest")
    assert line.endswith("RUNNING !divergence +1")
    make_run(STARTED, step(1), name="demo-0002", alarms=alarms[:1], status="finished")
    assert status_line(workspace, "demo-0002").endswith("FINISHED")


def test_a_run_that_loads_its_model(make_run: MakeRun, workspace: Workspace) -> None:
    make_run(Progress("loading the base model", 0, 1))
    assert status_line(workspace, "latest") == "demo-0001 loading the base model RUNNING"


def test_a_run_that_has_not_started_and_one_that_is_dead(
    make_run: MakeRun, workspace: Workspace
) -> None:
    run = make_run(STARTED, step(1))
    body = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**body, "start_ticks": 1, "supervisor_pid": 1}))
    assert status_line(workspace, "latest") == "demo-0001 1/200 loss 1.842 DEAD"
    (run / "state.json").unlink()
    assert status_line(workspace, "latest") == "demo-0001 NOT STARTED"


def test_nothing_and_nonsense_are_one_short_line_and_exit_0(
    cli: Cli, make_run: MakeRun, workspace: Workspace
) -> None:
    assert status_line(workspace, "latest") == "no runs"
    run = make_run(STARTED)
    for reference, wanted in (("nope", "There is no run nope."), ("demo", "DAMAGED")):
        (run / "state.json").write_text("{ this is no")
        said = cli("status", "--line", reference)
        assert said.returncode == 0 and said.stderr == ""
        assert wanted in said.stdout and said.stdout.count("\n") == 1


def test_a_line_fits_and_holds_nothing_that_a_terminal_or_tmux_would_obey(
    make_run: MakeRun, workspace: Workspace
) -> None:
    evil = "\x1b]2;owned\x07 #[bg=red] #(touch x)\nand so on " * 9
    make_run(STARTED, step(1), status="failed", text=evil)
    line = status_line(workspace, "latest")
    assert len(line) <= WIDEST and line.isprintable() and line.isascii()
    assert "#" not in line and "\\x1b" in line


def test_only_the_ends_of_a_long_log_are_read(make_run: MakeRun, workspace: Workspace) -> None:
    run = make_run(STARTED)
    many = b"".join(encode(step(n), n, float(n)) for n in range(1, 200))
    with (run / "train.jsonl").open("r+b") as log:
        log.seek(0, os.SEEK_END)
        log.truncate(log.tell() + (64 << 30))  # a hole: it takes no room on the disk
        log.seek(0, os.SEEK_END)
        log.write(b"\n" + many)
    assert status_line(workspace, "latest").startswith("demo-0001 199/200 loss 1.842 1 s left")


def test_a_status_bar_waits_for_no_heavy_module(make_run: MakeRun, workspace: Workspace) -> None:
    make_run(STARTED, step(1))
    told = subprocess.run(
        [sys.executable, "-c", MODULES],
        capture_output=True,
        text=True,
        env={**os.environ, "WORKBENCH_HOME": str(workspace.root)},
        check=True,
    )
    assert told.stdout.startswith("demo-0001 1/200")
    assert [name for name in HEAVY if name in json.loads(told.stderr)] == []
