"""The real loop in two processes by DeepSpeed, held against the same in one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.harness import (
    ask_deepspeed,
    configure,
    curve,
    events,
    needs_deepspeed,
    run,
)
from tests.training.test_two_loops import DRAWING, examples, play, result, told, uneven
from workbench.jobs.events import Evaluated, Skipped
from workbench.training import saving

pytestmark = needs_deepspeed

HOST = {"device": "cpu"}
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "groups": (1, {}),
    "new tokens": (2, {"offload_optimizer": HOST}),
    "recomputed": (3, {"offload_optimizer": HOST, "offload_param": HOST}),
    "whole head": (3, {}),
}
"""What is trained, and by which stage of ZeRO."""
DRAWN = {2: "drawing, 2", 3: "drawing, 3"}


def settings(kind: str) -> dict[str, Any]:
    return uneven(kind, checkpoints={"every": 2, "keep": 9})


def cases(folder: Path) -> list[dict[str, Any]]:
    """What `in_loops` does, in this order."""
    found = []

    def add(name: str, story: str, config: dict[str, Any], stage: int, **zero: Any) -> None:
        (own := folder / f"{name}.asked").mkdir()
        job = {"processes": 2, "accelerate_config": str(ask_deepspeed(own, stage, **zero))}
        found.append({"name": name, "story": story, "config": {**config, "job": job}})

    for kind, (stage, zero) in KINDS.items():
        add(kind, "whole_run", settings(kind), stage, **zero)
    for stage, name in DRAWN.items():
        add(name, "resumed", DRAWING, stage)
    add("given up", "given_up", settings("groups"), 1)
    each = {"training": {"packing": False}, "checkpoints": {"every": 1, "keep": 9}}
    add("spoilt", "spoilt_on_one", each, 2)
    add("patience", "losing_patience", {"evaluation": {"every": 1, "patience": 2}}, 3)
    add("alone before", "whole_run", DRAWING, 3)
    return found


@pytest.fixture(scope="module")
def together(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the runs of two processes, by the names of `cases`."""
    folder = tmp_path_factory.mktemp("together")
    play(folder, cases(folder), _tiny_model, begun="alone before")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learnt_is_what_one_process_learns(
    kind: str, together: Path, base: Path, tmp_path: Path
) -> None:
    loop, _ = run(tmp_path, configure(base, **settings(kind)))
    (tmp_path / "result").mkdir()
    saving.save_result(loop.model, tmp_path / "result", saving.trained_tensors(loop.model))
    theirs = together / kind
    for one, two in zip(curve(tmp_path), curve(theirs), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    one, two = result(tmp_path), result(theirs)
    assert one.keys() == two.keys()
    # Adam divides by the gradient's own size, so rounding shows a little more.
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 3e-4
    for first, second in zip(events(tmp_path, Evaluated), events(theirs, Evaluated), strict=True):
        assert second.loss == pytest.approx(first.loss, rel=1e-5)
    assert examples(theirs) == pytest.approx(examples(tmp_path), rel=1e-5, abs=1e-5)
    share = 0.5 if KINDS[kind][0] == 3 else 1.0
    assert [t["held"] for t in told(together, kind)] == pytest.approx([share] * 2, abs=0.01)


@pytest.mark.parametrize("name", DRAWN.values())
def test_ranks_draw_their_own_numbers_and_a_resume_draws_the_same(
    name: str, together: Path
) -> None:
    first, second = told(together, name)
    assert first["first"]["drawn"] != second["first"]["drawn"]
    at = together / name
    assert curve(at / "cut") == curve(at / "first")[4:]
    adapter = "result/adapter_model.safetensors"
    assert (at / "cut" / adapter).read_bytes() == (at / "first" / adapter).read_bytes()


def test_a_loss_that_is_no_number_on_one_rank_is_skipped_on_all(together: Path) -> None:
    folder = together / "spoilt"
    (skipped,) = events(folder, Skipped)
    assert (skipped.step, skipped.what) == (2, "loss")
    before, after = (
        load_file(folder / "checkpoints" / f"step-{step}" / saving.ADAPTER_FILE) for step in (1, 2)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [step for step, *_ in curve(folder)] == [1, 2, 3, 4, 5, 6]


def test_a_step_that_is_given_up_leaves_nothing(together: Path) -> None:
    assert curve(together / "given up") == curve(together / "groups")


def test_the_best_is_taken_by_all(together: Path) -> None:
    for rank in told(together, "patience"):
        assert rank["outcome"] == [5, False, False] and rank["best"] == 3
    best = load_file(together / "patience" / "checkpoints" / "step-3" / saving.ADAPTER_FILE)
    taken = result(together / "patience")
    assert all(torch.equal(tensor, best[name]) for name, tensor in taken.items())


def test_a_run_goes_on_with_and_without_it(together: Path, tmp_path: Path, base: Path) -> None:
    assert [step for step, *_ in curve(together / "alone before")] == [5, 6]
    source = together / "recomputed"
    shutil.copytree(source / "checkpoints" / "step-2", tmp_path / "checkpoints" / "step-2")
    _, outcome = run(tmp_path, configure(base, **settings("recomputed")))
    assert (outcome.step, outcome.stopped) == (4, False)
    for one, two in zip(curve(tmp_path), curve(source)[2:], strict=True):
        assert two == pytest.approx(one, rel=1e-5)
