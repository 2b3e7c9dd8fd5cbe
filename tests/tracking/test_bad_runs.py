"""Runs whose files are not what they should be: each is shown for what it is, everywhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.copies import RUN, copy_of
from tests.trained import Trained
from workbench import cli
from workbench.jobs.state import GOING_ON, JobState, start_ticks
from workbench.tracking import finding, manifest, runs, verifying
from workbench.tracking.finding import MANIFEST
from workbench.tracking.listing import Listing
from workbench.workspace import Workspace

HALF, NEWER, OTHER = "half-0002", "newer-0003", "small-0004"


@pytest.fixture
def copy(trained_run: Trained, tmp_path: Path) -> tuple[Workspace, Path, Path]:
    return copy_of(trained_run, tmp_path)


@pytest.fixture
def said(
    copy: tuple[Workspace, Path, Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a verb prints on both streams; never a traceback, nor anything beyond exit code 2."""

    def say(*arguments: str) -> str:
        code = cli.main([*arguments, "--workspace", str(copy[0].root)])
        out, err = capsys.readouterr()
        assert code in (0, 1, 2) and "Traceback" not in out + err
        assert "unexpected" not in err, err
        return out + err

    return say


def cut(run: Path) -> None:
    """Take the run's last words away, and what its supervisor wrote lately."""
    log = run / "train.jsonl"
    log.write_bytes(log.read_bytes()[:-400])
    log = run / "host.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(f"{json.dumps({**line, 't': line['t'] - 60})}\n" for line in lines))


def line_of(copy: tuple[Workspace, Path, Path], run: str) -> runs.RunSummary:
    (found,) = (line for line in runs.list_runs(copy[0]) if line.id == run)
    return found


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_sound_run_has_no_problem(copy: tuple[Workspace, Path, Path]) -> None:
    assert line_of(copy, RUN).problems == []


def test_a_half_written_run_is_listed_and_named(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    workspace, run, _ = copy
    half = workspace.runs / HALF
    half.mkdir()
    shutil.copy(run / "train.jsonl", half)
    line = line_of(copy, HALF)
    assert line.status == "damaged" and "half-written: it has no manifest.json" in line.text
    assert f"! {HALF}: Its files can't be read: {HALF} is half-written" in said("runs", "list")
    for verb in ("show", "verify", "repeat", "report"):
        assert "is half-written" in " ".join(said("runs", verb, HALF).split())
    assert "is half-written" in said("train", "--resume", HALF)
    # Nothing of the others is lost over it.
    assert runs.find(workspace) == run
    assert said("status") and said("queue", "list") and said("jobs")


@pytest.mark.parametrize("content", ["", '{"v": 1, "run": "sm', "[1]", '{"v": 1}', "\0\0\0"])
def test_a_torn_manifest_is_told(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str], content: str
) -> None:
    (copy[1] / MANIFEST).write_text(content)
    line = line_of(copy, RUN)
    assert line.status == "damaged" and MANIFEST in line.text
    assert f"! {RUN}: Its files can't be read" in said("runs", "list")
    assert MANIFEST in said("runs", "show") and MANIFEST in said("runs", "verify")


@pytest.mark.parametrize(
    ("content", "glance"),
    [
        ("", "is cut short"),
        ("model:\n  base: x\n  dty", "is cut short"),
        (None, "has no config.yaml"),
        ("model: [\n", ""),
    ],
)
def test_a_torn_config_is_told_and_the_manifest_has_it_still(
    copy: tuple[Workspace, Path, Path],
    said: Callable[..., str],
    content: str | None,
    glance: str,
) -> None:
    path = copy[1] / runs.CONFIG
    path.unlink()
    if content is not None:
        path.write_text(content)
    line = line_of(copy, RUN)
    assert line.status == "finished"
    # What a glance can't see, who looks at the run is told.
    assert [glance in problem for problem in line.problems] == [True] * bool(glance)
    shown = said("runs", "show")
    assert "! " in shown and runs.CONFIG in shown and "training.learning_rate: 0.005" in shown
    (told,) = verifying.of_config(copy[1], manifest.read(copy[1]))
    assert told.state == ("missing" if content is None else "changed")


def test_a_torn_log_is_told(copy: tuple[Workspace, Path, Path], said: Callable[..., str]) -> None:
    log = copy[1] / "train.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-7])
    assert line_of(copy, RUN).problems == ["Its train.jsonl is torn: the last line is cut short."]
    assert "train.jsonl is torn" in said("runs", "list")
    log.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    (problem,) = line_of(copy, RUN).problems
    assert problem == "Its train.jsonl is torn: it ends before the run's last word."
    log.write_bytes(b"\x00\xff" * 500)
    (problem,) = line_of(copy, RUN).problems
    assert problem == "Its train.jsonl holds nothing that can be read."
    log.unlink()
    assert line_of(copy, RUN).problems == ["Its train.jsonl is gone."]
    assert "! Its train.jsonl is gone." in said("runs", "show")


