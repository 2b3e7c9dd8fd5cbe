"""The real loop in two processes, DDP and FSDP2, held against the same in one."""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training import two_ranks
from tests.training.harness import LOG, configure, curve, events, run
from workbench.jobs.events import (
    CheckpointSaved,
    Evaluated,
    Notice,
    Paused,
    Rehearsed,
    Skipped,
    Step,
    WentOn,
)
from workbench.jobs.log import rank_log, read_all
from workbench.learning import unprompted
from workbench.training import saving

SHARDINGS = ("none", "fsdp")
Sections = dict[str, dict[str, Any]]

# 11 rows by 10: every second step has a single row, and the other rank none.
UNEVEN = {"batch_size": 5, "accumulation": 2, "max_steps": 4}
SETTINGS: dict[str, Sections] = {
    # Two groups of weights; clipped at each step; matrices decay.
    "groups": {
        "lora": {"plus_ratio": 4.0},
        "training": {
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "max_gradient_norm": 0.3,
            "micro_batch": 1,
        },
    },
    "recomputed": {"training": {"gradient_checkpointing": True}},
    "packed": {},
    "padded": {"training": {"packing": False}},
    "row by row": {"training": {"micro_batch": 1}},
    "auto": {"training": {"micro_batch": "auto"}},
    "tokens": {"training": {"step_tokens": 560, "micro_batch_tokens": 200}},
    "nf4": {"model": {"quantization": "nf4"}, "training": {"gradient_checkpointing": True}},
    "full": {"training": {"method": "full", "learning_rate": 1e-3}},
    "bfloat16": {"model": {"dtype": "bfloat16"}},
    "dora": {"lora": {"dora": True}},
    "pissa": {"lora": {"initialisation": "pissa"}},
    "new tokens": {"model": {"new_tokens": ["<new>"]}},
    "whole head": {"lora": {"modules_to_save": ["lm_head"]}},
}
KINDS = {
    "none": ["packed", "padded", "row by row", "auto", "tokens", "nf4"],
    "fsdp": [kind for kind in SETTINGS if kind not in ("auto", "tokens")],
}
DRAWING: Sections = {
    "lora": {"dropout": 0.3},
    "training": {"warmup_ratio": 0.3, "neftune_alpha": 5.0},
    "checkpoints": {"every": 2, "keep": 9},
}

# Noise is by the length of each row: here a rank has a batch of none.
DRAWING_PADDED: Sections = {
    **DRAWING,
    "training": {**DRAWING["training"], **UNEVEN, "packing": False},
}


def uneven(kind: str, **sections: dict[str, Any]) -> Sections:
    own = SETTINGS[kind]
    training = {**UNEVEN, **own.get("training", {})}
    return {**own, "training": training, "evaluation": {"every": 2}, **sections}


def cases() -> list[dict[str, Any]]:
    """What `in_loops` does, in this order."""
    found = []

    def add(name: str, story: str, sharding: str, config: Sections, **options: Any) -> None:
        config = {**config, "job": {"processes": 2, "sharding": sharding}}
        found.append({"name": f"{name}, {sharding}", "story": story, "config": config, **options})

    for sharding in SHARDINGS:
        for kind in KINDS[sharding]:
            add(kind, "whole_run", sharding, uneven(kind))
        add("drawing", "again_from_the_middle", sharding, DRAWING)
        add("drawing padded", "whole_run", sharding, DRAWING_PADDED)
        add("commanded", "commanded", sharding, DRAWING)
        each = {"training": {"packing": False}, "checkpoints": {"every": 1, "keep": 9}}
        add("spoilt", "spoilt_on_one", sharding, each)
        patient = {"evaluation": {"every": 1, "patience": 2}, "checkpoints": {"keep": 9}}
        add("patience", "losing_patience", sharding, patient)
    add("node", "wanted_node", "none", {"training": {"micro_batch": 1, "packing": False}})
    add("alone before", "whole_run", "fsdp", DRAWING)
    add("elsewhere", "begun_elsewhere", "fsdp", SETTINGS["pissa"], options={"validation": 4})
    return found


