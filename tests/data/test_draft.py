from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.data import editing, revising, versions
from workbench.data.draft import DRAFT, Draft, kept_in
from workbench.data.example import Example, Message
from workbench.data.importing import Options, import_files
from workbench.data.replay import make
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def version(workspace: Workspace, write_rows: WriteRows) -> Version:
    rows = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in range(6)]
    return import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))


def rows(version: Version) -> list[Example]:
    return list(versions.read(version))


def answers(version: Version) -> list[str]:
    return [row.response for row in rows(version)]


def test_decisions_are_there_again_and_make_one_version(
    workspace: Workspace, version: Version
) -> None:
    examples = rows(version)
    draft = Draft(version.folder)
    draft.decide("remove", 0, examples[0], "content")
    fields = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    draft.decide("edit", 2, examples[2], fields=fields)
    draft.decide("keep", 3, examples[3], "content")
    draft.decide("remove", 4, examples[4])
    again = Draft(version.folder)
    assert [again.state_of(row) for row in range(6)] == ["remove", "", "edit", "", "remove", ""]
    made = make(workspace, revising.drafted(version, again))
    assert answers(made) == ["Answer 1.", "A", "Answer 3.", "Answer 5."]
    reasons = {removed.row["messages"][0]["content"]: removed.reason for removed in gone(made)}
    assert reasons == {
        "Question 0?": "reviewed: content",
        "Question 4?": "a person removed it",
    }
    again.written(made.reference, [decision.key for decision in again.waiting])
    assert len(Draft(version.folder)) == 0
    # Who let a row stay isn't asked again.
    assert kept_in(made.folder.parent) == {("content", examples[3].id)}


def gone(version: Version) -> list[versions.Removed]:
    return list(versions.read_removed(version))


def test_the_last_decision_is_taken_back_and_a_later_one_counts(version: Version) -> None:
    (first, *_) = rows(version)
    draft = Draft(version.folder)
    draft.decide("remove", 0, first)
    draft.decide("keep", 0, first, "quality")
    assert draft.state_of(0) == "" and len(draft) == 0
    undone = draft.undo()
    assert undone is not None and undone.do == "keep"
    assert Draft(version.folder).state_of(0) == "remove"
    draft.undo()
    assert draft.undo() is None
    assert Draft(version.folder).waiting == []
    with pytest.raises(WorkbenchError, match="Nothing was decided"):
        revising.drafted(version, draft)


def test_half_a_line_is_passed_over_and_nothing_is_lost_after_it(version: Version) -> None:
    (first, second, *_) = rows(version)
    Draft(version.folder).decide("remove", 0, first)
    with (version.folder / DRAFT).open("a") as stream:
        stream.write('{"do": "rem')
    Draft(version.folder).decide("remove", 1, second)
    assert sorted(Draft(version.folder).removed) == [0, 1]
    (version.folder / DRAFT).write_text('{"do": "remove"}\n')
    with pytest.raises(WorkbenchError, match=r"draft\.jsonl:1 is no decision"):
        Draft(version.folder)


def test_two_windows_see_each_other_and_each_takes_back_its_own(version: Version) -> None:
    examples = rows(version)
    here, there = Draft(version.folder), Draft(version.folder)
    here.decide("remove", 0, examples[0])
    # As another process writes it.
    line = {"do": "remove", "row": 2, "id": examples[1].id, "key": "other-1"}
    with (version.folder / DRAFT).open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    assert there.refresh() and sorted(there.removed) == [0, 1] and not there.refresh()
    undone = here.undo()
    assert undone is not None and undone.row == 0
    assert sorted(Draft(version.folder).removed) == [1]


def test_what_is_decided_while_a_version_is_made_waits_for_the_next(version: Version) -> None:
    examples = rows(version)
    draft = Draft(version.folder)
    draft.decide("remove", 0, examples[0])
    keys = [decision.key for decision in draft.waiting]
    draft.decide("remove", 1, examples[1])
    draft.written("mine@x", keys)
    assert sorted(Draft(version.folder).removed) == [1]


SPOILT = [
    {"do": "edit", "row": 1, "id": "x", "fields": {"messages": 5}},
    {"do": "edit", "row": 1, "id": "x", "fields": 5},
    {"do": "edit", "row": 1, "id": "x"},
    {"do": "remove", "row": "2", "id": "x"},
    {"do": "remove", "row": 0, "id": "x"},
    {"do": "burn", "row": 2, "id": "x"},
    {"do": "remove", "row": 2},
    [],
]


@pytest.mark.parametrize("line", SPOILT)
def test_a_line_that_is_no_decision_is_told_with_its_place(version: Version, line: Any) -> None:
    (version.folder / DRAFT).write_text(json.dumps(line) + "\n")
    with pytest.raises(WorkbenchError, match=r"draft\.jsonl:1 is no decision"):
        Draft(version.folder)


TEXTS = [
    "plain",
    "two\nlines\n",
    " led: by - signs #",
    "tab\tand \x1b[31m",
    "trail  \n  \n",
    "ü 語",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_edited_is_what_stood_there(text: str) -> None:
    example = Example((Message("user", text), Message("assistant", text)), task="qa")
    assert editing.from_text(editing.to_text(example)) == {
        "task": "qa",
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}],
    }
    assert editing.from_text(editing.to_text(Example(text=text))) == {"text": text}


def test_nothing_that_a_terminal_would_follow_is_in_what_is_edited() -> None:
    shown = editing.to_text(Example(text="a\x1b[31m\u202e\u200b\x85b\nc"))
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_lines_of_a_turn_are_lines_to_edit() -> None:
    shown = editing.to_text(Example((Message("user", "a\nb"), Message("assistant", "c"))))
    assert "  content: |-\n    a\n    b\n" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("messages: [", "line 2|line 1"),
        ("just words", "no fields"),
        ("prompt: a", "no response beside `prompt`"),
        (
            "messages:\n- {role: user, content: a}\n- {role: assistant, content: b}\nzz: 1",
            "no field zz",
        ),
        ("task: [1]\ntext: a", "no name on one line"),
        ("task: 5\ntext: a", "no name on one line"),
        ("text: !!int x", "It is no YAML"),
        ("[" * 3000, "It is no YAML"),
        ("messages:\n- role: user\n  content: a", "no response"),
        ("text: ''", "text is empty"),
    ],
)
def test_what_makes_no_row_is_said(text: str, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        editing.from_text(text)


def test_the_verb_decides_shows_takes_back_and_writes(
    cli: Cli, version: Version, tmp_path: Path
) -> None:
    def said(*arguments: str) -> Any:
        return json.loads(cli("data", "draft", version.reference, *arguments, "--json").stdout)

    said("--remove", "1", "2", "--check", "quality")
    path = tmp_path / "row.yaml"
    path.write_text("messages:\n- {role: user, content: Q}\n- {role: assistant, content: A}\n")
    said("--edit", "6", str(path))
    said("--keep", "3")
    shown = said("--undo")
    assert [(d["do"], d["row"]) for d in shown["decisions"]] == [
        ("remove", 1),
        ("remove", 2),
        ("edit", 6),
    ]
    result = cli("data", "draft", version.reference, "--keep", "99")
    assert "there is no 99" in result.stderr
    assert "--write` makes one" in cli("data", "draft", version.reference).stdout
    made = said("--write")
    assert made["rows"] == 4
    assert said()["decisions"] == []
