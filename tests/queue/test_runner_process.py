"""The runner as a process: what it lives through, and what it leaves when it doesn't."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.queue.conftest import Gpus, Node
from workbench.errors import WorkbenchError
from workbench.jobs.state import STATE, JobState
from workbench.queue import attendance
from workbench.queue.entries import QUEUE

IDLE = ("GPU-aaaa 81920 400", "GPU-bbbb 81920 400")


def test_without_gpus_queued_runs_run_one_after_another_and_the_runner_ends(node: Node) -> None:
    first, second = node.add(node.config(), node.config())
    runner = node.start_runner("--until-empty")
    node.wait_for_start(first)
    assert node.word(second) == "not started"
    path = node.workspace.root / QUEUE
    whole = path.read_text()
    path.write_text(whole[:40])
    eventually(lambda: f"{path} is not valid JSON" in node.said())
    assert path.read_text() == whole[:40]
    path.write_text(whole)
    node.let_go(second)
    node.end(first)
    assert runner.wait(120) == 0
    assert (node.word(first), node.word(second)) == ("finished", "finished")
    assert node.queue() == []
    ended = JobState.read(node.folder(first))
    (start,) = node.starts(second)
    assert ended and ended.ended and start["t"] > ended.ended
    assert f"{second} finished: Finished." in node.said()
    assert "Traceback" not in node.said()


def test_a_runner_that_ends_or_is_killed_leaves_its_runs_and_the_next_knows_who_holds_what(
    node: Node, gpus: Gpus
) -> None:
    gpus.show(*IDLE)
    (first,) = node.add(node.config())
    runner = node.start_runner()
    node.wait_for_start(first)
    runner.send_signal(signal.SIGHUP)
    second, third = node.add(node.config(), node.config())
    assert node.wait_for_start(second)["gpus"] == "GPU-bbbb"
    runner.terminate()
    assert runner.wait(120) == 0
    assert node.runner_pid() is None
    killed = node.start_runner()
    killed.kill()
    killed.wait()
    assert node.runner_pid() is None
    assert (node.word(first), node.word(second)) == ("running", "running")
    node.end(first)
    node.start_runner()
    assert node.wait_for_start(third)["gpus"] == "GPU-aaaa"
    assert len(node.starts(first)) == len(node.starts(second)) == 1


@pytest.mark.parametrize("place", ["job.json", STATE])
def test_a_runner_killed_while_it_starts_a_run_has_it_started_once(node: Node, place: str) -> None:
    (run,) = node.add(node.config())
    node.let_go(run)
    runner = node.start_runner()
    eventually((node.folder(run) / place).exists)
    runner.kill()
    runner.wait()
    assert node.start_runner("--until-empty").wait(120) == 0
    assert node.word(run) == "finished"
    assert len(node.starts(run)) == 1


def test_a_runner_killed_at_random_moments_starts_every_run_once_and_in_order(node: Node) -> None:
    made = node.add(*[node.config() for _ in range(3)])
    for run in made:
        node.let_go(run)
    dice = random.Random(7)
    for _ in range(3):
        runner = node.start_runner()
        # The moment itself is what is tried out.
        time.sleep(dice.uniform(0, 0.4))
        runner.kill()
        runner.wait()
    assert node.start_runner("--until-empty").wait(120) == 0
    assert [node.word(run) for run in made] == ["finished"] * 3
    starts = [node.starts(run) for run in made]
    assert [len(each) for each in starts] == [1] * 3
    times = [each[0]["t"] for each in starts]
    assert times == sorted(times)


def test_a_second_runner_is_told_who_is_at_it(node: Node) -> None:
    with attendance.attending(node.workspace, until_empty=False):
        second = node.run("queue", "run")
    assert second.returncode == 2
    assert f"has a runner already: pid {os.getpid()}." in second.stderr


def test_a_runner_on_another_machine_counts_as_long_as_it_gives_signs_of_life(node: Node) -> None:
    mark = node.workspace.root / "queue-runner.json"
    with attendance.attending(node.workspace, until_empty=False):
        body = json.loads(mark.read_text())
    mark.write_text(json.dumps({**body, "host": "elsewhere"}))
    with (
        pytest.raises(WorkbenchError, match=f"pid {os.getpid()} on elsewhere"),
        attendance.attending(node.workspace, until_empty=False),
    ):
        pass
    os.utime(mark, (0, 0))
    with attendance.attending(node.workspace, until_empty=False):
        assert node.runner_pid() == os.getpid()


def test_when_the_machine_goes_down_the_runs_are_pre_empted(node: Node, tmp_path: Path) -> None:
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\necho stopping\nexit 1\n")
    systemctl.chmod(0o755)
    (run,) = node.add(node.config())
    path = f"{systemctl.parent}:{os.environ['PATH']}"
    runner = node.start_runner(PATH=path, INVOCATION_ID="1")
    node.wait_for_start(run)
    runner.terminate()
    assert runner.wait(120) == 0
    assert node.word(run) == "pre-empted"
    assert [entry.run for entry in node.queue()] == [run]
