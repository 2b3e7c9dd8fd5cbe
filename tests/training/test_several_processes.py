"""A whole run in two processes, as `workbench train` starts it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.conftest import Cli
from tests.jobs.test_supervisor import state_of
from tests.polling import eventually
from tests.training.harness import ask_deepspeed, configure, curve, events, needs_deepspeed
from workbench.config import loading, processes
from workbench.data.importing import Options, import_files
from workbench.errors import WorkbenchError
from workbench.jobs import launcher
from workbench.jobs.client import command
from workbench.jobs.events import CheckpointSaved, Finished, Notice, Paused, Progress, Started
from workbench.jobs.launch import read_job
from workbench.jobs.log import rank_log, read_all
from workbench.jobs.processes import environment, of_job
from workbench.tracking import runs
from workbench.training.prepare import check_machine
from workbench.workspace import Workspace

MINE = "distributed_type: MULTI_GPU\nmixed_precision: 'no'\n# mine\n"


@pytest.fixture
def rows(workspace: Workspace, write_rows: Callable[..., Path]) -> None:
    some = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(12)]
    import_files(workspace, [write_rows(*some)], "sample", Options(validation_share=0.2))


@pytest.mark.parametrize("spread", ["fsdp", pytest.param("deepspeed", marks=needs_deepspeed)])
def test_two_processes_train_and_go_on_after_one_of_them_was_killed(
    spread: str, workspace: Workspace, rows: None, base: Path, tmp_path: Path, cli: Cli
) -> None:
    """Spread over both; the second rank is killed while the run is paused, with a checkpoint."""
    job: dict[str, Any] = {"processes": 2, "sharding": "fsdp"}
    if spread == "deepspeed":
        job = {"processes": 2, "accelerate_config": str(ask_deepspeed(tmp_path, 3))}
    loading.save(configure(base, training={"max_steps": 30}, job=job), tmp_path / "two.yaml")
    result = cli("train", tmp_path / "two.yaml")
    assert result.returncode == 0 and "has started in 2 processes" in result.stderr
    (folder,) = workspace.runs.glob("[!.]*")
    eventually(lambda: events(folder, Started), 300)
    command(folder, "pause")
    (paused,) = eventually(lambda: events(folder, Paused))
    command(folder, "save_now")
    eventually(lambda: events(folder, CheckpointSaved))
    (second,) = (pid for pid in of_job(folder) if environment(pid).get(launcher.RANK) == "1")
    os.kill(second, signal.SIGKILL)
    eventually(lambda: state_of(folder).ended, 60)
    state = state_of(folder)
    assert (state.status, state.cause) == ("failed", "lost_rank")
    assert state.text == f"Rank 1 (process {second}) was killed by signal 9 (SIGKILL)."
    # They were killed before the end was told, and may be a moment in going.
    eventually(lambda: of_job(folder) == [])

    result = cli("train", "--resume", folder.name, "--wait")
    assert result.returncode == 0, result.stderr
    first, again = events(folder, Started)
    assert (first.resumed_from, again.resumed_from) == (0, paused.step)
    assert [step for step, *_ in curve(folder)] == list(range(1, 31))
    records = list(read_all(folder / runs.LOG))
    assert [record.seq for record in records] == list(range(len(records)))
    assert isinstance(records[-1].event, Finished)
    others = [record.event for record in read_all(folder / rank_log(1))]
    assert isinstance(others[-1], Finished) and not others[-1].stopped
    # One process makes ready, once a start.
    phases = [progress.phase for progress in events(folder, Progress)]
    assert phases.count("hashing the data and the base model") == 2
    assert phases.index("encoding the data") < phases.index("starting 2 processes")
    assert any("evaluation.samples" in notice.text for notice in events(folder, Notice))
    shown = [line.split() for line in cli("runs", "show").stdout.splitlines()]
    assert shown.count(["processes:", "2"]) == 2
    assert not [*folder.rglob("*.pt"), *folder.rglob("*.bin")]
    # With nothing of ours.
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted: Any = PeftModel.from_pretrained(plain, folder / "adapter")
    ids = torch.arange(40).unsqueeze(0)
    with torch.no_grad(), adapted.disable_adapter():
        untrained = adapted(input_ids=ids).logits
    with torch.no_grad():
        assert not torch.allclose(adapted(input_ids=ids).logits, untrained, atol=0.1)


def test_a_run_keeps_its_launchers_settings(
    workspace: Workspace, rows: None, base: Path, tmp_path: Path
) -> None:
    """It goes on, or is repeated, without the person's."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    config = configure(base, job={"processes": 2, "accelerate_config": str(mine)})
    folder = runs.create(workspace, config, command=None, say=lambda text: None)
    mine.unlink()
    kept = runs.load_config(folder).job.accelerate_config
    assert kept == str(folder / launcher.CONFIG) and Path(kept).read_text() == MINE


@needs_deepspeed
def test_a_run_keeps_its_settings_of_deepspeed(
    workspace: Workspace, rows: None, base: Path, tmp_path: Path
) -> None:
    """The file that accelerate's names, too; a copied run has its own beside it."""
    mine = ask_deepspeed(tmp_path, 2, overlap_comm=False)
    config = configure(base, job={"processes": 2, "accelerate_config": str(mine)})
    folder = runs.create(workspace, config, command=None, say=lambda text: None)
    asked = processes.of_deepspeed(config)
    for path in (mine, tmp_path / "ds.json"):
        path.unlink()
    moved = folder.rename(tmp_path / "moved")
    job = {"processes": 2, "accelerate_config": str(moved / launcher.CONFIG)}
    kept = processes.of_deepspeed(configure(base, job=job))
    assert kept == asked and kept is not None
    assert kept["zero_optimization"]["overlap_comm"] is False


def test_settings_of_accelerate_that_are_wrong_leave_no_run(
    workspace: Workspace, rows: None, base: Path, tmp_path: Path
) -> None:
    config = configure(base, job={"accelerate_config": str(tmp_path / "nowhere.yaml")})
    with pytest.raises(WorkbenchError, match=r"nowhere\.yaml"):
        runs.create(workspace, config, command=None, say=lambda text: None)
    assert list(workspace.runs.glob("*")) == []


@pytest.mark.parametrize("count", [1, 2])
def test_one_process_is_started_without_a_launcher(
    count: int,
    workspace: Workspace,
    rows: None,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configure(base, job={"processes": count})
    folder = runs.create(workspace, config, command=None, say=lambda text: None)
    monkeypatch.setattr("workbench.jobs.launch._start_supervisor", lambda folder: None)
    runs.start(folder)
    module = "job" if count == 1 else "prepare"
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
