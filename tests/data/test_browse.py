from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data.browse import Looked, locate, look
from workbench.data.importing import Options, import_files
from workbench.data.rows import open_rows
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
GOOD = {"prompt": "Hi", "completion": "Yes"}


def look_at(path: Path) -> list[Looked]:
    rows = open_rows(path)
    rows.index()
    return [look(rows, number) for number in range(len(rows))]


def test_a_row_of_a_version_is_shown_with_its_split_and_source(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    rows = [{**GOOD, "prompt": f"Q{n}"} for n in range(30)]
    version = import_files(workspace, [write_rows(*rows)], "made", Options(task="qa"))
    looked = look_at(version.data_path)
    assert {row.examples[0].split for row in looked} == {"train", "validation"}
    assert (looked[4].examples[0].task, looked[4].examples[0].source) == ("qa", "rows.jsonl:5")
    assert looked[4].to_json()["row"] == 5


def test_a_row_of_any_jsonl_file_is_shown_as_import_would_read_it(write_rows: WriteRows) -> None:
    instances = {"instruction": "Do", "instances": [{"output": "a"}, {"output": "b"}]}
    one, several = look_at(write_rows(GOOD, instances))
    assert one.examples[0].source == "row 1"
    assert json.loads(one.text) == GOOD
    assert [example.response for example in several.examples] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "the line is empty"),
        ("not json", "it is not JSON"),
        ('{"prompt": "Hi"}', "there is no response beside `prompt`"),
        ('{"prompt": "\\ud83d", "completion": "Yes"}', "half of a surrogate pair"),
        ('{"prompt": "Hi", "completion": "Yes", "x": NaN}', "NaN is no JSON value"),
        ('{"messages": [], "split": "train"}', "`messages` is not a list of turns"),
        ('{"messages": [5], "split": "train"}', "`messages[0]` is a number, not a turn"),
        ('{"messages": null, "split": "train"}', "`messages` is not a list of turns"),
        (
            '{"messages": [{"role": "user", "content": {}}, {"role": "assistant", "content": "a"}],'
            ' "split": "train"}',
            "`messages[0].content` is an object, not text",
        ),
        ("[" * 5000, "deep"),
    ],
    ids=lambda value: value[:30],
)
def test_a_row_that_can_be_no_example_is_shown_with_the_reason(
    write_rows: WriteRows, line: str, problem: str
) -> None:
    looked = look_at(write_rows(line, GOOD))[0]
    assert looked.examples == ()
    assert problem in looked.problem
    assert looked.text == line
    json.dumps(looked.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8")


@pytest.mark.parametrize(
    "other",
    [
        {"task": 5},
        {"source": {"a": 1}},
        {"extra": [1]},
        {"id": 1},
        {"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "Yes"},
            ]
        },
    ],
)
def test_a_stranger_s_row_with_a_split_is_not_taken_for_one_of_workbench_s_own(
    write_rows: WriteRows, other: dict[str, Any]
) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    (looked,) = look_at(write_rows({"messages": turns, "split": "train", **other}))
    (example,) = looked.examples
    assert [message.content for message in example.messages] == ["Hi", "Yes"]
    assert isinstance(example.task, str) and isinstance(example.source, str)


def test_a_mark_at_the_beginning_of_the_file_is_no_part_of_the_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n")
    (looked,) = look_at(path)
    assert json.loads(looked.text) == GOOD


def test_a_row_that_was_cut_meanwhile_is_shown_as_such(write_rows: WriteRows) -> None:
    path = write_rows(GOOD, GOOD)
    rows = open_rows(path)
    os.truncate(path, 5)
    assert "it is not JSON" in look(rows, 0).problem
    assert look(rows, 1).problem == "the line is empty"


def test_a_reference_is_a_file_or_a_dataset(
    workspace: Workspace, write_rows: WriteRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(GOOD)
    version = import_files(workspace, [path], "made.v2")
    monkeypatch.chdir(path.parent)
    assert locate(workspace, "rows.jsonl") == path
    assert locate(workspace, str(path)) == path
    for reference in ("made.v2", version.reference):
        assert locate(workspace, reference) == version.data_path
    for reference in ("gone.jsonl", "./made.v2", "a/b", "~nobody-of-that-name/x"):
        with pytest.raises(WorkbenchError, match="There is no file"):
            locate(workspace, reference)
    with pytest.raises(WorkbenchError, match=r"There is no dataset made\.v3"):
        locate(workspace, "made.v3")


def test_plain_text_is_shown_with_the_split_that_workbench_gave_it(write_rows: WriteRows) -> None:
    own = {"text": "A law", "split": "validation", "source": "law.jsonl:7", "task": "law"}
    (looked, other) = look_at(write_rows(own, {"text": "B", "id": 1}))
    (example,) = looked.examples
    assert example.to_json() == own
    (example,) = other.examples
    assert (example.text, example.split, example.extra) == ("B", "train", {"id": 1})
