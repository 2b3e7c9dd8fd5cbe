"""The runner with real runs; only the training itself and the driver are stand-ins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.queue.conftest import Gpus, Node
from workbench.errors import WorkbenchError
from workbench.jobs.launch import OFFLINE, read_job
from workbench.queue import machine
from workbench.tracking import runs
from workbench.workspace import Workspace

IDLE = ("GPU-aaaa 81920 400", "GPU-bbbb 81920 400")


def test_runs_share_out_the_gpus_and_wait_for_other_peoples_processes(
    node: Node, gpus: Gpus
) -> None:
    gpus.show(IDLE[0], f"GPU-bbbb 81920 61840 {os.getpid()}:61440")
    first, second, cpu = node.add(
        node.config(), node.config(gpu_memory=40), node.config("cpu", gpus=0)
    )
    runner = node.runner()
    assert runner.look()
    assert node.wait_for_start(first)["gpus"] == "GPU-aaaa"
    assert read_job(node.folder(first)).environment == {
        **OFFLINE,
        "CUDA_VISIBLE_DEVICES": "GPU-aaaa",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert node.wait_for_start(cpu)["gpus"] == ""
    assert node.line(first).text == "running on GPU 0"
    assert node.line(cpu).text == "running on the processor"
    text = node.line(second).text
    assert text.startswith(
        f"waits for 1 GPU with 40 GiB free: GPU 0 runs {first}; "
        f"GPU 1 has 20 GiB free (pid {os.getpid()} of "
    )
    assert text.endswith(" holds 60 GiB)")
    runner.look()
    assert node.word(second) == "not started"
    gpus.show(IDLE[0], "GPU-bbbb 81920 40000")
    runner.look()
    assert node.wait_for_start(second)["gpus"] == "GPU-bbbb"
    assert node.word(first) == "running"


def test_a_run_started_by_hand_holds_the_gpus_that_it_may_see(
    node: Node, gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.show(*IDLE)
    by_hand, everywhere = node.create(), node.create()
    with monkeypatch.context() as patch:
        patch.setenv(machine.VISIBLE, "0")
        runs.start(node.folder(by_hand))
    (first, second) = node.add(node.config(), node.config())
    runner = node.runner()
    runner.look()
    assert node.wait_for_start(first)["gpus"] == "GPU-bbbb"
    assert node.line(second).text == (
        f"waits for 1 GPU that nobody uses: GPU 0 runs {by_hand}; GPU 1 runs {first}"
    )
    # Without a limit of its own it may be on any of them.
    node.end(by_hand)
    node.end(first)
    runs.start(node.folder(everywhere))
    runner.look()
    assert node.line(second).text == (
        f"waits for 1 GPU that nobody uses: GPU 0 runs {everywhere}; GPU 1 runs {everywhere}"
    )


def test_only_the_gpus_that_the_runner_may_see_are_used(
    node: Node, gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.show(*IDLE)
    monkeypatch.setenv(machine.VISIBLE, "GPU-b")
    first, second = node.add(node.config(), node.config())
    node.runner().look()
    assert node.wait_for_start(first)["gpus"] == "GPU-bbbb"
    assert node.line(second).text == f"waits for 1 GPU that nobody uses: GPU 1 runs {first}"


def test_a_driver_that_is_not_there_yet_is_waited_for(node: Node, gpus: Gpus) -> None:
    (run,) = node.add(node.config())
    runner = node.runner()
    assert runner.look()
    assert "waits for 1 GPU that nobody uses: The NVIDIA driver does not answer" in node.said()
    gpus.show(IDLE[0])
    runner.look()
    assert node.wait_for_start(run)["gpus"] == "GPU-aaaa"


def test_a_pre_empted_run_goes_on_once_and_one_that_failed_or_was_stopped_leaves(
    node: Node,
) -> None:
    first, second, third = node.add(*[node.config() for _ in range(3)])
    runner = node.runner()
    runner.look()
    node.wait_for_start(first)
    node.terminate(first)
    node.wait(first, "pre-empted")
    assert node.line(first).position == 1
    node.look_until_started(runner, first, 2)
    (node.folder(first) / "fail").touch()
    node.end(first)
    node.look_until_started(runner, second, 1)
    assert (node.word(first), len(node.starts(first))) == ("failed", 2)
    node.stop(second)
    node.wait(second, "stopped")
    node.look_until_started(runner, third, 1)
    assert [entry.run for entry in node.queue()] == [third]
    assert f"{first} goes on (it was pre-empted)" in node.said()
    assert f"{first} failed: Row 7 is bad." in node.said()


def test_a_run_that_a_reboot_cut_off_goes_on_and_one_that_was_killed_does_not(node: Node) -> None:
    first, second = node.add(node.config(), node.config())
    runner = node.runner()
    runner.look()
    node.wait_for_start(first)
    node.cut_off(first, boot="the-boot-before")
    node.look_until_started(runner, first, 2)
    assert f"{first} goes on (it was dead)" in node.said()
    node.cut_off(first)
    node.look_until_started(runner, second, 1)
    assert (node.word(first), len(node.starts(first))) == ("dead", 2)


def test_a_run_that_ended_before_it_was_queued_is_started_and_not_taken_for_done(
    node: Node,
) -> None:
    run = node.create()
    runs.start(node.folder(run))
    node.wait_for_start(run)
    node.stop(run)
    node.wait(run, "stopped")
    node.queue_again(run)
    runner = node.runner()
    node.look_until_started(runner, run, 2)
    node.end(run)
    eventually(lambda: not runner.look())
    assert node.queue() == []


def test_a_run_that_cannot_be_started_is_told_kept_and_does_not_block_the_others(
    node: Node,
) -> None:
    gone, spoilt, good = node.add(*[node.config() for _ in range(3)])
    shutil.rmtree(node.folder(gone))
    config = node.folder(spoilt) / runs.CONFIG
    config.write_text("training: [")
    runner = node.runner()
    runner.look()
    runner.look()
    node.wait_for_start(good)
    assert (node.line(gone).status, node.line(gone).position) == ("broken", None)
    assert node.line(gone).text.startswith(f"There is no run {gone}")
    assert f"could not be started: {config}, line 1: it is not valid YAML" in node.line(spoilt).text
    assert [entry.run for entry in node.queue()] == [gone, spoilt, good]
    assert node.said().count(f"{spoilt} could not be started") == 1


@contextmanager
def _full(disk: Path) -> Iterator[None]:
    fill = disk / "fill"
    with suppress(OSError), fill.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1024))
    yield
    fill.unlink()


def test_a_full_disk_is_told_and_waited_for(node: Node, small_disk: Path) -> None:
    (run,) = node.add(node.config())
    shutil.copytree(node.workspace.root, small_disk / "ws")
    full = Node(Workspace(small_disk / "ws"), node.base)
    runner = full.runner()
    try:
        with _full(small_disk):
            with pytest.raises(WorkbenchError, match="disk is full"):
                runner.look()
            with pytest.raises(WorkbenchError, match="disk is full"):
                full.add(full.config())
            assert [path.name for path in full.workspace.runs.iterdir()] == [run]
            assert full.line(run).status == "waiting"
        runner.look()
        full.wait_for_start(run)
    finally:
        full.clean_up()
