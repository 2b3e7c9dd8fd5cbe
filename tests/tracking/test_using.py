from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import many_runs
from tests.learning_runs import line, write_lines
from tests.trained import Trained
from workbench.data.importing import Options, import_files
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.tracking import using
from workbench.workspace import Workspace


@pytest.fixture
def numbers(workspace: Workspace, write_rows: Callable[..., Path]) -> Version:
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(10))
    return import_files(workspace, [write_rows(*rows)], "numbers")


@pytest.fixture
def letters(workspace: Workspace, write_rows: Callable[..., Path]) -> Version:
    """Has one row that `numbers` has, in another place."""
    rows = [{"prompt": f"{letter}?", "completion": letter} for letter in "abc"]
    rows.append({"prompt": "3?", "completion": "3"})
    path = write_rows(*rows, name="letters.jsonl")
    return import_files(workspace, [path], "letters", Options(validation_share=0))


def test_the_runs_of_a_version_are_found_however_they_used_it(
    workspace: Workspace, numbers: Version, letters: Version
) -> None:
    many_runs.run(workspace, 1, name="plain", version=numbers)
    many_runs.run(workspace, 2, name="other", version=letters)
    mixed = many_runs.run(workspace, 3, name="mixed", data__dataset="both@123456789012")
    body = json.loads((mixed / "manifest.json").read_text())
    shares = {numbers.reference: 0.7, letters.reference: 0.3}
    (mixed / "manifest.json").write_text(json.dumps({**body, "mixture": shares}))
    many_runs.run(
        workspace, 4, name="held", version=letters, evaluation__against=[numbers.reference]
    )
    found = {use.run: use for use in using.of_dataset(workspace, numbers.reference)}
    assert {run: use.how for run, use in found.items()} == {
        "plain-0001": "trained",
        "mixed-0003": "mixed",
        "held-0004": "against",
    }
    assert found["mixed-0003"].share == 0.7
    by_name = [use.run for use in using.of_dataset(workspace, "letters")]
    assert by_name == ["held-0004", "mixed-0003", "other-0002"]
    # The version of the mixture is not here any more; its run still tells.
    assert [use.run for use in using.of_dataset(workspace, "both@1234")] == ["mixed-0003"]
    with pytest.raises(WorkbenchError, match="no dataset nombers"):
        using.of_dataset(workspace, "nombers")


def test_data_that_were_made_of_a_version_count_as_it(
    workspace: Workspace, numbers: Version
) -> None:
    made = json.loads((numbers.folder / "version.json").read_text())
    child = workspace.datasets / "fewer" / "abcdefabcdef"
    child.mkdir(parents=True)
    body = {**made, "name": "fewer", "sha256": "abcdef" * 10 + "abcd"}
    body["sources"] = [{"dataset": numbers.reference}]
    (child / "version.json").write_text(json.dumps(body))
    many_runs.run(workspace, 1, name="r", data__dataset="fewer@abcdefabcdef")
    (use,) = using.of_dataset(workspace, "numbers")
    assert (use.how, use.used, use.dataset) == ("derived", numbers.reference, "fewer@abcdefabcdef")


def test_a_row_is_found_in_whichever_version_with_the_steps_that_took_it(
    workspace: Workspace, numbers: Version, letters: Version
) -> None:
    every = [using.find_row(workspace, "numbers", n) for n in range(1, 11)]
    wanted = next(row for row in every if row.example.instruction == "3?")
    row = wanted.row
    took = many_runs.run(workspace, 1, name="took", version=numbers)
    write_lines(took, [line(row, 2.5, step=4), line(row % 10 + 1, 1.0, step=4)])
    write_lines(took, [line(row, 1.5, epoch=2, step=9), line(row, 1.25, epoch=2, step=11)])
    left = many_runs.run(workspace, 2, name="left", version=numbers)
    write_lines(left, [line(row % 10 + 1, 1.0)])
    many_runs.run(workspace, 3, name="untold", version=letters)
    many_runs.run(workspace, 4, name="gone", data__dataset="lost@123456789012")
    found, gone = using.of_row(workspace, wanted)
    told = {use.run: use for use in found}
    assert list(told) == ["untold-0003", "left-0002", "took-0001"] and gone == ["lost@123456789012"]
    assert told["took-0001"].steps == [4, 11] and told["took-0001"].losses == [2.5, 1.25]
    assert told["left-0002"].learnt is False
    assert told["untold-0003"].learnt is None and told["untold-0003"].row == 4
    assert using.find_row(workspace, "letters", wanted.example.id).row == 4
    for wrong in (0, 11, "feedfeedfeedfeed"):
        with pytest.raises(WorkbenchError, match="has no row"):
            using.find_row(workspace, "numbers", wrong)


def test_the_verb_answers_of_a_real_run(trained_run: Trained) -> None:
    told = trained_run.json("runs", "using", "numbers")
    assert [(run["run"], run["how"]) for run in told["runs"]] == [("small-0001", "trained")]
    rows = [trained_run.json("runs", "using", "numbers", "--row", n) for n in range(1, 8)]
    for told in rows:
        (use,) = told["runs"]
        assert use["learnt"] == (use["split"] == "train") == bool(use["steps"])
    shown = trained_run.cli("runs", "using", "numbers", "--id", rows[0]["row"]["id"]).stdout
    assert "small-0001" in shown and rows[0]["row"]["id"] in shown
    assert trained_run.cli("runs", "using", "numbers", "--row", 99, check=False).returncode == 2
