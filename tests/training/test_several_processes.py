"""A whole run in two processes, as `workbench train` starts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.training.harness import configure, events
from workbench.config import loading
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.jobs import launcher
from workbench.jobs.events import Finished, Progress, Started
from workbench.jobs.launch import read_job
from workbench.jobs.log import rank_log, read_all
from workbench.tracking import manifest, runs
from workbench.training.prepare import check_machine
from workbench.workspace import Workspace

MINE = "distributed_type: MULTI_GPU\nmixed_precision: 'no'\n# mine\n"


@pytest.fixture
def rows(workspace: Workspace, write_rows: Callable[..., Path]) -> None:
    some = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(12)]
    import_files(workspace, [write_rows(*some)], "sample", Options(validation_share=0.2))


def test_two_processes_train_what_one_has_made_ready(
    workspace: Workspace, rows: None, base: Path, tmp_path: Path, cli: Cli
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    job = {"processes": 2, "accelerate_config": str(mine)}
    config = configure(base, training={"max_steps": 2}, job=job)
    loading.save(config, tmp_path / "two.yaml")
    result = cli("train", tmp_path / "two.yaml", "--wait")
    assert result.returncode == 0, result.stderr
    assert "has started in 2 processes" in result.stderr
    (folder,) = workspace.runs.glob("[!.]*")
    phases = [progress.phase for progress in events(folder, Progress)]
    assert phases.count("hashing the data and the base model") == 1
    assert phases.index("encoding the data") < phases.index("starting 2 processes")
    second = [record.event for record in read_all(folder / rank_log(1))]
    assert any(isinstance(event, Started) for event in second)
    assert isinstance(second[-1], Finished) and not second[-1].stopped
    (start,) = manifest.read(folder)["starts"]
    assert start["environment"]["processes"] == 2
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    # The run keeps its launcher's settings: it goes on, or is repeated, without the person's.
    mine.unlink()
    kept = runs.load_config(folder).job.accelerate_config
    assert kept == str(folder / launcher.CONFIG) and Path(kept).read_text() == MINE


def test_settings_of_accelerate_that_are_wrong_leave_no_run(
    workspace: Workspace, rows: None, base: Path, tmp_path: Path
) -> None:
    config = configure(base, job={"accelerate_config": str(tmp_path / "nowhere.yaml")})
    with pytest.raises(WorkbenchError, match=r"nowhere\.yaml"):
        runs.create(workspace, config, command=None, say=lambda text: None)
    assert list(workspace.runs.glob("*")) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_one_process_is_started_without_a_launcher(
    processes: int,
    workspace: Workspace,
    rows: None,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configure(base, job={"processes": processes})
    folder = runs.create(workspace, config, command=None, say=lambda text: None)
    monkeypatch.setattr("workbench.jobs.launch._start_supervisor", lambda folder: None)
    runs.start(folder)
    module = "job" if processes == 1 else "prepare"
    assert read_job(folder).argv[1:] == ["-m", f"workbench.training.{module}", str(folder)]


def test_too_few_gpus_and_settings_that_accelerate_does_not_know_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: Any = configure(tmp_path, job={"processes": 4}).job
    check_machine(tmp_path, job)
    (tmp_path / launcher.CONFIG).write_text("distributed_type: MULTI_GPU\nnum_proceses: 4\n")
    with pytest.raises(WorkbenchError, match="num_proceses"):
        check_machine(tmp_path, job)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(WorkbenchError, match=r"job\.processes is 4, and this run sees 2"):
        check_machine(tmp_path, job)
