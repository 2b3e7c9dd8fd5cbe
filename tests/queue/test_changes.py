"""What a person does to the queue, and what its file may hold."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.queue.conftest import Node
from workbench.errors import WorkbenchError
from workbench.files import read_json, write_json
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.state import JobState
from workbench.queue import attendance, changes, entries, overview
from workbench.queue.entries import QUEUE
from workbench.tracking import runs
from workbench.workspace import Workspace


def ended(node: Node, status: str) -> str:
    """A run that was started once and ended as `status`; its id."""
    run = node.create()
    with LogWriter(node.folder(run) / runs.LOG) as log:
        log.write(Finished(stopped=status == "stopped"))
    JobState(status, runs.LOG, 1, 1, 1, 1, "", started=1.5).write(node.folder(run))
    return run


def order(node: Node) -> list[str]:
    return [entry.run for entry in node.queue()]


def test_a_queued_run_is_made_at_once_with_all_that_it_needs_pinned(node: Node) -> None:
    (run,) = node.add(node.config(gpus=2, gpu_memory=40))
    assert (node.folder(run) / "manifest.json").exists()
    assert "@" in runs.load_config(node.folder(run)).data.dataset
    assert node.word(run) == "not started"
    (entry,) = node.queue()
    assert (entry.run, entry.gpus, entry.gpu_memory, entry.last_start) == (run, 2, 40, None)


def test_the_queue_keeps_how_many_processes_a_run_has(node: Node) -> None:
    node.add(node.config(processes=2))
    (entry,) = node.queue()
    assert (entry.gpus, entry.processes) == (None, 2)


@pytest.mark.parametrize(
    "wrong", [{"data": {"dataset": "nowhere"}}, {"model": {"base": "/no/such/base"}}]
)
def test_several_are_added_all_or_none(node: Node, wrong: dict[str, Any]) -> None:
    bad = type(node.config()).model_validate({**node.config().model_dump(), **wrong})
    with pytest.raises(WorkbenchError):
        node.add(node.config(), bad)
    assert order(node) == [] and list(node.workspace.runs.glob("*")) == []


def test_a_run_that_cannot_go_on_keeps_new_ones_from_being_made(node: Node) -> None:
    finished = ended(node, "finished")
    with pytest.raises(WorkbenchError, match=f"{finished} has finished"):
        changes.add(
            node.workspace,
            [node.config()],
            [node.folder(finished)],
            command=None,
            say=lambda text: None,
        )
    assert [folder.name for folder in node.workspace.runs.iterdir()] == [finished]


@pytest.mark.parametrize("status", ["stopped", "failed", "pre-empted"])
def test_going_on_with_a_run_that_ended_early_can_be_queued_once(node: Node, status: str) -> None:
    run = ended(node, status)
    node.queue_again(run)
    assert node.queue()[0].last_start == 1.5
    assert node.line(run).position == 1
    with pytest.raises(WorkbenchError, match="in the queue already"):
        node.queue_again(run)


def test_a_spoilt_queue_is_told_before_anything_is_made_and_is_left_as_it_is(node: Node) -> None:
    path = node.workspace.root / QUEUE
    for text, words in (
        ('{"v": 1, "entr', "not valid JSON"),
        ('{"v": 2, "entries": []}', "has the version 2"),
        ('{"v": 1}', "no list of entries"),
        ("[]", "holds no JSON object"),
    ):
        path.write_text(text)
        with pytest.raises(WorkbenchError, match=words):
            node.add(node.config())
        assert path.read_text() == text
    assert list(node.workspace.runs.glob("*")) == []


def test_entries_that_cannot_be_read_and_fields_of_a_later_release_are_kept(node: Node) -> None:
    (run,) = node.add(node.config())
    path = node.workspace.root / QUEUE
    odd: list[Any] = [
        7,
        {"run": "../../etc"},
        {"run": run, "gpus": "many"},
        {"run": run, "gpu_memory": -1},
    ]
    body = read_json(path)
    body["entries"] = [*odd, {**body["entries"][0], "colour": "blue"}]
    write_json(path, body)
    assert [line.status for line in overview.look(node.workspace).lines] == ["broken"] * 4 + [
        "waiting"
    ]
    assert "can't be read: 7" in overview.look(node.workspace).lines[0].text
    (second,) = node.add(node.config())
    kept = read_json(path)["entries"]
    assert kept[:4] == odd and kept[4]["colour"] == "blue"
    assert [entry["run"] for entry in kept[4:]] == [run, second]


def test_a_waiting_run_can_be_moved_anywhere(node: Node) -> None:
    a, b, c = node.add(*[node.config() for _ in range(3)])
    for moved, wanted in (
        ((c, 1, 0), [c, a, b]),
        ((c, None, 1), [a, c, b]),
        ((b, None, -1), [a, b, c]),
        ((a, None, -1), [a, b, c]),
        ((a, 99, 0), [b, c, a]),
    ):
        changes.move(node.workspace, *moved)
        assert order(node) == wanted
    with pytest.raises(WorkbenchError, match="no run nothing in the queue"):
        changes.move(node.workspace, "nothing", 1)
    with pytest.raises(WorkbenchError, match="Several runs in the queue start with small"):
        changes.move(node.workspace, "small", 1)


def test_a_run_that_has_its_turn_is_neither_moved_nor_removed(node: Node) -> None:
    first, second = node.add(node.config(), node.config())
    node.runner().look()
    node.wait_for_start(first)
    with pytest.raises(WorkbenchError, match=f"{first} doesn't wait"):
        changes.move(node.workspace, first, 1)
    with pytest.raises(WorkbenchError, match=f"{first} is running") as refused:
        changes.remove(node.workspace, [second, first])
    assert refused.value.hint.startswith(f"`workbench stop {first}`")
    assert order(node) == [first, second]


def test_a_removed_run_keeps_its_folder_and_can_be_queued_again(node: Node) -> None:
    first, second = node.add(node.config(), node.config())
    changes.remove(node.workspace, [first])
    assert order(node) == [second] and node.word(first) == "not started"
    node.queue_again(first)
    assert order(node) == [second, first]


def test_a_queue_that_is_only_looked_at_is_not_written(node: Node) -> None:
    node.add(node.config())
    path = node.workspace.root / QUEUE
    before = path.stat().st_mtime_ns
    with entries.changing(node.workspace) as queue:
        assert len(queue) == 1
    assert path.stat().st_mtime_ns == before
    assert json.loads(path.read_text())["v"] == 1


def test_a_workspace_that_can_only_be_read_is_listed_and_not_changed(
    node: Node, small_disk: Path
) -> None:
    (run,) = node.add(node.config())
    place = Workspace(small_disk / "ws")
    shutil.copytree(node.workspace.root, place.root)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert [line.run for line in overview.look(place).lines] == [run]
    with pytest.raises(WorkbenchError, match="read-only"):
        changes.remove(place, [run])
    with pytest.raises(WorkbenchError, match="read-only"):
        Node(place, node.base).add(node.config())
    with (
        pytest.raises(WorkbenchError, match="read-only"),
        attendance.attending(place, until_empty=False),
    ):
        pass