@pytest.fixture(scope="module")
def together(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the runs of two processes, by the names of `cases`."""
    folder = tmp_path_factory.mktemp("together")
    play(folder, cases(), _tiny_model, begun="alone before, fsdp")
    return folder


def play(folder: Path, cases: list[dict[str, Any]], base: Path, *, begun: str) -> None:
    """Have two processes go through `cases` in `folder`; the case `begun` takes up a checkpoint of
    one process."""
    alone = folder / "by one process"
    run(alone, configure(base, **DRAWING))
    shutil.copytree(alone / "checkpoints" / "step-4", folder / begun / "checkpoints" / "step-4")
    asked = [{**case, "base": str(base)} for case in cases]
    (folder / "cases.json").write_text(json.dumps(asked))
    two_ranks.run("tests.training.in_loops", folder)


def told(folder: Path, name: str) -> list[Any]:
    """What each rank told of a case."""
    return [json.loads((folder / f"told-{rank}.json").read_text())[name] for rank in (0, 1)]


def result(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "result").glob("*.safetensors")
    return load_file(file)


@pytest.fixture(scope="module")
def alone(_tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the run of a kind in this process, once, and gives its folder."""

    @functools.cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("alone")
        loop, _ = run(folder, configure(_tiny_model, **uneven(kind)))
        (folder / "result").mkdir()
        saving.save_result(loop.model, folder / "result", saving.trained_tensors(loop.model))
        return folder

    return make


@pytest.mark.parametrize(
    ("kind", "sharding"), [(kind, sharding) for sharding in SHARDINGS for kind in KINDS[sharding]]
)
def test_what_is_learnt_is_what_one_process_learns(
    kind: str, sharding: str, together: Path, alone: Callable[[str], Path]
) -> None:
    ours, theirs = alone("packed" if kind == "auto" else kind), together / f"{kind}, {sharding}"
    # bfloat16 rounds a sum that is taken in another order to another number.
    near = 1e-2 if kind == "bfloat16" else 1e-5
    assert [s for s, *_ in curve(theirs)] == [1, 2, 3, 4]
    for one, two in zip(curve(ours), curve(theirs), strict=True):
        assert two == pytest.approx(one, rel=near)
    one, two = result(ours), result(theirs)
    assert one.keys() == two.keys()
    # Adam divides by the gradient's own size, so rounding shows a little more.
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 10 * near
    for first, second in zip(events(ours, Evaluated), events(theirs, Evaluated), strict=True):
        assert second.loss == pytest.approx(first.loss, rel=near)
        assert (second.step, second.rows) == (first.step, first.rows)
    losses = examples(theirs)
    assert Counter(epoch for epoch, _ in losses) == {1: 11, 2: 11}
    assert losses == pytest.approx(examples(ours), rel=near, abs=1e-5)
    bare = unprompted.read(theirs, 11)
    assert bare is not None
    assert bare == pytest.approx(unprompted.read(ours, 11), rel=near, abs=1e-5)


def examples(folder: Path) -> dict[tuple[int, int], float]:
    """The loss of each row in each epoch, each of which is there once."""
    lines = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    found = {(line["epoch"], line["row"]): line["loss"] for line in lines}
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("kind", KINDS["fsdp"])
def test_each_rank_holds_half_of_what_is_spread(kind: str, together: Path) -> None:
    assert [t["held"] for t in told(together, f"{kind}, fsdp")] == pytest.approx(
        [0.5] * 2, abs=0.01
    )


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_the_first_rank_alone_writes_the_run(sharding: str, together: Path) -> None:
    folder = together / f"packed, {sharding}"
    numbers = [record.seq for record in read_all(folder / LOG)]
    assert numbers == list(range(len(numbers)))
    others = [type(record.event) for record in read_all(folder / rank_log(1))]
    assert Rehearsed in others and not {Step, Evaluated, CheckpointSaved} & set(others)


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_ranks_draw_their_own_numbers_and_a_resume_draws_the_same(
    sharding: str, together: Path
) -> None:
    first, second = told(together, f"drawing, {sharding}")
    assert first["first"]["drawn"] != second["first"]["drawn"]
    at = together / f"drawing, {sharding}"
    assert curve(at / "same") == curve(at / "first")
    assert curve(at / "cut") == curve(at / "first")[4:]
    adapter = "result/adapter_model.safetensors"
    for again in ("same", "cut"):
        assert (at / again / adapter).read_bytes() == (at / "first" / adapter).read_bytes()
    assert events(at / "cut", Notice) == []


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_rank_without_rows_draws_no_noise_for_them(sharding: str, together: Path) -> None:
    assert [step for step, *_ in curve(together / f"drawing padded, {sharding}")] == [1, 2, 3, 4]
    first, second = told(together, f"drawing padded, {sharding}")
    assert first["sum"] == second["sum"] and math.isfinite(first["sum"])


def test_a_run_goes_on_in_another_number_of_processes_and_says_what_differs(
    together: Path, tmp_path: Path, base: Path
) -> None:
    source = together / "drawing, fsdp" / "cut" / "checkpoints" / "step-4"
    shutil.copytree(source, tmp_path / "checkpoints" / "step-4")
    _, outcome = run(tmp_path, configure(base, **DRAWING))
    assert (outcome.step, outcome.stopped) == (6, False)
    (notice,) = events(tmp_path, Notice)
    assert "step 4 is of 2 processes, and this start has 1 process: random" in notice.text
    (notice,) = events(together / "alone before, fsdp", Notice)
    assert "step 4 is of 1 process, and this start has 2 processes" in notice.text
    assert [step for step, *_ in curve(together / "alone before, fsdp")] == [5, 6]


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_a_loss_that_is_no_number_on_one_rank_is_skipped_on_all(
    sharding: str, together: Path
) -> None:
    folder = together / f"spoilt, {sharding}"
    (skipped,) = events(folder, Skipped)
    assert skipped.step == 2 and [row["loss"] is None for row in skipped.rows].count(True) == 2
    before, after = (
        load_file(folder / "checkpoints" / f"step-{step}" / saving.ADAPTER_FILE) for step in (1, 2)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    first, second = told(together, f"spoilt, {sharding}")
    assert first == second and first["outcome"] == [6, False, False]


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_what_a_person_asks_is_done_by_all_at_one_step(sharding: str, together: Path) -> None:
    folder, whole = together / f"commanded, {sharding}", together / f"drawing, {sharding}" / "first"
    first, second = told(together, f"commanded, {sharding}")
    assert first["stopped at"] == second["stopped at"] in (3, 4)
    (paused,), (went_on,) = events(folder, Paused), events(folder, WentOn)
    assert paused.step in (1, 2) and went_on.seconds > 0
    saved = {event.step: event.reason for event in events(folder, CheckpointSaved)}
    assert saved[first["stopped at"]] == "stop" and paused.step in saved
    assert [event.step for event in events(folder, Evaluated)] == [0, paused.step, 6]
    assert curve(folder) == curve(whole)
    assert result(folder).keys() == result(whole).keys()
    assert all(torch.equal(t, result(whole)[name]) for name, t in result(folder).items())


def test_sigterm_to_any_rank_is_acted_on_by_all_after_the_step(together: Path) -> None:
    first, second = told(together, "node, none")
    assert first["outcome"] == second["outcome"] == [2, True, True]
    (saved,) = events(together / "node, none", CheckpointSaved)
    assert (saved.step, saved.reason) == (2, "pre-empted")


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_all_lose_their_patience_at_one_step_and_take_the_best(
    sharding: str, together: Path
) -> None:
    folder = together / f"patience, {sharding}"
    for rank in told(together, f"patience, {sharding}"):
        assert rank["outcome"] == [5, False, False] and rank["best"] == 3
    assert "has not fallen below that of step 3 in 2" in events(folder, Notice)[-1].text
    best = load_file(folder / "checkpoints" / "step-3" / saving.ADAPTER_FILE)
    assert all(torch.equal(tensor, best[name]) for name, tensor in result(folder).items())


def test_a_beginning_that_came_out_otherwise_is_taken_up_in_shards(together: Path) -> None:
    first, _ = told(together, "elsewhere, fsdp")
    assert first["after"] == pytest.approx(first["before"], rel=1e-5)
