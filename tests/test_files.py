from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from workbench import files
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace, check_name


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    files.write_json(path, {"é": [1, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, None]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert tree(tmp_path) == {"a", "a/b.json"}


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), files.writing(path) as stream:
        stream.write(b"half of the new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert tree(tmp_path) == {"kept.txt"}


def test_a_full_disk_is_told_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkbenchError, match="the disk is full") as caught,
        files.writing(tmp_path / "big") as stream,
        Path("/dev/full").open("wb") as full,
    ):
        stream.write(b"x")
        os.write(full.fileno(), b"x")
    assert "Free some space" in caught.value.hint
    assert tree(tmp_path) == set()


def test_a_path_through_a_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match=r"Could not write .*file/x"):
        files.write_text(tmp_path / "file" / "x", "")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "made"
    with pytest.raises(ZeroDivisionError), files.building_folder(target) as building:
        (building / "half").write_text("")
        assert not target.exists()
        raise ZeroDivisionError
    assert tree(tmp_path) == set()
    with files.building_folder(target) as building:
        (building / "whole").write_text("")
    assert tree(tmp_path) == {"deep", "deep/made", "deep/made/whole"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_a_folder_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    begun = pytest.raises(WorkbenchError, match="exists already")
    with begun, files.building_folder(tmp_path / "made"):
        pytest.fail("it was begun")
    raced = tmp_path / "raced"
    with pytest.raises(WorkbenchError, match="Could not write"), files.building_folder(raced):
        raced.mkdir()
        (raced / "theirs").write_text("")
    assert tree(tmp_path) == {"made", "raced", "raced/theirs"}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Device and inode of whatever is synced, in order."""
    seen: list[tuple[int, int]] = []
    sync = os.fsync

    def note(handle: int) -> None:
        status = os.fstat(handle)
        seen.append((status.st_dev, status.st_ino))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    return seen


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_dev, path.stat().st_ino


def test_every_file_of_a_folder_is_on_disk_before_it_has_its_name(
    tmp_path: Path, synced: list[tuple[int, int]]
) -> None:
    target = tmp_path / "made"
    with files.building_folder(target) as building:
        (building / "in").mkdir()
        for name in ("a", "in/b", "in/c"):
            (building / name).write_text(name)
        (building / "link").symlink_to("nowhere")
    within = {identity(target / name) for name in (".", "in", "a", "in/b", "in/c")}
    assert set(synced[:5]) == within
    assert synced[4:] == [identity(target), identity(tmp_path)], "the folders' names come last"


def test_a_file_and_its_name_are_on_disk(tmp_path: Path, synced: list[tuple[int, int]]) -> None:
    files.write_text(tmp_path / "a", "a")
    assert synced == [identity(tmp_path / "a"), identity(tmp_path)]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750)]
)
def test_files_may_be_read_by_whomever_the_umask_lets(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    previous = os.umask(umask)
    try:
        with files.building_folder(tmp_path / "made") as building:
            (building / "in").mkdir(mode=0o700)
            (building / "in" / "private").touch(0o600)
        files.write_text(tmp_path / "alone", "")
    finally:
        os.umask(previous)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in tree(tmp_path)}
    assert modes == {"made": folder, "made/in": folder, "made/in/private": file, "alone": file}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 100_000], ids=repr)
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "body.json"
    path.write_bytes(content)
    with pytest.raises(WorkbenchError, match=r"body\.json is not valid JSON"):
        files.read_json(path)


def test_a_json_file_that_is_missing_or_holds_no_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"gone\.json: no such file"):
        files.read_json(tmp_path / "gone.json")
    files.write_json(tmp_path / "list.json", [])
    with pytest.raises(WorkbenchError, match=r"list\.json holds no JSON object"):
        files.read_json_object(tmp_path / "list.json")


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_file(tmp_path / "abc") == published
    with pytest.raises(WorkbenchError, match="no such file"):
        files.sha256_file(tmp_path / "gone")


def test_a_home_that_nobody_has_stays_as_it_is_written() -> None:
    assert files.user_path("~/x") == Path.home() / "x"
    assert files.user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


@pytest.mark.parametrize("name", ["a", "Gsm8k-v1.2_x", "9", "a" * 80])
def test_a_good_name_is_taken(name: str) -> None:
    assert check_name(name, "dataset") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a b", "-a", "é", "a\n", "a" * 81])
def test_a_name_that_can_be_no_file_is_refused(name: str) -> None:
    with pytest.raises(WorkbenchError, match="can't be the name of a dataset"):
        check_name(name, "dataset")


def test_a_workspace_that_can_be_written_is_left_clean(workspace: Workspace) -> None:
    workspace.ensure()
    assert tree(workspace.root) == set()


def test_a_workspace_inside_a_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="Could not write in the workspace"):
        Workspace(tmp_path / "file" / "ws").ensure()


def test_the_workspace_is_the_named_one_then_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace.find().root == tmp_path / "workbench-data"
    monkeypatch.setenv("WORKBENCH_HOME", "elsewhere")
    assert Workspace.find().root == tmp_path / "elsewhere"
    assert Workspace.find("named").root == tmp_path / "named"


def test_a_lock_is_held_by_one_at_a_time(workspace: Workspace) -> None:
    order: list[str] = []
    started = threading.Event()

    def second() -> None:
        started.set()
        with workspace.lock("x"):
            order.append("second")

    with workspace.lock("x"):
        thread = threading.Thread(target=second)
        thread.start()
        started.wait()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_that_can_t_be_opened_is_told_in_words(workspace: Workspace) -> None:
    (workspace.ensure().root / ".x.lock").mkdir()
    refused = pytest.raises(WorkbenchError, match=r"Could not open the lock .*\.x\.lock")
    with refused, workspace.lock("x"):
        pytest.fail("it was taken")


def test_what_a_killed_builder_left_is_removed_and_what_one_holds_stays(tmp_path: Path) -> None:
    left = tmp_path / ".made.abandoned"
    left.mkdir()
    (left / "half").write_text("x")
    with files.building_folder(tmp_path / "made") as held:
        (held / "whole").touch()
        with pytest.raises(ZeroDivisionError), files.building_folder(tmp_path / "made"):
            assert held.exists() and not left.exists()
            raise ZeroDivisionError
    assert (tmp_path / "made" / "whole").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
