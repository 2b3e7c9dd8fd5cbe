from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import CPU, encode
from workbench.config.schema import Training
from workbench.training.batches import Layout, Schedule, collate


def schedule(rows: int, **training: Any) -> Schedule:
    return Schedule([1] * rows, Training.model_validate({"accumulation": 1, **training}))


@pytest.mark.parametrize(("rows", "batch_size", "accumulation"), [(11, 2, 2), (8, 4, 1), (3, 4, 2)])
def test_every_row_is_taken_once_an_epoch(rows: int, batch_size: int, accumulation: int) -> None:
    plan = schedule(rows, batch_size=batch_size, accumulation=accumulation, epochs=3)
    an_epoch = plan.steps_in(0)
    assert plan.total_steps == 3 * an_epoch
    orders = []
    for epoch in range(3):
        steps = range(epoch * an_epoch, (epoch + 1) * an_epoch)
        taken = [row for step in steps for row in plan.rows_of(step)]
        assert Counter(taken) == Counter(range(rows))
        assert all(0 < len(plan.rows_of(s)) <= batch_size * accumulation for s in steps)
        orders.append(taken)
    assert rows < 8 or orders[0] != orders[1] != orders[2]


def test_a_schedule_is_a_function_of_the_seed_wherever_it_is_entered() -> None:
    whole, again = schedule(23, seed=5), schedule(23, seed=5)
    forwards = [whole.rows_of(step) for step in range(20)]
    backwards = [again.rows_of(step) for step in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert schedule(23, seed=5).rows_of(13) == forwards[13]
    assert schedule(23, seed=6).rows_of(13) != forwards[13]


@pytest.mark.parametrize(
    ("epochs", "max_steps", "steps"),
    [(1, None, 10), (1.1, None, 11), (0.25, None, 3), (0.001, None, 1), (2.0, None, 20), (5, 7, 7)],
)
def test_a_run_has_as_many_steps_as_its_epochs_or_max_steps_say(
    epochs: float, max_steps: int | None, steps: int
) -> None:
    plan = schedule(40, batch_size=4, epochs=epochs, max_steps=max_steps)
    assert plan.steps_in(0) == 10
    assert plan.total_steps == steps
    assert plan.epoch_after(5) == 0.5


def test_a_batch_holds_each_row_whole_and_padding_beside_it(base: Path) -> None:
    rows = encode(base, 10)
    seen: list[int] = []
    layout = Layout(4, max(len(row) for row in rows), 256, packed=False)
    for group in layout.groups([len(row) for row in rows]):
        batch = collate(rows, group, layout, CPU)
        assert len(batch.rows) <= 4
        for place, number in enumerate(batch.rows):
            length = len(rows[number])
            assert torch.equal(batch.input_ids[place, :length], rows[number].ids.long())
            assert batch.input_ids[place, length:].eq(256).all()
            trained = batch.places[1, batch.places[0] == place] + 1
            assert torch.equal(trained, rows[number].trained.nonzero().squeeze(1))
        assert torch.equal(batch.labels, batch.input_ids[batch.places[0], batch.places[1] + 1])
        assert batch.tokens == sum(len(rows[n]) for n in batch.rows)
        assert batch.trained_tokens == sum(rows[n].trained_tokens for n in batch.rows)
        seen += batch.rows
    assert sorted(seen) == list(range(10))


def test_rows_of_like_lengths_go_together(base: Path) -> None:
    lengths = [len(row) for row in encode(base, 12)]
    groups = Layout(4, max(lengths), 256, packed=False).groups(lengths)
    assert [[lengths[i] for i in group] for group in groups] == [
        sorted(lengths, reverse=True)[start : start + 4] for start in (0, 4, 8)
    ]
