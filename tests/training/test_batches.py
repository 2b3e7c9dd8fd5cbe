from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.harness import CPU, encode, examples
from workbench.config.schema import RunConfig, Training
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.training import batches
from workbench.training.batches import EncodedSplit, Schedule


def split(
    base: Path, rows: Iterable[Example], limit: int | None = None, **data: Any
) -> EncodedSplit:
    config = RunConfig.model_validate({"data": data})
    return batches.encode(rows, ChatTemplate.load(base), config.data, limit)


def long_rows(count: int) -> list[Example]:
    return [
        Example((Message("user", "?"), Message("assistant", "x" * 500)), source=f"long.jsonl:{n}")
        for n in range(count)
    ]


def test_rows_that_are_too_long_are_refused_by_name_and_length(base: Path) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        split(base, [*examples(3), *long_rows(7)], max_length=200)
    message = refusal.value.message
    assert "7 rows longer than data.max_length (200 tokens)" in message
    assert "long.jsonl:0: 5" in message and "long.jsonl:4" in message
    assert "long.jsonl:5" not in message and "and 2 more" in message
    assert "too_long" in refusal.value.hint


def test_rows_that_are_too_long_are_dropped_and_counted_when_asked(base: Path) -> None:
    rows = [long_rows(1)[0], *examples(3), long_rows(1)[0]]
    kept = split(base, rows, max_length=200, too_long="drop")
    assert (len(kept.rows), kept.dropped) == (3, 2)


def test_nothing_is_ever_cut(base: Path) -> None:
    rows = [*examples(5), *long_rows(2)]
    kept = split(base, rows, max_length=1024)
    template = ChatTemplate.load(base)
    assert [row.ids.tolist() for row in kept.rows] == [template.encode(e).ids for e in rows]
    assert [row.trained.tolist() for row in kept.rows] == [template.encode(e).trained for e in rows]
    assert kept.dropped == 0 and kept.tokens == sum(len(template.encode(e).ids) for e in rows)


def test_a_row_of_just_max_length_is_kept(base: Path) -> None:
    (row,) = long_rows(1)
    length = len(ChatTemplate.load(base).encode(row).ids)
    assert len(split(base, [row], max_length=length).rows) == 1
    with pytest.raises(WorkbenchError, match="1 row longer"):
        split(base, [row], max_length=length - 1)


def test_rows_whose_trained_tokens_cannot_be_proved_are_refused_by_name(base: Path) -> None:
    unanswered = Example((Message("user", "Hello?"),), source="rows.jsonl:9")
    with pytest.raises(WorkbenchError, match=r"rows\.jsonl:9: it has no response") as refusal:
        split(base, [*examples(2), unanswered])
    assert refusal.value.cause == "bad_row"


def test_a_limit_counts_the_rows_that_are_kept(base: Path) -> None:
    rows = [*long_rows(2), *examples(5)]
    kept = split(base, rows, 3, max_length=200, too_long="drop")
    assert (len(kept.rows), kept.dropped) == (3, 2)


def test_a_sample_is_a_function_of_the_seed_and_keeps_the_order() -> None:
    rows = examples(50)
    first = batches.sample(rows, 10, seed=1)
    assert first == batches.sample(rows, 10, seed=1) != batches.sample(rows, 10, seed=2)
    assert first == sorted(first, key=rows.index) and len(set(map(id, first))) == 10
    assert batches.sample(rows, 50, seed=1) == batches.sample(rows, 99, seed=1) == rows


def schedule(rows: int, **training: Any) -> Schedule:
    return Schedule(rows, Training.model_validate({"accumulation": 1, **training}))


@pytest.mark.parametrize(("rows", "batch_size", "accumulation"), [(11, 2, 2), (8, 4, 1), (3, 4, 2)])
def test_every_row_is_taken_once_an_epoch(rows: int, batch_size: int, accumulation: int) -> None:
    plan = schedule(rows, batch_size=batch_size, accumulation=accumulation, epochs=3)
    assert plan.total_steps == 3 * plan.steps_per_epoch
    orders = []
    for epoch in range(3):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
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
    assert plan.steps_per_epoch == 10
    assert plan.total_steps == steps
    assert plan.epoch_after(5) == 0.5


def test_a_batch_holds_each_row_whole_and_padding_beside_it(base: Path) -> None:
    rows = encode(base, 10)
    seen: list[int] = []
    for batch in batches.batches(rows, 4, 256, CPU):
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
    rows = encode(base, 12)
    widths = [batch.input_ids.shape[1] for batch in batches.batches(rows, 4, 256, CPU)]
    lengths = sorted((len(row) for row in rows), reverse=True)
    assert widths == lengths[::4]
