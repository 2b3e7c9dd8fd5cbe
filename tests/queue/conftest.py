from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests import tiny
from tests.driver import Driver
from tests.polling import eventually
from workbench.config.schema import RunConfig
from workbench.data.importing import import_files
from workbench.jobs import client, processes
from workbench.jobs.state import ENDED, STATE, JobState, describe, start_ticks
from workbench.queue import attendance, changes, entries, overview
from workbench.queue.entries import Entry
from workbench.queue.overview import Line
from workbench.queue.runner import QueueRunner
from workbench.tracking import runs
from workbench.workspace import Workspace

ROOT = Path(__file__).parents[2]
STANDIN = Path(__file__).with_name("standin")


class Node:
    """A workspace on a machine whose training process is the stand-in of this folder."""

    def __init__(self, workspace: Workspace, base: Path) -> None:
        self.workspace = workspace
        self.base = base
        self._runners: list[subprocess.Popen[bytes]] = []

    def config(self, name: str = "small", **job: Any) -> RunConfig:
        return RunConfig.model_validate(
            {
                "name": name,
                "model": {"base": str(self.base)},
                "data": {"dataset": "numbers"},
                "job": job,
            }
        )

    def add(self, *configs: RunConfig) -> list[str]:
        """Queue a run of each config; their ids."""
        added = changes.add(self.workspace, configs, [], command=None, say=lambda text: None)
        return [entry.run for entry in added]

    def create(self) -> str:
        """A new run that is not in the queue; its id."""
        folder = runs.create(self.workspace, self.config(), command=None, say=lambda text: None)
        return folder.name

    def run(
        self, *arguments: str, check: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`workbench ARGUMENTS` in this workspace."""
        return subprocess.run(
            [sys.executable, "-m", "workbench", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "WORKBENCH_HOME": str(self.workspace.root), **environment},
            check=check,
            timeout=240,
        )

    def line(self, run: str) -> Line:
        """A run's line in the list of the queue."""
        return next(line for line in overview.look(self.workspace).lines if line.run == run)

    def runner(self) -> QueueRunner:
        """A runner in this process, to be told when to look; it has said what `said` returns."""

        def say(text: str) -> None:
            with (self.workspace.root / "runner.log").open("a") as log:
                log.write(f"{text}\n")

        return QueueRunner(self.workspace, say)

    def start_runner(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """`workbench queue run` as a process of its own; returns once it is at it."""
        with (self.workspace.root / "runner.log").open("ab") as log:
            runner = subprocess.Popen(
                [sys.executable, "-m", "workbench", "queue", "run", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "WORKBENCH_HOME": str(self.workspace.root), **environment},
                start_new_session=True,
            )
        self._runners.append(runner)
        eventually(lambda: self.runner_pid() == runner.pid or runner.poll() is not None)
        return runner

    def runner_pid(self) -> int | None:
        runner = attendance.current(self.workspace)
        return runner.pid if runner else None

    def said(self) -> str:
        """What the runners of this test have said."""
        return (self.workspace.root / "runner.log").read_text()

    def folder(self, run: str) -> Path:
        return self.workspace.runs / run

    def word(self, run: str) -> str:
        return describe(self.folder(run))[0]

    def wait(self, run: str, word: str) -> None:
        """Wait until the state of a run is `word`."""
        eventually(lambda: self.word(run) == word)

    def wait_for_start(self, run: str, number: int = 1) -> dict[str, Any]:
        """Wait until a run works, started for the `number`th time; what it was given."""
        eventually(lambda: len(self.starts(run)) == number and self.word(run) == "running")
        return self.starts(run)[-1]

    def look_until_started(self, runner: QueueRunner, run: str, number: int) -> None:
        """Have `runner` look until a run is started again: its supervisor takes a moment to go."""

        def started() -> bool:
            runner.look()
            return self.word(run) == "running"

        eventually(started)
        self.wait_for_start(run, number)

    def end(self, run: str) -> None:
        """Let a run end, and wait until it has."""
        self.let_go(run)
        eventually(lambda: self.word(run) in ENDED)

    def starts(self, run: str) -> list[dict[str, Any]]:
        """What each start of a run was given."""
        path = self.folder(run) / "starts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def let_go(self, run: str) -> None:
        """Let a run end, or one that has not started end at once."""
        (self.folder(run) / "go").touch()

    def terminate(self, run: str) -> None:
        """Send the SIGTERM of a node that is wanted for something else."""
        state = self._state(run)
        os.kill(state.supervisor_pid, signal.SIGTERM)

    def stop(self, run: str) -> None:
        """Do as a person who types `workbench stop RUN`."""
        client.command(self.folder(run), "stop")

    def queue_again(self, run: str) -> None:
        """Queue going on with a run."""
        folders = [self.folder(run)]
        changes.add(self.workspace, [], folders, command=None, say=lambda text: None)

    def cut_off(self, run: str, boot: str | None = None) -> None:
        """Kill all processes of a run at once; with `boot`, as if the machine had gone down."""
        state = self._state(run)
        _kill(state.supervisor_pid)
        _kill(state.pid)
        eventually(lambda: start_ticks(state.pid) is start_ticks(state.supervisor_pid) is None)
        if boot is not None:
            replace(state, boot=boot).write(self.folder(run))
            # Long enough ago for nobody to take it for a machine that is only slow.
            os.utime(self.folder(run) / STATE, (0, 0))

    def _state(self, run: str) -> JobState:
        state = JobState.read(self.folder(run))
        assert state is not None
        return state

    def queue(self) -> list[Entry]:
        return entries.read(self.workspace)

    def clean_up(self) -> None:
        pids = {runner.pid for runner in self._runners} | {self.runner_pid()}
        for pid in pids - {None}:
            _kill(pid)
        for runner in self._runners:
            runner.wait()
        for folder in self.workspace.runs.glob("*"):
            state = JobState.read(folder)
            if state is not None and start_ticks(state.supervisor_pid):
                _kill(state.supervisor_pid)
            processes.send(processes.of_job(folder), signal.SIGKILL)


def _kill(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid or 0, signal.SIGKILL)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder that passes for a base model's, as long as nobody loads it."""
    folder = tmp_path / "base"
    tiny.make_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def node(
    workspace: Workspace,
    base: Path,
    write_rows: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Node]:
    """A workspace with a dataset; what a test starts in it is ended with it."""
    monkeypatch.setenv("PYTHONPATH", f"{STANDIN}:{ROOT}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(10))
    import_files(workspace, [write_rows(*rows)], "numbers")
    made = Node(workspace, base)
    yield made
    made.clean_up()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class Gpus:
    """The GPUs that the stand-in for the driver shows, to this process and to new ones."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def show(self, *gpus: str) -> None:
        """A line a GPU: `UUID TOTAL_MIB USED_MIB [PID:MIB]…`."""
        shown = []
        for gpu in gpus:
            uuid, total, used, *processes = gpu.split()
            held = (process.split(":") for process in processes)
            compute = " ".join(f"{pid}:{int(memory) << 20}" for pid, memory in held)
            figures = {"memory_total": int(total) << 20, "memory_used": int(used) << 20}
            shown.append({"uuid": uuid, **figures, "compute": compute})
        self._driver.gpus(*shown)


@pytest.fixture
def gpus(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """At first its driver doesn't answer."""
    driver.set({"error.nvmlInitWithFlags": pynvml.NVML_ERROR_DRIVER_NOT_LOADED})
    driver.load_here(monkeypatch)
    return Gpus(driver)
