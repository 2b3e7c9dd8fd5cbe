from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.history.logs import lines, make, sampled, started, step
from workbench.jobs.events import Evaluated, Event
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace


@pytest.fixture
def run(workspace: Workspace) -> Path:
    folder = workspace.runs / "demo-0001"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    losses: list[Event] = [step(n, 3 - n / 100) for n in range(1, 101)]
    losses[49] = step(50, 9.5)
    events = [started(), Evaluated(0, 3.5, 2, 20), *losses, Evaluated(100, 2.25, 2, 20)]
    make(folder, lines(events), lines([sampled(n) for n in range(1, 101)]))
    return folder


def test_figures_are_told_in_a_table(cli: Cli, run: Path) -> None:
    told = cli("curves").stdout
    row = next(line.split() for line in told.splitlines() if line.startswith("loss"))
    assert row == ["loss", "2.99", "2", "2", "100", "9.5", "50"]
    assert "gpu0.power" in told and "validation.loss" in told
    assert "evaluation at step 100 2.2500" in told


def test_a_stretch_is_told_in_few_buckets(cli: Cli, run: Path) -> None:
    asked = ("--x", "tokens", "--from", "4000", "--to", "6000", "--points", "4")
    told = json.loads(cli("curves", "demo", *asked, "--figure", "loss", "--json").stdout)
    (found,) = told["runs"]
    line = found["figures"]["loss"]
    assert line["x"][0] == 4000 and len(line["x"]) <= 4 and max(line["high"]) == 9.5
    assert list(found["figures"]) == ["loss"] and found["marks"] == []


def test_values_come_comma_separated(cli: Cli, run: Path) -> None:
    told = cli("curves", "--csv", "--x", "epoch", "--figure", "validation.loss").stdout
    rows = list(csv.reader(io.StringIO(told)))
    assert rows[0] == ["run", "figure", "epoch", "low", "high", "mean"]
    assert [row[-1] for row in rows[1:]] == ["3.5", "2.25"]


def test_a_figure_that_there_is_not_is_named(cli: Cli, run: Path) -> None:
    failed = cli("curves", "--figure", "los", "--json")
    assert failed.returncode == 2
    told = json.loads(failed.stdout)
    assert "no figure los" in told["error"] and "loss" in told["hint"]
