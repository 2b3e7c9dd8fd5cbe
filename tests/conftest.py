from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny, trained
from tests.driver import Driver, compiled
from tests.faults import matrix
from workbench.workspace import Workspace

# Before anything imports torch: in models as small as the tests' a second thread only waits
# for the first, on a busy machine ten times as long as the work takes.
os.environ["OMP_NUM_THREADS"] = "1"
# Where this is set each of the many processes compiles anew what it imports of ours.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

Cli = Callable[..., subprocess.CompletedProcess[str]]

KILLS = "kills"
"""Tests that have the kernel kill for memory, and those that ask why a job was killed: where its
log can't be read, the answer is for the whole machine."""
TRAINED = "trained"
"""Tests of the one run that is made for all of them."""
TOGETHER = {
    "e2e": "e2e",  # one workspace is made for all of them
    "faults": KILLS,
    "hardware": KILLS,
    "jobs": KILLS,
    "queue": KILLS,
    "test_several_processes.py": KILLS,
    "chat": TRAINED,
    "evaluation": TRAINED,
    "harness": TRAINED,
    "export": TRAINED,
    "reporting": TRAINED,
    "tracking": TRAINED,
    "screens": TRAINED,
    "test_read_only.py": TRAINED,
    "test_tables.py": TRAINED,
}
"""What tests have in common, by their file or else their folder."""
FIRST = ("e2e", KILLS, TRAINED, "tests/training/test_two_loops.py")
"""What takes longest comes first: else one process would be at it when the others are done."""
FAULTS = pytest.StashKey[str]()
"""The table of the fault matrix."""


def _group(test: str) -> str:
    """What a test, by its id, has in common with others: at least its file."""
    file = Path(test.partition("::")[0])
    return next((TOGETHER[n] for n in (file.name, file.parent.name) if n in TOGETHER), str(file))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected is there to stay: Python's collector needn't go through all
    of torch, again and again, while tests are run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return  # one process runs them all
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(_group(item.nodeid), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--numprocesses`, one process runs all tests of a group.

    Not by `--dist loadgroup`: xdist 3.8 writes the group into a test's id, which pytest 9.2 keeps
    elsewhere, and each test then goes its own way without a word of it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Keep the table of the process that has played the faults: it has no terminal."""
    if matrix.TITLE in getattr(node, "workeroutput", {}):
        node.config.stash[FAULTS] = node.workeroutput[matrix.TITLE]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if FAULTS in config.stash:
        terminalreporter.section(matrix.TITLE)
        terminalreporter.write_line(config.stash[FAULTS])


@pytest.fixture(autouse=True, scope="session")
def private_machine() -> Iterator[None]:
    """Sockets in a folder of this test run, no hub, and none of the person's own settings."""
    # A supervisor that is still there makes its socket anew while the folder is removed.
    with tempfile.TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as runtime:
        kept = dict(os.environ)
        os.environ["XDG_RUNTIME_DIR"] = runtime
        os.environ["XDG_CONFIG_HOME"] = f"{runtime}/config"
        os.environ["HF_HUB_OFFLINE"] = "1"
        for name in ("WORKBENCH_HOME", "TMUX", "SSH_CONNECTION", "NO_COLOR"):
            os.environ.pop(name, None)
        # xdist exports them.
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        yield
        os.environ.clear()
        os.environ.update(kept)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture(scope="session")
def _driver_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(_driver_library: Path, tmp_path: Path) -> Driver:
    """What NVIDIA's driver says in processes that get its `env`: at first that there is no GPU."""
    return Driver(_driver_library, tmp_path)


@pytest.fixture(scope="session")
def _tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_model(_tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own, which it may spoil."""
    return Path(shutil.copytree(_tiny_model, tmp_path / "tiny-model"))


@pytest.fixture(scope="session")
def trained_run(
    _tiny_model: Path, private_machine: None, tmp_path_factory: pytest.TempPathFactory
) -> trained.Trained:
    """A finished and evaluated run, made once; to be read only."""
    return trained.make(tmp_path_factory.mktemp("trained"), _tiny_model)


@pytest.fixture
def trained_copy(trained_run: trained.Trained, tmp_path: Path) -> trained.Trained:
    """A copy of it, which a test may change."""
    root = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))
    run = root / "runs" / trained_run.run.name
    evaluation = run / "evaluations" / trained_run.evaluation.name
    return replace(trained_run, workspace=Workspace(root), run=run, evaluation=evaluation)


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows to a JSONL file: dicts as JSON, strings as they are."""

    def write(*rows: dict[str, Any] | str, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def cli(workspace: Workspace, tmp_path: Path) -> Cli:
    """Runs `workbench ARGUMENTS` as a process of its own, in the test's workspace."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workbench", *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env={**os.environ, "WORKBENCH_HOME": str(workspace.root), **environment},
            timeout=240,
        )

    return run
