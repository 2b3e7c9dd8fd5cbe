from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from workbench.data import search, search_worker
from workbench.data.importing import Options, import_files
from workbench.data.search import Search, Wanted
from workbench.data.table import Table
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

Rows = Callable[..., Path]


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"Question {number}?", "output": f"Answer {number}.", **more}


def found(wanted: Wanted) -> list[int]:
    searching = Search(wanted)
    try:
        return [row for found in searching.found() for row in found.rows]
    finally:
        searching.end()


def test_rows_of_any_file_are_found_in_order_with_its_bad_lines(write_rows: Rows) -> None:
    path = write_rows(pair(1), "no JSON: rain", {"instruction": "No answer"}, pair(4, task="rain"))
    assert found(Wanted(str(path), "rain")) == [1]
    assert found(Wanted(str(path), "task:rain")) == [3]
    assert found(Wanted(str(path), "flag:bad")) == [1, 2]
    assert found(Wanted(str(path), "-flag:bad question")) == [0, 3]


def test_letters_beyond_ascii_are_found_in_either_case_and_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [pair(1, output="GRÜSSE"), pair(2, output="grüsse"), pair(3, output="kelvin \u212a")]
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    assert found(Wanted(str(path), "Grüsse")) == [0, 1]
    # The sign for kelvin is a k in another case.
    assert found(Wanted(str(path), "kelvin k")) == [2]


def test_rows_are_sorted_by_numbers_texts_and_extra_fields(
    workspace: Workspace, write_rows: Rows
) -> None:
    lengths = [3, 1, 2, 1]
    rows = [
        pair(n, output="x" * size, task=f"t{size}", **({"level": size} if n else {}))
        for n, size in enumerate(lengths)
    ]
    path = str(write_rows(*rows))
    assert found(Wanted(path, sort="response")) == [1, 3, 2, 0]
    assert found(Wanted(path, sort="-response")) == [0, 2, 1, 3]
    assert found(Wanted(path, sort="-task")) == [0, 2, 1, 3]
    # A row that hasn't the field comes last, in either order.
    assert found(Wanted(path, sort="level")) == [1, 3, 2, 0]
    assert found(Wanted(path, sort="-level")) == [2, 1, 3, 0]
    assert found(Wanted(path, "response<3", sort="-row")) == [3, 2, 1]


def test_a_field_that_no_row_has_and_a_query_that_can_t_be_are_said(write_rows: Rows) -> None:
    path = str(write_rows(pair(1), pair(2)))
    with pytest.raises(WorkbenchError, match="None of the rows has the field level"):
        found(Wanted(path, sort="-level"))
    assert found(Wanted(path, "nobody", sort="level")) == []
    with pytest.raises(WorkbenchError, match="response with no number"):
        found(Wanted(path, "response>abc"))


def test_tokens_are_counted_by_the_base(
    workspace: Workspace, write_rows: Rows, tmp_path: Path
) -> None:
    tiny.make_tokenizer(tmp_path / "model", tiny.TEMPLATE)
    rows = [pair(1, output="a b c d e f g h i j"), pair(2)]
    version = import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))
    whole = {"path": str(version.data_path), "workspace": str(workspace.root)}
    whole |= {"version": version.reference, "base": str(tmp_path / "model")}
    assert found(Wanted(sort="-tokens", **whole)) == [0, 1]
    assert found(Wanted(sort="tokens", **whole)) == [1, 0]
    with pytest.raises(WorkbenchError, match="Name the base"):
        found(Wanted(sort="tokens", **{**whole, "base": ""}))


def test_a_large_file_is_searched_by_several_processes_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.jsonl"
    with path.open("w") as stream:
        for number in range(5000):
            stream.write(json.dumps(pair(number)) + "\n")
    said: list[dict[str, Any]] = []
    alone = found(Wanted(str(path), "question 7"))
    monkeypatch.setattr(search_worker, "_A_WORKER", 10_000)
    search_worker.search(Wanted(str(path), "question 7"), said.append)
    assert [row for each in said for row in each["rows"]] == alone
    assert len(alone) == 111 and alone == sorted(alone)
    assert said[-1]["reached"] == said[-1]["size"] == path.stat().st_size


def test_a_search_can_be_ended_and_its_rows_end_then(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    line = json.dumps(pair(1)) + "\n"
    path.write_text(line * 300_000)
    searching = Search(Wanted(str(path), sort="-chars"))
    first = next(searching.found())
    assert 0 < first.reached < first.size
    searching.end()
    assert searching._process.returncode < 0


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no such file"):
        found(Wanted(str(tmp_path / "gone.jsonl"), "x"))


def test_a_version_that_was_changed_is_said(workspace: Workspace, write_rows: Rows) -> None:
    version = import_files(workspace, [write_rows(*map(pair, range(9)))], "mine", Options())
    version.data_path.write_text("{}\n")
    with pytest.raises(WorkbenchError, match="was changed"):
        found(Wanted(str(version.data_path), "turns>0", "", str(workspace.root), version.reference))
    assert len(Table(version.data_path)) == 1


def test_what_rows_can_be_sorted_by_is_told() -> None:
    assert {"tokens", "response", "task", "row"} <= set(search.KEYS)