def test_a_run_of_a_newer_release_is_named_so(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    workspace, run, _ = copy
    newer = Path(shutil.copytree(run, workspace.runs / NEWER))
    edit(newer / MANIFEST, v=2, run=NEWER, dataset=["of another shape"])
    line = line_of(copy, NEWER)
    assert line.status == "newer" and "its version is 2, and this release knows 1" in line.text
    for arguments in (("runs", "list"), ("runs", "show", NEWER), ("runs", "verify", NEWER)):
        assert "is of a newer release" in " ".join(said(*arguments).split())
    # Its state, too, and its log.
    edit(run / "state.json", v=2)
    assert (
        runs.listed(run).status == "newer" and "state.json is of a newer" in runs.listed(run).text
    )
    edit(run / "state.json", v=1)
    log = run / "train.jsonl"
    log.write_text(log.read_text().replace('{"v":1,', '{"v":2,'))
    assert line_of(copy, RUN).problems == ["Its train.jsonl is of a newer release: version 2."]


def test_a_base_that_was_deleted_is_told(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    base = copy[2]
    listing = Listing(copy[0])
    assert listing.look()[0].problems == []
    shutil.rmtree(base)
    # Also by who looks again, and for whom nothing about the run itself has changed.
    (line,) = listing.look()
    assert line.problems == [f"Its base model is not on this machine: {base}."]
    assert f"! {RUN}: Its base model is not on this machine" in said("runs", "list")
    assert "! Its base model is not on this machine" in said("runs", "show")
    assert "is missing" in said("runs", "repeat")


def test_an_adapter_of_another_base_is_told(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    config = copy[1] / "adapter" / "adapter_config.json"
    edit(config, base_model_name_or_path="/models/another-7b")
    (problem,) = line_of(copy, RUN).problems
    assert problem.startswith("Its adapter is of another base: /models/another-7b, and the run")
    assert "another-7b" in said("runs", "show")
    config.write_text("{")
    assert line_of(copy, RUN).problems == ["Its adapter/adapter_config.json can't be read."]


def test_two_runs_of_one_id_are_told_apart(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    workspace, run, _ = copy
    shutil.copytree(run, workspace.runs / OTHER)
    assert line_of(copy, RUN).problems == []
    assert line_of(copy, OTHER).problems == [f"It is a copy of {RUN}: the manifest is that run's."]
    assert f"! {OTHER}: It is a copy of {RUN}" in said("runs", "list")
    assert f"It is a copy of {RUN}" in said("runs", "show", OTHER)
    shutil.rmtree(run)
    (problem,) = line_of(copy, OTHER).problems
    assert problem == f"Its folder was copied or renamed: the run is {RUN}."


def test_a_copy_of_a_run_that_goes_on_does_not(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    """Its state names processes that live: the other run's."""
    workspace, run, _ = copy
    pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
    state = JobState.begun(run, pid, runs.LOG, run / "socket")
    replace(state, supervisor_pid=pid, supervisor_start_ticks=ticks).write(run)
    cut(run)
    shutil.copytree(run, workspace.runs / OTHER)
    assert line_of(copy, RUN).status == "running"
    line = line_of(copy, OTHER)
    assert line.status == "dead" and "This folder is a copy" in line.text
    assert finding.running(workspace) == [RUN]
    assert "takes no commands" in said("stop", OTHER)


def test_a_run_from_another_node_does_not_run_here(
    copy: tuple[Workspace, Path, Path], said: Callable[..., str]
) -> None:
    """Copied while it went on there: its pids mean nothing here, whoever has them."""
    workspace, run, _ = copy
    pid = os.getpid()
    state = replace(JobState.begun(run, pid, runs.LOG, run / "socket"), host="node-7", boot="b")
    state.write(run)
    cut(run)
    there = Path(shutil.move(run, workspace.root / "elsewhere"))
    copied = Path(shutil.copytree(there, run))
    line = line_of(copy, RUN)
    assert line.status == "dead" and line.status not in GOING_ON
    assert "This folder is a copy" in line.text and "node-7" in line.text
    assert "dead" in said("runs", "list") and "node-7" in said("runs", "show")
    # One that ended there did end.
    replace(state, status="stopped", ended=1.0, text="Stopped by a person.").write(copied)
    assert line_of(copy, RUN).status == "stopped"
