"""Steps and micro-batches by tokens: what they hold, and that nothing else depends on it."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import adapter, build, configure, curve, encode, events, run
from workbench.config.memory import largest_work
from workbench.config.schema import RunConfig, Training
from workbench.config.steps import StepSize, an_epoch
from workbench.data.lengths import LengthCounts, Lengths
from workbench.jobs.events import Rehearsed, Step
from workbench.training.batches import Batch, Schedule
from workbench.training.loss import TrainedTokenLoss
from workbench.training.unheeded import outgrown, unheeded

ROWS = 11


def schedule(lengths: list[int], processes: int = 1, **training: Any) -> Schedule:
    return Schedule(lengths, Training.model_validate(training), processes)


def some_lengths(seed: int, rows: int = 60, longest: int = 200) -> list[int]:
    chance = random.Random(seed)
    return [chance.randint(2, longest) for _ in range(rows)]


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("budget", [16, 150, 900, 10**7])
def test_a_step_takes_rows_until_the_next_would_be_too_much(budget: int, processes: int) -> None:
    lengths = some_lengths(budget)
    plan = schedule(lengths, processes, step_tokens=budget, epochs=3, seed=7)
    by_rows = schedule(lengths, batch_size=len(lengths), accumulation=1, seed=7)
    step = 0
    for epoch in range(3):
        taken = [plan.rows_of(step + n) for n in range(plan.steps_in(epoch))]
        order = [row for rows in taken for row in rows]
        assert order == by_rows.rows_of(epoch), "each row once, in the order of the epoch"
        for place, rows in enumerate(taken):
            tokens = sum(lengths[row] for row in rows)
            assert tokens <= budget or len(rows) <= processes
            if place + 1 < len(taken):
                assert len(rows) >= processes
                assert tokens + lengths[taken[place + 1][0]] > budget
            assert plan.epoch_of(step) == epoch + 1
            step += 1
            assert plan.epoch_after(step) == pytest.approx(epoch + (place + 1) / len(taken))
    assert step == plan.total_steps
    assert plan.epochs == 3


def test_it_is_a_function_of_seed_and_lengths_wherever_it_is_entered() -> None:
    lengths = some_lengths(1)
    body: dict[str, Any] = {"step_tokens": 500, "epochs": 4}
    whole = schedule(lengths, **body, seed=5)
    forwards = [whole.rows_of(step) for step in range(whole.total_steps)]
    again = schedule(lengths, **body, seed=5)
    assert [again.rows_of(s) for s in reversed(range(again.total_steps))] == forwards[::-1]
    # By a number of steps later epochs are planned when they are come to, and are the same.
    by_steps = schedule(lengths, step_tokens=500, max_steps=len(forwards), seed=5)
    assert by_steps.rows_of(33) == forwards[33]
    assert [by_steps.rows_of(step) for step in range(len(forwards))] == forwards
    assert schedule(lengths, **body, seed=6).rows_of(0) != forwards[0]
    assert len({whole.steps_in(epoch) for epoch in range(4)}) > 1, "epochs differ in their steps"


@pytest.mark.parametrize("epochs", [0.25, 1, 1.5, 2.001, 1e-9])
def test_parts_of_an_epoch_are_parts_of_its_own_steps(epochs: float) -> None:
    lengths = some_lengths(2)
    plan = schedule(lengths, step_tokens=400, epochs=epochs)
    whole = int(epochs)
    before = sum(plan.steps_in(epoch) for epoch in range(whole))
    part = (epochs - whole) * plan.steps_in(whole)
    assert 0 <= plan.total_steps - before - part < 1.001
    assert plan.epochs == pytest.approx(epochs, abs=1 / plan.steps_in(whole))


def test_a_great_number_of_steps_is_not_planned_to_be_told() -> None:
    plan = schedule([100] * 10, step_tokens=250, max_steps=10**9)
    assert (plan.total_steps, plan.epochs) == (10**9, 2 * 10**8)


@pytest.mark.parametrize("budget", [450, 2000, 9000])
def test_how_many_steps_an_epoch_has_is_told_before_the_rows_are_encoded(budget: int) -> None:
    lengths = some_lengths(3, rows=4000, longest=300)
    counts = LengthCounts()
    for length in lengths:
        counts.add(length, (1, length))
    known = Lengths(counts.counts)
    body = {"data": {"max_length": 300}, "training": {"step_tokens": budget}}
    config = RunConfig.model_validate(body)
    told = an_epoch(config, len(lengths), known)
    real = schedule(lengths, step_tokens=budget).total_steps
    assert told is not None and told.steps == pytest.approx(real, rel=0.02)
    assert told.tokens == sum(lengths)
    assert an_epoch(config, len(lengths), None) is None
    fewer = an_epoch(config, 2000, known)
    assert fewer is not None and fewer.steps == pytest.approx(real / 2, rel=0.03)
    # Of rows that are cut at 100 tokens.
    cut = config.model_copy(
        update={"data": config.data.model_copy(update={"max_length": 100, "too_long": "truncate"})}
    )
    told = an_epoch(cut, len(lengths), known)
    real = schedule([min(100, n) for n in lengths], step_tokens=budget).total_steps
    assert told is not None and told.steps == pytest.approx(real, rel=0.02)
    rows = an_epoch(RunConfig(), 100, None)
    assert rows is not None and (rows.steps, rows.tokens_a_step) == (7, None)


def test_a_step_in_words() -> None:
    assert StepSize.of(Training()).in_words() == "16 rows a step"
    assert StepSize.of(Training(batch_size=1, accumulation=1)).in_words() == "1 row a step"
    assert StepSize.of(Training(step_tokens=32768)).in_words() == "at most 32,768 tokens a step"


def test_what_a_budget_can_not_do_is_told() -> None:
    config = RunConfig.model_validate(
        {"training": {"step_tokens": 100, "micro_batch_tokens": 50, "accumulation": 2}}
    )
    steps, micro = outgrown(config, [20, 60, 101, 102])
    assert (
        steps == "2 rows have more tokens than training.step_tokens, 100: a step with one has more."
    )
    assert micro.startswith("3 rows have more tokens than training.micro_batch_tokens, 50")
    assert list(outgrown(RunConfig(), [5000])) == []
    (told,) = unheeded(config, 10, 1)
    assert told.startswith("training.accumulation (2) does nothing")


def by_chance(base: Path, **training: Any) -> RunConfig:
    """Dropout and noise: what random numbers differ would show."""
    return configure(
        base,
        lora={"dropout": 0.3},
        training={"neftune_alpha": 5.0, "max_steps": None, **training},
        evaluation={"every": 3},
        checkpoints={"every": 1, "keep": 99},
    )


def test_steps_of_the_same_rows_are_the_same_steps(tmp_path: Path, base: Path) -> None:
    """By tokens as by rows, to the bit: where a seed and a budget give 4, 4 and 3 rows."""
    lengths = [len(row) for row in encode(base, ROWS)]

    def alike(seed: int, budget: int) -> bool:
        plan = schedule(lengths, step_tokens=budget, epochs=2, seed=seed)
        return [len(plan.rows_of(step)) for step in range(plan.total_steps)] == [4, 4, 3] * 2

    choices = ((seed, budget) for seed in range(500) for budget in range(180, 320, 10))
    seed, budget = next(choice for choice in choices if alike(*choice))
    one, _ = run(tmp_path / "rows", by_chance(base, epochs=2, seed=seed))
    settings = {"epochs": 2, "seed": seed, "step_tokens": budget}
    two, _ = run(tmp_path / "tokens", by_chance(base, **settings))
    assert curve(tmp_path / "rows") == curve(tmp_path / "tokens") != []
    assert [s.epoch for s in events(tmp_path / "rows", Step)] == [
        s.epoch for s in events(tmp_path / "tokens", Step)
    ]
    ours, theirs = adapter(one), adapter(two)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_been(tmp_path: Path, base: Path) -> None:
    config = by_chance(base, epochs=2.5, step_tokens=150, warmup_ratio=0.2)
    whole, outcome = run(tmp_path / "whole", config)
    plan = whole.schedule
    cut = plan.steps_in(0) + 2
    assert plan.steps_in(0) < cut < outcome.step == plan.total_steps
    kept = tmp_path / "cut" / "checkpoints" / f"step-{cut}"
    shutil.copytree(tmp_path / "whole" / "checkpoints" / kept.name, kept)
    resumed, _ = run(tmp_path / "cut", config)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")[cut:]
    ours, theirs = adapter(whole), adapter(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_row_is_learnt_once_an_epoch(tmp_path: Path, base: Path) -> None:
    run(tmp_path, by_chance(base, epochs=2, step_tokens=150, micro_batch_tokens=100))
    lines = (tmp_path / "examples.jsonl").read_text().splitlines()
    seen = Counter((line["epoch"], line["row"]) for line in map(json.loads, lines))
    assert seen == Counter((epoch, row) for epoch in (1, 2) for row in range(1, ROWS + 1))
    tokens = [step.tokens for step in events(tmp_path, Step)]
    assert max(tokens) <= 150 and sum(tokens) == 2 * sum(map(len, encode(base, ROWS)))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("training", [{}, {"step_tokens": 190}, {"step_tokens": 1000}])
@pytest.mark.parametrize("budget", [64, 130, 400])
def test_no_more_tokens_go_through_at_once_than_forecast(
    tmp_path: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    packing: bool,
    training: dict[str, int],
    budget: int,
) -> None:
    plain = TrainedTokenLoss.forward
    laid: list[tuple[int, int]] = []

    def forward(measure: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        if measure.training:
            laid.append((batch.input_ids.numel(), len(batch.rows)))
        return plain(measure, batch)

    monkeypatch.setattr(TrainedTokenLoss, "forward", forward)
    settings = {**training, "packing": packing, "epochs": 2, "max_steps": None}
    config = configure(base, training={**settings, "micro_batch_tokens": budget})
    loop = build(tmp_path, config)
    rehearsed = max(tokens for tokens, _ in laid)
    laid.clear()
    loop.run()
    longest = max(map(len, encode(base, ROWS)))
    work = largest_work(config, longest)
    assert max(tokens for tokens, _ in laid) <= rehearsed <= work.tokens
    assert work.tokens <= max(budget, longest)
    assert all(tokens <= budget or rows == 1 for tokens, rows in laid)
    assert len(events(tmp_path, Rehearsed)) == 1


def test_what_goes_through_at_once_changes_no_update(tmp_path: Path, base: Path) -> None:
    settings = {"step_tokens": 400, "epochs": 2, "max_steps": None}
    run(tmp_path / "plain", configure(base, training=settings))
    run(tmp_path / "small", configure(base, training={**settings, "micro_batch_tokens": 90}))
    for ours, theirs in zip(curve(tmp_path / "small"), curve(tmp_path / "plain"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_auto_finds_as_much_as_a_step_has(tmp_path: Path, base: Path) -> None:
    longest = max(map(len, encode(base, ROWS)))
    settings = {"step_tokens": 3 * longest, "micro_batch": "auto"}
    packed = build(tmp_path / "packed", configure(base, training=settings))
    assert packed._ready.layout.size == 3
    padded = build(tmp_path / "padded", configure(base, training={**settings, "packing": False}))
    shortest_first = sorted(map(len, encode(base, ROWS)))
    most = sum(sum(shortest_first[: n + 1]) <= 3 * longest for n in range(ROWS))
    assert padded._ready.layout.size == most
