"""The largest batches before the first step: which they are, what they leave behind, and how
many rows at once they find to fit."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import CPU, adapter, build, configure, curve, encode, events, run
from workbench.config.schema import RunConfig, Training
from workbench.config.steps import StepSize
from workbench.errors import WorkbenchError
from workbench.jobs.events import Evaluated, Notice, Progress, Rehearsed, Step
from workbench.training.batches import Batch, Layout, Schedule
from workbench.training.loss import TrainedTokenLoss
from workbench.training.rehearsal import batch_of, largest, rehearse, step_of

ROWS = 11


def cost(tokens: list[int], *, packed: bool) -> int:
    """What a batch of rows of so many tokens holds, padding counted."""
    return sum(tokens) if packed else len(tokens) * max(tokens)


def steps_of(lengths: list[int], size: StepSize, chance: random.Random) -> Iterator[list[int]]:
    """The lengths of the rows of some steps."""
    if size.rows:
        for _ in range(60):
            yield chance.sample(lengths, min(size.rows, len(lengths)))
        return
    for seed in range(12):
        training = Training.model_construct(seed=seed, epochs=1, max_steps=None)
        training = training.model_copy(update={"step_tokens": size.tokens})
        plan = Schedule(lengths, training, size.least)
        yield from ([lengths[i] for i in plan.rows_of(s)] for s in range(plan.total_steps))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("at_once", ["rows", "tokens"])
@pytest.mark.parametrize("by", ["rows", "tokens"])
@pytest.mark.parametrize("seed", range(40))
def test_no_step_has_a_larger_batch(seed: int, by: str, at_once: str, packed: bool) -> None:
    chance = random.Random(seed)
    longest = chance.choice([4, 40, 400])
    lengths = [chance.randint(2, longest) for _ in range(chance.randint(1, 60))]
    lengths[0] = longest
    layout = Layout(chance.randint(1, 9), longest, 0, packed)
    ranks, a_step = chance.choice([1, 1, 2, 3]), chance.randint(1, 24)
    if at_once == "tokens":
        layout = replace(layout, size=0, tokens=chance.randint(longest // 2, 5 * longest))
    size = StepSize(a_step, 0)
    if by == "tokens":
        size = StepSize(0, chance.randint(longest // 2, 9 * longest), ranks)
    found = [[t for _, t in pieces] for pieces in largest(lengths, layout, size, ranks)]
    most = max(cost(batch, packed=packed) for batch in found)
    assert most == cost(found[0], packed=packed)
    for step in steps_of(lengths, size, chance):
        for group in layout.groups(step, ranks):
            batch = [step[i] for i in group]
            assert cost(batch, packed=packed) <= most
            assert max(batch) <= max(map(max, found))
            if at_once == "tokens":
                assert cost(batch, packed=packed) <= layout.tokens or len(batch) == 1
    # It is none that no step could have: of as much as the layout and a step have.
    assert most <= max(longest, layout.tokens or layout.size * longest)
    for batch in found:
        if by == "rows":
            assert len(batch) <= a_step
            assert sum(batch) <= sum(sorted(lengths)[-a_step:])
        elif packed:
            assert sum(batch) <= max(size.tokens, ranks * longest)


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_by_tokens_has_no_more_and_a_longer_row_goes_alone(packed: bool) -> None:
    lengths = [70, 130, 20, 50, 50, 10, 60]
    groups = Layout(0, 130, 0, packed, tokens=100).groups(lengths)
    batches = [[lengths[i] for i in group] for group in groups]
    assert sorted(n for batch in batches for n in batch) == sorted(lengths)
    assert batches[0] == [130]
    padded = [[70], [60], [50, 50], [20, 10]]
    assert batches[1:] == ([[70, 20, 10], [60], [50, 50]] if packed else padded)


def test_padded_by_tokens_the_fullest_batch_and_the_longest_row_are_rehearsed() -> None:
    """100 holds one row of 60, two of 50: both may be what takes most memory."""
    layout = Layout(0, 60, 0, packed=False, tokens=100)
    found = largest([50, 60, 50, 50], layout, StepSize(2, 0))
    assert [[tokens for _, tokens in pieces] for pieces in found] == [[50, 50], [60]]


def test_rows_that_do_not_fill_a_batch_together_are_rehearsed_as_those_that_do() -> None:
    """100 and 66 tokens are 166 of 200; three of the others are 198, and may meet in a step."""
    lengths = [100, *[66] * 9]
    layout = Layout(2, 100, 0, packed=True)
    assert sorted(map(len, layout.groups([66] * 3))) == [3]
    assert [tokens for _, tokens in largest(lengths, layout, StepSize(8, 0))[0]] == [100, 66, 34]


def test_the_rehearsed_batch_is_of_the_rows_themselves(base: Path) -> None:
    rows = encode(base, ROWS)
    lengths = [len(row) for row in rows]
    layout = Layout(2, max(lengths), 256, packed=True)
    batch = batch_of(rows, largest(lengths, layout, StepSize(8, 0))[0], layout, CPU)
    assert batch.tokens == batch.input_ids.numel() == 2 * max(lengths)
    place, before = batch.places
    assert torch.equal(batch.input_ids[place, before + 1], batch.labels)
    assert batch.trained_tokens == len(batch.labels)


def by_chance(base: Path, **training: Any) -> RunConfig:
    """Dropout and noise: what random numbers a rehearsal draws would show."""
    return configure(
        base,
        lora={"dropout": 0.3},
        training={"neftune_alpha": 5.0, "weight_decay": 0.1, **training},
        evaluation={"every": 3},
    )


@pytest.mark.parametrize("training", [{}, {"packing": False, "optimizer": "paged_adamw_8bit"}])
@pytest.mark.filterwarnings("ignore:Paged optimizers")
def test_a_rehearsal_changes_nothing(
    tmp_path: Path, base: Path, training: dict[str, object]
) -> None:
    with_it, _ = run(tmp_path / "with", by_chance(base, rehearsal=True, **training))
    without, _ = run(tmp_path / "without", by_chance(base, rehearsal=False, **training))
    assert len(events(tmp_path / "with", Rehearsed)) == 1
    assert events(tmp_path / "without", Rehearsed) == []
    assert curve(tmp_path / "with") == curve(tmp_path / "without")
    assert events(tmp_path / "with", Evaluated) == events(tmp_path / "without", Evaluated)
    ours, theirs = adapter(with_it), adapter(without)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_rehearsal_leaves_no_gradient_no_weight_and_no_random_number(
    tmp_path: Path, base: Path
) -> None:
    plain = build(tmp_path / "plain", by_chance(base, rehearsal=False))
    state = torch.get_rng_state()
    loop = build(tmp_path / "rehearsed", by_chance(base))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in loop.model.parameters())
    before, after = plain.model.state_dict(), loop.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("gpu", "steps"), [(True, 0), (False, 1)])
def test_no_page_is_made_for_an_optimiser_that_is_thrown_away(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool, steps: int
) -> None:
    """bitsandbytes keeps its pages for ever; without a GPU it makes none."""
    loop = build(tmp_path, configure(base, training={"rehearsal": False}))
    rows = encode(base, ROWS)
    batch = batch_of(rows, [(0, len(rows[0]))], Layout(1, len(rows[0]), 256, packed=True), CPU)
    taken = []

    class Paged(torch.optim.SGD):
        is_paged = True

        def step(self, closure: Any = None) -> None:
            taken.append(closure)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    trained = [p for p in loop.model.parameters() if p.requires_grad]
    step = step_of(loop._measure, lambda: Paged(trained))
    rehearse(loop._measure, step, [batch], None, lambda doing: nullcontext())
    assert len(taken) == steps
    assert all(p.grad is None for p in trained)


def test_a_rehearsal_is_told_with_what_it_took(tmp_path: Path, base: Path) -> None:
    build(tmp_path, configure(base, training={"micro_batch": 2}))
    (told,) = events(tmp_path, Rehearsed)
    lengths = sorted(map(len, encode(base, ROWS)), reverse=True)
    assert told.micro_batch == 2 and told.tokens == 2 * lengths[0] and told.seconds > 0
    # Of this process, with torch in it.
    assert 100 << 20 < told.peak < 16 << 30
    phases = [progress.phase for progress in events(tmp_path, Progress)]
    assert phases == ["rehearsing the largest batches"]


def run_out_over(tokens: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A GPU that has room for so many tokens at once, in training; returns what is tried."""
    plain = TrainedTokenLoss.forward
    tried: list[int] = []

    def forward(measure: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        if measure.training:
            tried.append(batch.input_ids.numel())
            if tried[-1] > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(measure, batch)

    monkeypatch.setattr(TrainedTokenLoss, "forward", forward)
    return tried


def test_memory_that_is_short_ends_the_run_before_its_first_step(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the first steps would fit: it is the largest batch that doesn't."""
    config = configure(base, training={"batch_size": 2, "accumulation": 2})
    top = max(map(len, encode(base, ROWS)))
    run_out_over(2 * top - 1, monkeypatch)
    with pytest.raises(WorkbenchError) as told:
        run(tmp_path, config)
    assert told.value.cause == "out_of_gpu_memory"
    assert "training.batch_size=1 training.accumulation=4" in told.value.hint
    assert events(tmp_path, Step) == events(tmp_path, Evaluated) == []


@pytest.mark.parametrize(
    ("packing", "room", "size"), [(True, 1, 1), (False, 3, 2), (True, 5, 4), (False, 8, 8)]
)
def test_auto_takes_the_most_rows_that_fit(
    tmp_path: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    packing: bool,
    room: int,
    size: int,
) -> None:
    """`room` rows of the longest are as much as memory holds, of the 8 of a step."""
    rows = [row for row in encode(base, ROWS) if row.trained_tokens]
    top = max(map(len, rows))
    training = {"batch_size": 2, "accumulation": 4, "packing": packing, "max_steps": 2}
    tried = run_out_over(room * top, monkeypatch)
    loop = build(tmp_path, configure(base, training={**training, "micro_batch": "auto"}))
    assert loop._ready.layout.size == size
    sizes = [p.done for p in events(tmp_path, Progress) if p.phase == "trying micro-batches"]
    # After one that failed, what had fitted is tried once more.
    assert sizes == [n for n in (1, 2, 4, 8) if n <= 2 * size] + [size] * (size < 8)
    assert max(tried) <= 8 * top
    assert f"{size} rows at once fit, of 8 a step" in events(tmp_path, Notice)[-1].text
    loop.run()
    assert [step.step for step in events(tmp_path, Step)] == [1, 2]


def test_auto_trains_as_the_fixed_size_does(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"batch_size": 2, "accumulation": 4}
    fixed, _ = run(tmp_path / "fixed", by_chance(base, micro_batch=4, **rows))
    run(tmp_path / "plain", configure(base, training=rows))
    run(tmp_path / "other", configure(base, training={**rows, "micro_batch": 4}))
    run_out_over(4 * max(map(len, encode(base, ROWS))), monkeypatch)
    auto, _ = run(tmp_path / "auto", by_chance(base, micro_batch="auto", **rows))
    assert curve(tmp_path / "auto") == curve(tmp_path / "fixed")
    assert all(torch.equal(t, adapter(auto)[name]) for name, t in adapter(fixed).items())
    # Without chance in it the update is that of batch_size x accumulation, but for rounding.
    for ours, theirs in zip(curve(tmp_path / "other"), curve(tmp_path / "plain"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_what_a_start_has_found_is_what_a_resumed_one_goes_on_with(
    tmp_path: Path, base: Path
) -> None:
    """Whatever memory is free then: other rows at once draw other random numbers."""
    config = by_chance(base, micro_batch="auto", batch_size=2, accumulation=4)
    assert build(tmp_path, config, found=2)._ready.layout.size == 2
    assert build(tmp_path, config, found=64)._ready.layout.size == 8
    assert not [p for p in events(tmp_path, Progress) if p.phase == "trying micro-batches"]


def test_what_fits_no_more_after_a_try_that_failed_is_not_taken(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that a failed try leaves in pieces: 4 rows fit before it, and 3 after it."""
    plain = TrainedTokenLoss.forward
    top = max(map(len, encode(base, ROWS)))
    room = 4 * top

    def forward(measure: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        nonlocal room
        if measure.training and batch.tokens > room:
            room = 3 * top
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(measure, batch)

    monkeypatch.setattr(TrainedTokenLoss, "forward", forward)
    training = {"micro_batch": "auto", "batch_size": 8, "max_steps": 1}
    assert build(tmp_path, configure(base, training=training))._ready.layout.size == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_auto_finds_its_size_under_a_limit_of_the_kernel(tmp_path: Path, base: Path) -> None:
    """A row of 1,024 tokens takes the tiny model some 12 MiB: of 64 all would need 800."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.short_of_memory", base, tmp_path, "150"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert 1 < int(done.stdout) < 64
    (told,) = events(tmp_path, Rehearsed)
    assert told.rows == told.micro_batch == int(done.stdout)


def test_where_not_even_one_row_fits_the_advice_is_about_other_things(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_over(3, monkeypatch)
    with pytest.raises(WorkbenchError) as told:
        run(tmp_path, configure(base, training={"micro_batch": "auto"}))
    assert told.value.cause == "out_of_gpu_memory"
    assert "training.gradient_checkpointing=true" in told.value.hint
    assert "batch" not in told.value.hint
    assert events(tmp_path, Step) == []


def test_a_defect_is_no_lack_of_memory(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TrainedTokenLoss.forward

    def forward(measure: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        if measure.training and len(batch.rows) > 2:
            raise RuntimeError("a shape is wrong")
        return plain(measure, batch)

    monkeypatch.setattr(TrainedTokenLoss, "forward", forward)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        build(tmp_path, configure(base, training={"micro_batch": "auto"}))
