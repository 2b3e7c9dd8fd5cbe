from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.versions import Removed, Step, Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


def example(number: int, part: str = "train") -> Example:
    turns = (Message("user", f"Q{number} é\u2028"), Message("assistant", f"A{number}\n"))
    return Example(turns, task="qa", split=part, source=f"x:{number}", extra={"id": number})


def make(
    workspace: Workspace,
    name: str = "made",
    rows: Sequence[Example] = (),
    removed: Sequence[Removed] = (),
) -> Version:
    return versions.create(
        workspace,
        name,
        rows or [example(1), example(2, "validation")],
        sources=[{"path": "x"}],
        steps=[Step("read", 3, 2, {"a": 1})],
        removed=removed,
    )


def test_the_version_is_the_checksum_of_the_rows(workspace: Workspace) -> None:
    version = make(workspace)
    digest = hashlib.sha256(version.data_path.read_bytes()).hexdigest()
    assert version.sha256 == digest
    assert version.reference == f"made@{digest[:12]}"
    assert version.folder == workspace.datasets / "made" / digest[:12]
    assert {path.name for path in version.folder.iterdir()} == {
        "README.md",
        "data.jsonl",
        "removed.jsonl",
        "statistics.json",
        "version.json",
    }


def test_a_row_is_a_line_that_other_tools_can_read(workspace: Workspace) -> None:
    version = make(workspace)
    lines = version.data_path.read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert lines[0].startswith('{"extra":{"id":1},"messages":[{"content":"Q1 é')
    rows = [json.loads(line) for line in lines]
    assert [row["split"] for row in rows] == ["train", "validation"]


def test_rows_come_back_as_they_were(workspace: Workspace) -> None:
    version = make(workspace)
    assert list(versions.read(version)) == [example(1), example(2, "validation")]
    assert list(versions.read(version, "validation")) == [example(2, "validation")]
    assert (version.rows, version.splits) == (2, {"train": 1, "validation": 1})
    assert version.tasks == {"qa": 2}
    assert versions.describe(version)["steps"] == [
        {"name": "read", "before": 3, "after": 2, "parameters": {"a": 1}, "changed": 0}
    ]


def test_the_same_rows_are_the_same_version_wherever_they_are_made(
    workspace: Workspace, tmp_path: Path
) -> None:
    here, there = make(workspace), make(Workspace(tmp_path / "other"), "renamed")
    assert here.sha256 == there.sha256
    assert make(workspace) == here
    assert make(workspace, rows=[example(2, "validation"), example(1)]).sha256 != here.sha256
    assert len(versions.list_versions(workspace)) == 2


def test_removed_rows_are_kept_whatever_they_hold(workspace: Workspace) -> None:
    deep: list[object] = []
    for _ in range(150):
        deep = [deep]
    gone = [Removed("read", "x:3", "why", {"é": None}), Removed("read", "x:4", "deep", deep)]
    version = make(workspace, removed=gone)
    assert version.removed == 2
    assert list(versions.read_removed(version)) == gone


def test_no_rows_are_no_version(workspace: Workspace) -> None:
    with pytest.raises(WorkbenchError, match="no rows"):
        versions.create(workspace, "made", [], sources=[], steps=[])
    with pytest.raises(WorkbenchError, match="can't be the name"):
        make(workspace, "a/b")
    assert not workspace.datasets.exists()


def test_one_changed_byte_is_noticed(workspace: Workspace) -> None:
    version = make(workspace)
    versions.verify(version)
    data = bytearray(version.data_path.read_bytes())
    data[len(data) // 2] ^= 1
    version.data_path.write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"data\.jsonl was changed: its SHA-256 is"):
        versions.verify(version)
    version.data_path.unlink()
    with pytest.raises(WorkbenchError, match="no such file"):
        versions.verify(version)


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b'{"text": 5}\n',
        b'{"text": ""}\n',
        b'{"messages": 5}\n',
        b'{"messages": [{}]}\n',
        b"\xff\n",
    ],
)
def test_rows_that_were_spoilt_are_told_in_words(workspace: Workspace, line: bytes) -> None:
    version = make(workspace)
    for path in (version.data_path, version.folder / versions.REMOVED):
        path.write_bytes(line)
    with pytest.raises(WorkbenchError, match=r"data\.jsonl was changed"):
        list(versions.read(version))
    with pytest.raises(WorkbenchError, match=r"removed\.jsonl was changed"):
        list(versions.read_removed(version))


def test_a_name_is_its_newest_version_and_digits_can_be_left_out(workspace: Workspace) -> None:
    old, new = make(workspace), make(workspace, rows=[example(3)])
    assert [v.reference for v in versions.list_versions(workspace)] == [
        new.reference,
        old.reference,
    ]
    assert versions.resolve(workspace, "made") == new
    for wanted in (old.version, old.version[:6], old.sha256):
        assert versions.resolve(workspace, f"made@{wanted}") == old


def test_digits_that_fit_several_versions_are_refused(workspace: Workspace) -> None:
    found: dict[str, Version] = {}
    for number in range(17):
        version = make(workspace, rows=[example(number)])
        if version.version[0] in found:
            break
        found[version.version[0]] = version
    with pytest.raises(WorkbenchError, match="fits several versions") as caught:
        versions.resolve(workspace, f"made@{version.version[0]}")
    assert version.reference in caught.value.message
    assert caught.value.hint == "Add digits."


def test_an_unknown_name_says_what_there_is(workspace: Workspace) -> None:
    with pytest.raises(WorkbenchError, match="the workspace has none yet"):
        versions.resolve(workspace, "gsm8k")
    made = make(workspace, "gsm8k-train")
    make(workspace, "other")
    with pytest.raises(WorkbenchError, match=r"There is no dataset gsm8k_train\.") as caught:
        versions.resolve(workspace, "gsm8k_train")
    assert caught.value.hint == "Did you mean gsm8k-train?"
    for wanted in ("zzz", "**", "../x", "/"):
        with pytest.raises(WorkbenchError, match="has no version") as caught:
            versions.resolve(workspace, f"gsm8k-train@{wanted}")
        assert caught.value.hint == f"It has {made.reference}."


def test_what_a_killed_import_left_is_no_version(workspace: Workspace) -> None:
    version = make(workspace)
    shutil.copytree(version.folder, version.folder.with_name(f".{version.version}.abc"))
    assert versions.list_versions(workspace) == [version]
    assert versions.resolve(workspace, "made") == version


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"name": "bad"}', "has no sha256"),
        (None, "no such file"),
    ],
)
def test_a_spoilt_version_is_named_when_asked_for_and_hides_no_other(
    workspace: Workspace, content: str | None, reason: str
) -> None:
    good, bad = make(workspace, "good"), make(workspace, "bad", [example(9)])
    path = bad.folder / "version.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert versions.list_versions(workspace) == [good]
    with pytest.raises(WorkbenchError, match=reason) as caught:
        versions.resolve(workspace, "bad")
    assert str(path) in caught.value.message


def test_a_workspace_that_was_copied_still_has_its_versions(
    workspace: Workspace, tmp_path: Path
) -> None:
    version = make(workspace)
    copied = Workspace(Path(shutil.copytree(workspace.root, tmp_path / "copy")))
    found = versions.resolve(copied, version.reference)
    versions.verify(found)
    assert found.folder.is_relative_to(copied.root)
