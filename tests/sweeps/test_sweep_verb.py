"""Sweeps as a person makes them, by the command line and with runs of the tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.sweeps.conftest import Sweeps
from workbench.jobs.state import ENDED, describe
from workbench.queue import attendance, entries
from workbench.workspace import Workspace

GRID = """
fields:
  training.learning_rate: [1e-3, 1e-1]
  lora.rank: [2, 4]
  lora.alpha: {times: 2, of: lora.rank}
budget: 4
"""


@pytest.fixture
def grid(sweeps: Sweeps, tmp_path: Path) -> Path:
    return sweeps.write(tmp_path / "small.yaml", GRID)


def test_three_runs_go_through_the_queue_and_are_compared(
    sweeps: Sweeps, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "fields: {training.learning_rate: [1e-4, 1e-2, 2e-2]}\nbudget: 3"
    made = sweeps.json("sweep", "start", sweeps.write(tmp_path / "small.yaml", text))
    assert made["runs"] == ["small-0001", "small-0002", "small-0003"]
    assert made["sweep"] == "small-sweep-0001"
    folders = [workspace.runs / run for run in made["runs"]]
    eventually(lambda: all(describe(folder)[0] in ENDED for folder in folders), 480)
    eventually(lambda: attendance.current(workspace) is None)
    found = sweeps.json("sweep", "show")
    assert [line["status"] for line in found["lines"]] == ["finished"] * 3
    losses = [line["figures"]["validation_loss"] for line in found["lines"]]
    assert losses == sorted(losses)
    assert [line["place"] for line in found["lines"]] == [1, 2, 3]
    # Four steps at 1e-4 teach next to nothing.
    assert found["lines"][2]["values"] == {"training.learning_rate": 1e-4}
    assert found["remarks"] == []
    first = {line["figures"]["validation_loss_first"] for line in found["lines"]}
    assert len(first) == 1
    assert all(line["figures"]["peak_memory"] > 0 for line in found["lines"])
    by_run = json.loads((folders[0] / "sweep.json").read_text())
    assert (by_run["sweep"], by_run["number"]) == ("small-sweep-0001", 1)
    assert "sweep" not in (folders[0] / "config.yaml").read_text()
    shown = sweeps.run("sweep", "show", "small", "--metric", "train_loss")
    assert f"The best is {found['best'][0]}" in shown
    assert "train_loss" in shown and "lower is better" in shown
    monkeypatch.setenv("COLUMNS", "60")
    narrow = sweeps.run("sweep", "show")
    monkeypatch.delenv("COLUMNS")
    assert "No room here for" in narrow
    table = narrow.splitlines()[1:5]
    assert "val best" in table[0] and max(map(len, table)) <= 60
    none = sweeps.run("sweep", "show", "--metric", "rouge_l")
    assert "None has a rouge_l yet." in none and "workbench eval RUN" in none
    assert "small-sweep-0001  grid    3/3   3 finished" in sweeps.run("sweep", "list")
    assert "all of its runs were made" in sweeps.run("sweep", "resume", code=2)


def test_a_plan_shows_the_runs_and_makes_none(
    sweeps: Sweeps, workspace: Workspace, grid: Path
) -> None:
    shown = sweeps.run("sweep", "plan", grid)
    lines = [line.split() for line in shown.splitlines()]
    assert ["4", "0.1", "4", "8"] in [line[:4] for line in lines]
    assert "lora.alpha: 2 x lora.rank" in shown
    assert "4 runs of 4 that the budget allows." in shown
    planned = sweeps.json("sweep", "plan", grid)
    assert planned["count"] == len(planned["runs"]) == 4
    assert all(run["memory"] > 0 for run in planned["runs"])
    assert not list(workspace.runs.glob("*")) and not workspace.sweeps.exists()
    assert "Its sweep makes 4 runs" in sweeps.run("config", "check", grid)


def test_each_run_of_a_plan_is_advised_on(sweeps: Sweeps, tmp_path: Path) -> None:
    text = "fields: {training.learning_rate: [1e-4, 0.03]}\nbudget: 2"
    path = sweeps.write(tmp_path / "small.yaml", text)
    low, high = sweeps.json("sweep", "plan", path)["runs"]
    rule = "learning-rate-too-high"
    assert rule not in {found["name"] for found in low["advice"]}
    assert ("error", rule) in {(found["severity"], found["name"]) for found in high["advice"]}
    shown = sweeps.run("sweep", "plan", path)
    assert f"error on run 2: {rule} (training.learning_rate)." in " ".join(shown.split())
    assert "over 1 field\n" in shown


def test_a_plan_with_several_bases_and_one_rate_says_so(
    sweeps: Sweeps, tmp_path: Path, _tiny_model: Path
) -> None:
    other = shutil.copytree(_tiny_model, tmp_path / "other")
    text = f"fields: {{model.base: [{_tiny_model}, {other}]}}\nbudget: 4"
    path = sweeps.write(tmp_path / "small.yaml", text)
    assert "All 2 bases get the learning rate 0.0002" in sweeps.run("sweep", "plan", path)
    rates = "sweep.fields.training.learning_rate=[1e-4, 2e-4]"
    assert "bases get" not in sweeps.run("sweep", "plan", path, "--set", rates)
    # A loss of one tokenizer is not compared with that of another in silence.
    sweeps.run("sweep", "start", path, "--no-start")
    assert "The runs differ in model.base:" in sweeps.run("sweep", "show")


def test_stopping_takes_what_waits_out_of_the_queue(
    sweeps: Sweeps, workspace: Workspace, grid: Path
) -> None:
    said = sweeps.run("sweep", "start", grid, "--no-start")
    assert "4 runs (small-0001 to small-0004) in the queue." in said
    assert len(entries.read(workspace)) == 4
    assert "waiting" in sweeps.run("sweep", "show")
    sweeps.run("queue", "remove", "small-0002")
    stopped = sweeps.json("sweep", "stop")
    assert stopped["removed"] == ["small-0001", "small-0003", "small-0004"]
    assert entries.read(workspace) == []
    assert "Nothing of small-sweep-0001 waits or runs." in sweeps.run("sweep", "stop")
    assert "4 of 4 runs have not started and are not in the queue" in sweeps.run("sweep", "show")


def test_a_sweep_that_cant_be_made_leaves_nothing(
    sweeps: Sweeps, workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "small.yaml"

    def refused(sweep: str) -> str:
        said = sweeps.run("sweep", "start", sweeps.write(path, sweep), code=2)
        assert not list(workspace.runs.glob("*")) and not list(workspace.sweeps.glob("*"))
        assert entries.read(workspace) == []
        return said

    missing = refused("fields: {data.dataset: [numbers, nothing], model.base: [/no]}\nbudget: 2")
    assert "There is no dataset nothing" in missing or "/no" in missing
    both = refused("fields: {data.dataset: [numbers, one, two]}\nbudget: 3")
    assert "no dataset one" in both and "no dataset two" in both
    assert "(with data.dataset=two)" in both
    assert "line 7, sweep.fields.lora.rnk" in refused("fields: {lora.rnk: [1]}\nbudget: 2")
    assert "4 combinations" in refused(GRID.replace("budget: 4", "budget: 3"))
    for words in (("train", path), ("queue", "add", path), ("lr-find", path)):
        assert "it holds a sweep" in sweeps.run(*words, code=2)
    path.write_text("name: small\n")
    assert "holds no sweep" in sweeps.run("sweep", "plan", path, code=2)
    assert "There are no sweeps" in sweeps.run("sweep", "show", code=2)
    assert "There are no sweeps yet." in sweeps.run("sweep", "list")


def test_a_spoilt_file_is_told_so_and_spoils_no_list(
    sweeps: Sweeps, workspace: Workspace, grid: Path
) -> None:
    sweeps.run("sweep", "start", grid, "--no-start")
    (workspace.sweeps / "other-sweep-0002.json").write_text('{"v": 1}')
    assert "is not what a sweep is written as" in sweeps.run("sweep", "show", code=2)
    listed = sweeps.run("sweep", "list")
    assert "damaged" in listed and "4 waiting" in listed
    (workspace.runs / "small-0002" / "sweep.json").write_text("{")
    assert "1 of 4 runs are gone." in sweeps.run("sweep", "show", "small")


def test_optuna_has_one_run_made_after_another(
    sweeps: Sweeps, workspace: Workspace, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    text = """
