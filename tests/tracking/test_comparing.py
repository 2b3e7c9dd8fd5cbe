from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import many_runs
from tests.conftest import Cli
from workbench.data.importing import import_files
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.evaluation.pairing import Evaluated, pair
from workbench.statistics.proportions import mcnemar
from workbench.tracking import comparing
from workbench.workspace import Workspace

ROWS = 40


@pytest.fixture
def versions(workspace: Workspace, write_rows: Callable[..., Path]) -> tuple[Version, Version]:
    """Two: the second lacks a row and has two others."""
    first = [{"prompt": f"{n}?", "completion": str(n)} for n in range(10)]
    second = [*first[1:], {"prompt": "x?", "completion": "x"}, {"prompt": "y?", "completion": "y"}]
    return (
        import_files(workspace, [write_rows(*first, name="a.jsonl")], "numbers"),
        import_files(workspace, [write_rows(*second, name="b.jsonl")], "numbers"),
    )


def evaluate(run: Path, right: set[int], dataset: str = "d@1", rows: range = range(ROWS)) -> None:
    """An evaluation in which the run gave the right answer to some rows."""
    place = run / "evaluations" / "01"
    place.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "key": f"validation-{n}",
            "prompt": [{"role": "user", "content": f"What is {n}?"}],
            "reference": f"it is {n}",
            "outputs": {"base": "?", "adapter": f"it is {n}" if n in right else "no idea"},
        }
        for n in rows
    ]
    (place / "outputs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    figure = {"exact_match": {"value": 0.5, "low": 0.4, "high": 0.6, "n": ROWS}}
    body = {"v": 2, "dataset": dataset, "systems": {"base": figure, "adapter": figure}}
    body["settings"] = {"metrics": ["exact_match"]}
    (place / "metrics.json").write_text(json.dumps(body))


def named(found: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {row["name"]: row["values"] for row in found}


def test_only_what_differs_between_any_number_of_runs_is_told(workspace: Workspace) -> None:
    same = {"data__dataset": "d@1", "model__base": "default", "training__learning_rate": 1e-4}
    ranks = (8, 8, 16)
    folders = [
        many_runs.run(workspace, n, name=f"r{n}", lora__rank=rank, training__seed=0, **same)
        for n, rank in enumerate(ranks, 1)
    ]
    manifest = json.loads((folders[2] / "manifest.json").read_text())
    manifest["starts"][-1]["environment"]["packages"]["torch"] = "2.12.0"
    manifest["base"]["files"]["model.safetensors"] = "0" * 64
    (folders[2] / "manifest.json").write_text(json.dumps(manifest))
    body = comparing.plain(folders)
    assert named(body["config"]) == {"lora.rank": [8, 8, 16]}
    differ = named(body["environment"])
    assert set(differ) == {"packages.torch", "base.files.model.safetensors"}
    assert differ["packages.torch"] == ["2.13.0+cpu", "2.13.0+cpu", "2.12.0"]
    assert comparing.plain(folders[:2])["config"] == []


def test_a_run_that_can_not_be_read_does_not_hide_the_others(workspace: Workspace) -> None:
    first, second = (many_runs.run(workspace, n, name=f"r{n}") for n in (1, 2))
    (second / "manifest.json").write_text("{ no")
    body = comparing.whole(workspace, [first, second])
    assert [run["status"] for run in body["runs"]][1] == "damaged"
    assert "r2-0002" in body["problems"][0]
    assert named(body["config"])["lora.rank"][1] is None


def test_answers_to_the_same_rows_are_tested_in_pairs(workspace: Workspace) -> None:
    """Twelve rows only the second got right, two only the first."""
    first, second = (many_runs.run(workspace, n, name=f"r{n}") for n in (1, 2))
    evaluate(first, set(range(10)))
    evaluate(second, set(range(2, 22)))
    paired = comparing.whole(workspace, [first, second])["paired"]
    (test,) = paired["comparisons"]
    assert (test["only_from"], test["only_to"], test["n"]) == (2, 12, ROWS)
    assert test["value"] == pytest.approx(0.25) and test["low"] < 0.25 < test["high"]
    assert test["p"] == pytest.approx(mcnemar(2, 12)[1]) and test["test"] == "McNemar, mid-p"
    assert paired["figures"]["r1-0001"]["exact_match"]["value"] == pytest.approx(0.25)
    assert paired["rows"] == ROWS


def test_rows_of_other_versions_are_the_same_by_what_they_ask(workspace: Workspace) -> None:
    first, second = (many_runs.run(workspace, n, name=f"r{n}") for n in (1, 2))
    evaluate(first, set(range(10)))
    # The same questions under other keys, the first five not among them.
    evaluate(second, set(range(ROWS)), dataset="d@2", rows=range(5, ROWS))
    lines = (second / "evaluations/01/outputs.jsonl").read_text()
    (second / "evaluations/01/outputs.jsonl").write_text(lines.replace('"validation-', '"other-'))
    both = [Evaluated(run.name, run / "evaluations/01", "adapter") for run in (first, second)]
    (test,) = pair(both)["comparisons"]
    assert (test["n"], test["only_from"], test["only_to"]) == (ROWS - 5, 0, ROWS - 10)
    evaluate(second, set(), dataset="d@2", rows=range(ROWS, 2 * ROWS))
    with pytest.raises(WorkbenchError, match="No held-out row of the first run"):
        pair(both)


def test_data_of_other_versions_are_counted_and_missing_ones_named(
    workspace: Workspace, versions: tuple[Version, Version]
) -> None:
    folders = [
        many_runs.run(workspace, n, name=f"r{n}", version=version)
        for n, version in enumerate((*versions, versions[0]), 1)
    ]
    folders.append(many_runs.run(workspace, 4, name="r4", data__dataset="gone@123456789012"))
    other, same, gone = comparing.whole(workspace, folders)["data"]
    assert (other["added"], other["removed"], other["changed"]) == (2, 1, 0)
    assert other["rows"] == [10, 11] and same["same"]
    assert "gone@123456789012, the data of r4-0004, is not in this workspace" in gone["problem"]


def test_the_verb_compares_and_refuses_one_alone(workspace: Workspace, cli: Cli) -> None:
    for n, rank in enumerate((8, 16, 64), 1):
        many_runs.run(workspace, n, name=f"r{n}", lora__rank=rank)
    body = json.loads(cli("runs", "compare", "r1", "r2", "r3", "--json").stdout)
    assert [run["id"] for run in body["runs"]] == ["r1-0001", "r2-0002", "r3-0003"]
    assert named(body["config"])["lora.rank"] == [8, 16, 64]
    shown = cli("runs", "compare", "r1", "r2").stdout
    assert "lora.rank" in shown and "lora.dropout" not in shown
    alone = cli("runs", "compare", "r1", "r1-0001")
    assert alone.returncode == 2 and "with itself" in alone.stderr
