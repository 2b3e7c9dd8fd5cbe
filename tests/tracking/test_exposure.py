from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.lengths import LengthCounts, Lengths
from workbench.data.versions import Version
from workbench.tracking import exposure
from workbench.workspace import Workspace


def example(task: str, number: int, part: str = "train") -> Example:
    turns = (Message("user", f"{task} {number}?"), Message("assistant", "Yes."))
    return Example(turns, task=task, split=part, source=f"{task}:{number}")


@pytest.fixture
def version(workspace: Workspace) -> Version:
    """30 rows of one task, and of another 5 that are there twice; one is held out."""
    rows = [example("qa", n) for n in range(30)]
    rows += [example("sum", n // 2) for n in range(10)]
    rows += [example("sum", 9, "validation")]
    return versions.create(workspace, "made", rows, sources=[], steps=[])


def config(*settings: str) -> RunConfig:
    return loading.default_config(["data.dataset=made", *settings])


def epochs(version: Version, *settings: str) -> dict[str, float]:
    return {e.task: round(e.epochs, 3) for e in exposure.by_task(version, config(*settings))}


def test_a_task_is_seen_as_often_as_its_rows_are_there_times_the_epochs(version: Version) -> None:
    found = exposure.by_task(version, config("training.epochs=1.5"))
    assert [(e.task, e.rows, e.different_rows, e.epochs) for e in found] == [
        ("qa", 30, 30, 1.5),
        ("sum", 10, 5, 3.0),
    ]


def test_steps_and_fewer_rows_count(version: Version) -> None:
    size = ("training.batch_size=4", "training.accumulation=1")
    assert epochs(version, *size, "training.max_steps=5") == {"qa": 0.5, "sum": 1.0}
    assert epochs(version, "data.train_rows=20") == {"qa": 0.5, "sum": 1.0}
    assert epochs(version, "data.train_rows=999") == {"qa": 1.0, "sum": 2.0}
    fewer = (*size, "data.train_rows=20", "training.max_steps=10")
    assert epochs(version, *fewer) == {"qa": 1.0, "sum": 2.0}


def test_by_tokens_steps_are_counted_by_the_lengths_of_the_rows(version: Version) -> None:
    counts = LengthCounts()
    for _ in range(40):
        counts.add(100, (50, 100))
    settings = ("training.step_tokens=1050", "training.max_steps=8")
    found = exposure.by_task(version, config(*settings), Lengths(counts.counts))
    # A step has 10 rows of 100 tokens.
    assert [(e.task, e.epochs) for e in found] == [("qa", 2.0), ("sum", 4.0)]
    assert exposure.depends_on_lengths(config(*settings))
    unmeasured = exposure.by_task(version, config(*settings))
    assert [e.to_json()["epochs"] for e in unmeasured] == [None, None]
    (told,) = exposure.warnings(unmeasured)
    assert "How often rows are seen isn't known" in told and "data verdict" in told
    # By epochs it needs no lengths.
    assert epochs(version, "training.step_tokens=1050") == {"qa": 1.0, "sum": 2.0}


def test_more_than_four_epochs_are_warned_of(version: Version) -> None:
    assert exposure.warnings(exposure.by_task(version, config("training.epochs=2"))) == []
    (told,) = exposure.warnings(exposure.by_task(version, config("training.epochs=3")))
    assert told.startswith("Each row of sum is seen 6.0 times: past 4 epochs")


def test_nothing_to_train_on_is_seen_by_none(workspace: Workspace) -> None:
    rows = [example("qa", 1, "validation")]
    held_out = versions.create(workspace, "other", rows, sources=[], steps=[])
    assert exposure.by_task(held_out, config()) == []


def test_the_verb_shows_it_before_a_run_starts(
    cli: Cli, version: Version, tiny_model: Path
) -> None:
    settings = ["--set", "data.dataset=made", "--set", f"model.base={tiny_model}"]
    assert cli("config", "new", "c", *settings).returncode == 0
    done = cli("config", "check", "c", "--set", "training.epochs=3")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["qa", "30", "30", "3.00"] in lines and ["sum", "10", "5", "6.00"] in lines
    assert "Each row of sum is seen 6.0 times" in done.stdout
    tokens = ("--set", "training.step_tokens=500", "--set", "training.max_steps=2")
    unknown = cli("config", "check", "c", *tokens).stdout
    assert ["qa", "30", "30", "–"] in [line.split() for line in unknown.splitlines()]
    assert cli("data", "verdict", "made", "--model", tiny_model).returncode == 0
    measured = json.loads(cli("config", "check", "c", *tokens, "--json").stdout)["exposure"]
    assert 0 < measured["tasks"][0]["epochs"] < 2 and measured["warnings"] == []
    found = json.loads(cli("config", "check", "c", "--json").stdout)["exposure"]
    assert found["tasks"][1] == {"task": "sum", "rows": 10, "different_rows": 5, "epochs": 2.0}
