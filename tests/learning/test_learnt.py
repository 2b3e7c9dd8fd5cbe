"""A run's rows asked for by a query, by the verbs, and in other versions than the run's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.learning_runs import line, make_run, write_lines
from workbench.data import revising
from workbench.data.draft import Draft
from workbench.data.importing import Options, import_files
from workbench.data.replay import make
from workbench.data.search import Search, Wanted
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.learning.log import NAME
from workbench.workspace import Workspace

Rows = Callable[..., Path]
ROWS = 20


def version_of(workspace: Workspace, write_rows: Rows, name: str = "mine", of: int = 0) -> Version:
    rows = [
        {
            "instruction": f"Question {n}?",
            "output": f"Answer {n}.",
            "task": "qa" if n % 2 else "sum",
        }
        for n in range(of, of + ROWS)
    ]
    return import_files(workspace, [write_rows(*rows)], name, Options(validation_share=0))


def lines() -> list[dict[str, Any]]:
    """Row 7 is the hardest, then 12, then 3; the others are alike."""
    hard = {7: 5.0, 12: 4.0, 3: 3.0}
    return [
        line(n, hard.get(n, 1.0 - n / 1000) / epoch, epoch=epoch, step=10 * epoch + (n - 1) // 5)
        for epoch in (1, 2)
        for n in range(1, ROWS + 1)
    ]


def found(workspace: Workspace, version: Version, query: str, sort: str = "") -> list[int]:
    """Numbers from 1, in the order of the search."""
    wanted = Wanted(str(version.data_path), query, sort, str(workspace.root), version.reference)
    searching = Search(wanted)
    try:
        return [row + 1 for some in searching.found() for row in some.rows]
    finally:
        searching.end()


def test_rows_are_found_by_how_a_run_learnt_them_the_hardest_first(
    workspace: Workspace, write_rows: Rows
) -> None:
    version = version_of(workspace, write_rows)
    make_run(workspace, version, lines())
    assert found(workspace, version, "run:small-0001 rank<=3") == [7, 12, 3]
    assert found(workspace, version, "run:small worst<=10 learnt:never") == [7, 12]
    assert found(workspace, version, "run:latest loss>1.7") == [7, 12]
    assert found(workspace, version, "task:qa run:latest rank<=3") == [12]
    assert found(workspace, version, "run:latest step=11 hardness>1") == [7]
    assert len(found(workspace, version, "run:latest step=11")) == 5
    assert len(found(workspace, version, "run:latest -learnt:never")) == ROWS - 2
    assert found(workspace, version, "run:latest rank<=3", sort="row") == [3, 7, 12]
    assert found(workspace, version, "run:latest rank<=3", sort="loss") == [3, 12, 7]
    # Without a run it is a field of the row itself, which has none.
    assert found(workspace, version, "loss>1") == []


def test_what_can_t_be_asked_of_a_run_is_said(workspace: Workspace, write_rows: Rows) -> None:
    version = version_of(workspace, write_rows)
    make_run(workspace, version, lines())
    make_run(workspace, version, [], name="bare-0002")
    for query, said in (
        ("run:other", "no run other"),
        ("run:bare-0002", "has no examples.jsonl"),
        ("run:small run:bare", "One run at a time"),
        ("-run:small", "One run at a time"),
        ("run:small learnt:soon", "no learnt:soon"),
        ("run:small region:far", "no region:far"),
        ("run:small loss:high", "says nothing of how"),
    ):
        with pytest.raises(WorkbenchError) as told:
            found(workspace, version, query)
        assert said in str(told.value), query
    with pytest.raises(WorkbenchError, match="dataset version alone"):
        list(Search(Wanted(str(version.data_path), "run:small")).found())


def revised(version: Version, workspace: Workspace) -> Version:
    """Another version: the first row is out, row 12 rewritten."""
    draft, rows = Draft(version.folder), Table(version.data_path)
    draft.decide("remove", 0, rows[0])
    fields = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    draft.decide("edit", 11, rows[11], "", fields)
    return make(workspace, revising.drafted(version, draft))


def test_in_another_version_rows_are_found_by_what_is_learnt_from_them(
    workspace: Workspace, write_rows: Rows
) -> None:
    version = version_of(workspace, write_rows)
    make_run(workspace, version, lines())
    other = revised(version, workspace)
    # The first row is gone: what were 7 and 3 are 6 and 2. The rewritten one wasn't learnt.
    assert found(workspace, other, "run:latest rank<=3") == [6, 2]
    assert len(found(workspace, other, "run:latest")) == ROWS - 2


def test_a_version_that_has_nothing_to_do_with_the_run_and_one_whose_own_is_gone_are_refused(
    workspace: Workspace, write_rows: Rows
) -> None:
    version = version_of(workspace, write_rows)
    make_run(workspace, version, lines())
    stranger = version_of(workspace, write_rows, "other", of=100)
    with pytest.raises(WorkbenchError, match="row numbers mean other rows"):
        found(workspace, stranger, "run:latest")
    other = revised(version, workspace)
    shutil.rmtree(version.folder)
    with pytest.raises(WorkbenchError, match="no longer there"):
        found(workspace, other, "run:latest")


def test_the_verbs_list_a_step_and_the_hardest_rows(
    workspace: Workspace, write_rows: Rows, cli: Cli
) -> None:
    version = version_of(workspace, write_rows)
    run = make_run(workspace, version, lines())
    write_lines(run, [line(10**9, 1.0, epoch=2, step=23)])
    step = json.loads(cli("runs", "examples", "small", "--step", 11, "--json").stdout)
    assert [one["row"] for one in step["examples"]] == [7, 6, 8, 9, 10]
    assert step["examples"][0]["response"] == "Answer 6."
    hardest = json.loads(cli("runs", "hardest", "--limit", 2, "--task", "sum", "--json").stdout)
    assert [(row["row"], row["rank"]) for row in hardest["rows"]] == [(7, 1), (3, 3)]
    assert hardest["damaged_lines"] == 1
    never = cli("runs", "hardest", "small-0001", "--never-learnt").stdout
    assert "Question 6?" in never
    assert "never learnt" in never
    assert "Question 2?" not in never
    told = cli("data", "find", "mine", "run:small rank<=2").stdout
    assert told.index("Question 6?") < told.index("Question 11?")


def test_the_verbs_say_what_isn_t_there(workspace: Workspace, write_rows: Rows, cli: Cli) -> None:
    version = version_of(workspace, write_rows)
    run = make_run(workspace, version, lines())
    missing = cli("runs", "examples", "--step", 99)
    assert missing.returncode == 2
    assert "no examples in step 99" in missing.stderr
    assert "steps 10 to 23" in missing.stderr
    # Losses are told without the rows, too.
    shutil.rmtree(version.folder)
    hardest = cli("runs", "hardest", "--limit", 1, "--json")
    assert hardest.returncode == 0
    assert "no longer there" in hardest.stderr
    assert [(row["row"], row["prompt"]) for row in json.loads(hardest.stdout)["rows"]] == [
        (7, None)
    ]
    (run / NAME).write_text("")
    assert "0 rows" in cli("runs", "hardest").stdout
    assert "none yet" in cli("runs", "examples", "--step", 1).stderr
    (run / NAME).unlink()
    bare = cli("runs", "hardest")
    assert bare.returncode == 2
    assert "has no examples.jsonl" in bare.stderr
