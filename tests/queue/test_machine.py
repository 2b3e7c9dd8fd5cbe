from __future__ import annotations

import pytest

from workbench.hardware.nvml import Occupancy
from workbench.queue.choice import Gpu, Machine
from workbench.queue.machine import hold, select

GPUS = [Occupancy(i, f"GPU-{name}", 1, 1, ()) for i, name in enumerate(("aa", "ab", "b"))]


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("0,2", [0, 2]),
        (" 2 , 0 ", [2, 0]),
        ("GPU-b", [2]),
        ("GPU-ab,1", [1]),
        # CUDA stops at the first that isn't there; one that could be several is none.
        ("0,7,1", [0]),
        ("GPU-a", []),
        ("MIG-1234", []),
    ],
)
def test_cuda_visible_devices_lets_through_what_cuda_would(
    visible: str | None, chosen: list[int]
) -> None:
    assert [gpu.index for gpu in select(visible, GPUS)] == chosen


def machine(*names: str) -> Machine:
    return Machine(tuple(Gpu(i, name, 1, 1) for i, name in enumerate(names)))


def test_a_run_holds_what_it_was_given_or_else_all_there_is() -> None:
    held = hold(machine("a", "b"), [("x", {"b"}), ("y", set())])
    assert [gpu.run for gpu in held.gpus] == ["", "x"] and held.run_on_cpu == "y"
    held = hold(machine("a", "b"), [("x", None)])
    assert [gpu.run for gpu in held.gpus] == ["x", "x"] and held.run_on_cpu == ""


def test_without_gpus_a_run_that_was_given_nothing_holds_the_processor() -> None:
    assert hold(Machine(), [("x", None)]).run_on_cpu == "x"
    # They are there, only not to be seen at the moment: it will be on them.
    assert hold(Machine(unseen="no driver"), [("x", None)]).run_on_cpu == ""
