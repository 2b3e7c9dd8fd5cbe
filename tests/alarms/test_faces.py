"""What a person sees of a run's alarms: the verb, status, the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.trained import Trained
from workbench.jobs.state import STATE
from workbench.workspace import Workspace

CURVES = Path(__file__).parent / "curves"


@pytest.fixture
def run(trained_run: Trained, workspace: Workspace) -> Path:
    """A finished run, as an earlier release left it, whose log is that of one that overfitted."""
    shutil.copytree(trained_run.pristine, workspace.root)
    (run,) = workspace.runs.iterdir()
    shutil.copy(CURVES / "overfitting-tiny.jsonl", run / "train.jsonl")
    (run / "host.jsonl").unlink()
    state = json.loads((run / STATE).read_text())
    del state["alarms"]
    (run / STATE).write_text(json.dumps(state))
    return run


def test_an_earlier_releases_run_is_judged_by_its_log(run: Path, cli: Cli) -> None:
    said = cli("alarms")
    assert said.returncode == 0, said.stderr
    assert "1 alarm when it ended" in said.stdout
    for part in ("WARNING overfitting since step 150", "seen ", "why ", "next ", "source "):
        assert part in said.stdout
    told = json.loads(cli("alarms", run.name, "--json").stdout)
    assert (told["by"], told["ended"], told["past"]) == ("log", True, [])
    assert told["standing"][0]["name"] == "overfitting"
    report = cli("runs", "report").stdout
    assert "## Alarms" in report and "warning overfitting from step 150 on, to its end" in report


def test_status_names_what_stands_and_where_to_read_on(run: Path, cli: Cli) -> None:
    alarms = json.loads(cli("alarms", "--json").stdout)["standing"]
    state = json.loads((run / STATE).read_text())
    (alarm,) = alarms
    del alarm["until_time"]
    (run / STATE).write_text(json.dumps({**state, "alarms": [{**alarm, "over": False}]}))
    said = cli("status").stdout
    assert "warning: overfitting. The validation loss is 3.2121 after step 150" in said
    assert f"What to do: workbench alarms {run.name}" in said


def test_a_run_that_is_well_has_none(trained_run: Trained) -> None:
    assert trained_run.cli("alarms").stdout == "small-0001 (finished): no alarms.\n"
    assert trained_run.json("status")["alarms"] == []
