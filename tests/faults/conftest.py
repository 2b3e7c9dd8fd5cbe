from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import terminals  # noqa: F401  a fixture
from tests.faults import matrix
from tests.faults.forked import ROOT, Forked
from tests.faults.invariants import Course, course
from tests.jobs.conftest import start_job  # noqa: F401  a fixture
from tests.training.harness import configure
from workbench.config import loading
from workbench.data.importing import Options, import_files
from workbench.files import write_json
from workbench.jobs import launch, processes
from workbench.jobs.state import JobState, start_ticks
from workbench.tracking import runs
from workbench.workspace import Workspace

Fresh = Callable[..., Path]
Mounted = Callable[..., Path]
TABLE = ROOT / "build" / "faults.md"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not matrix.CASES:
        return
    if matrix.FULL:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(f"{matrix.table()}\n")
    if hasattr(session.config, "workeroutput"):
        # One of several processes: the one with the terminal shows it.
        session.config.workeroutput[matrix.TITLE] = matrix.table()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, whatever came of the tests."""
    if not matrix.CASES:
        return
    terminalreporter.section(matrix.TITLE)
    terminalreporter.write_line(matrix.table())
    if matrix.FULL:
        terminalreporter.write_line(f"also in {TABLE}")


@pytest.fixture(scope="session")
def template(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that isn't started: dropout, accumulation, an evaluation every 3
    steps and a checkpoint every 2."""
    place = tmp_path_factory.mktemp("template")
    rows = place / "rows.jsonl"
    rows.write_text(
        "".join(
            f'{{"prompt": "Say {"very " * (n % 5)}{n}", "completion": "it is {n}"}}\n'
            for n in range(24)
        )
    )
    workspace = Workspace(place / "ws")
    import_files(workspace, [rows], "sample", Options(validation_share=0.2))
    config = configure(
        _tiny_model,
        lora={"dropout": 0.2},
        training={"batch_size": 2, "accumulation": 2, "max_steps": 12, "learning_rate": 1e-3},
        checkpoints={"every": 2, "keep": 2},
        evaluation={"every": 3},
    )
    loading.save(config, workspace.configs / "small.yaml")
    run = runs.create(workspace, config, command="test", say=lambda text: None)
    # As a start writes it: who forks a training process has no supervisor.
    write_json(run / launch.JOB, launch.JobPlan([], runs.LOG).to_json())
    return workspace.root


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Iterator[Fresh]:
    """Makes a copy of the run in a workspace of its own; what runs in it is ended with it."""
    made: list[Path] = []

    def copy(place: Path | None = None, **job: object) -> Path:
        root = (place or tmp_path) / f"ws-{len(made)}"
        shutil.copytree(template, root)
        (run,) = (root / "runs").iterdir()
        if job:
            config = runs.load_config(run)
            body = {**config.model_dump(), "job": {**config.job.model_dump(), **job}}
            loading.save(type(config).model_validate(body), run / runs.CONFIG)
        made.append(run)
        return run

    yield copy
    for run in made:
        end(run)


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    with Forked() as parent:
        yield parent


@pytest.fixture(scope="session")
def reference(template: Path, forked: Forked, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The run as nothing disturbed it."""
    root = Path(shutil.copytree(template, tmp_path_factory.mktemp("reference") / "ws"))
    (run,) = (root / "runs").iterdir()
    forked.start(run)
    assert forked.end() == 0, (run / "stderr.log").read_text()
    found = course(run)
    assert sorted(found.steps) == list(range(1, 13)) and len(found.validation) == 5
    return found


def end(folder: Path) -> None:
    """Kill whatever runs of a job, its supervisor first."""
    with contextlib.suppress(Exception):
        state = JobState.read(folder)
        if state is not None and start_ticks(state.supervisor_pid) == state.supervisor_start_ticks:
            os.kill(state.supervisor_pid, signal.SIGKILL)
    processes.send(processes.of_job(folder), signal.SIGKILL)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """Mounts small file systems, and takes them away again."""
    places: list[Path] = []

    def mount(size: str = "2m", options: str = "", image: bool = False) -> Path:
        place = tmp_path / f"mount-{len(places)}"
        place.mkdir()
        if image:
            file = tmp_path / f"image-{len(places)}"
            subprocess.run(["truncate", "-s", size, file], check=True)
            subprocess.run(["mkfs.ext4", "-q", "-F", file], check=True)
            command = ["mount", "-o", "loop,errors=remount-ro", file, place]
        else:
            wanted = ",".join(part for part in (f"size={size}", options) if part)
            command = ["mount", "-t", "tmpfs", "-o", wanted, "tmpfs", place]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("a file system can't be mounted here")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", place], capture_output=True)
