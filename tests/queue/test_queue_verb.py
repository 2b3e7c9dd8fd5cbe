from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.queue.conftest import Node
from workbench import cli
from workbench.config import loading
from workbench.queue import attendance, unit
from workbench.queue.attendance import LOG
from workbench.workspace import Workspace

Queue = Callable[..., str]


@pytest.fixture
def config(node: Node) -> str:
    loading.save(node.config(), node.workspace.configs / "small.yaml")
    return "small"


@pytest.fixture
def queue(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> object:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str, fails: bool = False) -> str:
        code = cli.main(["queue", *words, "--workspace", str(node.workspace.root)])
        said = capsys.readouterr()
        assert code == (2 if fails else 0), said.err
        return said.err if fails else said.out

    return run


def test_adding_starts_a_runner_in_the_background_that_ends_with_the_queue(
    node: Node, config: str, queue: Queue
) -> None:
    said = json.loads(queue("add", config, "--set", "lora.rank=4", "--json"))
    (run,) = said["runs"]
    assert said["runner"]["pid"] == node.runner_pid()
    assert "lora:\n" in (node.folder(run) / "config.yaml").read_text()
    again = json.loads(queue("add", config, "--json"))
    assert again["runner"]["pid"] == said["runner"]["pid"]
    node.wait_for_start(run)
    for one in (run, *again["runs"]):
        node.let_go(one)
    eventually(lambda: attendance.current(node.workspace) is None)
    assert [node.word(one) for one in (run, *again["runs"])] == ["finished"] * 2
    log = node.workspace.root / LOG
    # It says so when it is the runner no more.
    eventually(lambda: "ends: the queue is empty" in log.read_text())
    assert f"{run} started on the processor" in log.read_text()


def test_the_list_is_read_at_80_columns_and_says_what_to_do(
    node: Node, config: str, queue: Queue
) -> None:
    assert queue("list") == "The queue is empty. `workbench queue add CONFIG` queues a run.\n"
    said = queue("add", config, config, config, "--no-start", "--set", "job.gpus=64")
    assert said == queue("list")
    assert "The queue has no runner: `workbench queue run` starts what waits." in said
    assert max(len(line) for line in said.splitlines()) <= 80
    assert said.splitlines()[:2] == [
        "  1  small-0001  can't start here: it wants 64 GPUs that nobody uses, and there",
        "                 is no GPU",
    ]
    assert queue("move", "small-0003", "--to", "1").splitlines()[0].startswith("  1  small-0003")
    assert queue("move", "small-0003", "--down").splitlines()[0].startswith("  1  small-0001")
    removed = queue("remove", "small-0001", "small-0002")
    assert "`workbench queue add --resume small-0001` queues it again." in removed
    assert [entry.run for entry in node.queue()] == ["small-0003"]
    queue("add", "--resume", "small-0001", "--no-start")
    assert [entry.run for entry in node.queue()] == ["small-0003", "small-0001"]


def test_the_status_of_a_run_tells_its_place_in_the_queue(
    node: Node, config: str, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    queue("add", config, config, "--no-start", "--set", "job.gpus=64")
    cli.main(["status", "small-0002", "--workspace", str(node.workspace.root)])
    assert "It has not started. Number 2 in the queue: can't start here" in capsys.readouterr().out
    queue("remove", "small-0002")
    cli.main(["status", "small-0002", "--workspace", str(node.workspace.root)])
    assert "queue:" not in capsys.readouterr().out


def test_bad_input_is_told_in_words(node: Node, config: str, queue: Queue) -> None:
    assert "Name the configs to queue." in queue("add", fails=True)
    assert "There is no config nothing" in queue("add", config, "nothing", fails=True)
    assert "lora.rnk" in queue("add", config, "--set", "lora.rnk=4", fails=True)
    assert "leave --set out" in queue("add", "--resume", "x", "--set", "lora.rank=4", fails=True)
    assert "There are no runs" in queue("add", "--resume", "small-0001", fails=True)
    assert "It is empty." in queue("remove", "small-0001", fails=True)
    with pytest.raises(SystemExit):
        queue("move", "small-0001", "--to", "0")
    assert not (node.workspace.root / "queue.json").exists()


def test_the_unit_starts_this_workbench_on_this_workspace_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", "/big disk/100%")
    text = unit.text(Workspace(tmp_path / 'my "work" at 100% $HOME'))
    (line,) = [one for one in text.splitlines() if one.startswith("ExecStart=")]
    words = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words[1:4] == ["-m", "workbench", "queue"]
    assert words[-1].replace("$$", "$") == str(tmp_path / 'my "work" at 100% $HOME')
    assert 'Environment="HF_HOME=/big disk/100%%"' in text
    assert "KillMode=process" in text