method: optuna
fields:
  training.learning_rate: {min: 1e-4, max: 1e-1, scale: log}
budget: 2
"""
    path = sweeps.write(tmp_path / "small.yaml", text, steps=2)
    assert "2 at most, 1 at a time" in sweeps.run("sweep", "plan", path)
    made = sweeps.json("sweep", "start", path)
    task = workspace.root / made["job"]
    eventually(lambda: describe(task)[0] in ENDED, 480)
    assert describe(task)[0] == "finished"
    found = sweeps.json("sweep", "show")
    assert sorted(line["run"] for line in found["lines"]) == ["small-0001", "small-0002"]
    assert all(line["figures"]["validation_loss"] for line in found["lines"])
    assert "has made all of its 2 runs" in sweeps.run("sweep", "resume", code=2)


def test_a_range_test_is_drawn_and_drawn_again(sweeps: Sweeps, tmp_path: Path) -> None:
    path = sweeps.write(tmp_path / "small.yaml", GRID)
    path.write_text(path.read_text().partition("sweep:")[0])
    said = sweeps.run("lr-find", path, "--steps", 30, "--from", "1e-5")
    assert "1e-5" in said and "1e0" in said
    assert "30 steps from 1.0e-05" in said or "ended the test" in said
    (tmp_path / "ws" / "tasks" / "tokens-0002").mkdir()
    (tmp_path / "ws" / "tasks" / "tokens-0002" / "job.json").write_text("{}")
    again = sweeps.run("--ascii", "lr-find", "--show", "lr-find-0001")
    assert again.isascii() and "*" in again
    result = sweeps.json("lr-find", "--show", "lr-find-0001")
    assert len(result["rates"]) == len(result["losses"]) <= 30
    assert "is no range test" in sweeps.run("lr-find", "--show", "tokens-0002", code=2)
    assert "--steps is 20 to" in sweeps.run("lr-find", path, "--steps", 3, code=2)
