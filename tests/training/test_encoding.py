"""Which rows are encoded, and what is said of those that don't fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.training.harness import CPU, examples
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.jobs.control import Control
from workbench.jobs.events import Notice
from workbench.jobs.log import LogWriter, read_all
from workbench.training import encoding
from workbench.training.batches import Layout, collate
from workbench.training.encoding import EncodedSplit, notices
from workbench.training.token_cache import EncodedRows
from workbench.workspace import Workspace

Prepared = tuple[EncodedRows, EncodedRows, list[str]]
Prepare = Callable[..., Prepared]


def split(
    base: Path, rows: Iterable[Example], limit: int | None = None, **data: Any
) -> EncodedSplit:
    config = RunConfig.model_validate({"data": data})
    return encoding.encode(rows, ChatTemplate.load(base), config.data, limit)


def long_rows(count: int) -> list[Example]:
    return [
        Example((Message("user", "?"), Message("assistant", "x" * 500)), source=f"long.jsonl:{n}")
        for n in range(count)
    ]


def unanswerable(count: int) -> list[Example]:
    """Rows whose prompt alone is over 200 tokens."""
    return [
        Example((Message("user", "?" * 300), Message("assistant", "x")), source=f"asks.jsonl:{n}")
        for n in range(count)
    ]


@pytest.fixture
def prepare(workspace: Workspace, tmp_path: Path, base: Path) -> Prepare:
    """Prepares rows as a run does; returns both splits and what it was told."""

    def do(rows: list[Example], *, seed: int = 0, **data: Any) -> Prepared:
        version = versions.create(workspace, "sample", rows, sources=[], steps=[])
        body = {"data": {"dataset": version.reference, **data}, "training": {"seed": seed}}
        config, template = RunConfig.model_validate(body), ChatTemplate.load(base)
        path = tmp_path / "prepare.jsonl"
        path.unlink(missing_ok=True)
        with LogWriter(path) as log:
            train, validation = encoding.prepare(workspace, config, template, log, Control())
        told = [r.event.text for r in read_all(path) if isinstance(r.event, Notice)]
        return train, validation, told

    return do


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
    assert (len(kept.rows), kept.account.left_out) == (3, 2)
    (told,) = notices(kept.account, "training", 200)
    assert told.startswith("2 training rows over 200 tokens are left out: long.jsonl:0: 5")


def test_rows_are_cut_at_the_end_and_all_that_is_lost_is_counted(base: Path) -> None:
    rows = [*examples(2), *long_rows(3), *unanswerable(7)]
    kept = split(base, rows, max_length=200, too_long="truncate")
    whole = [ChatTemplate.load(base).encode(e) for e in rows[:5]]
    assert [row.ids.tolist() for row in kept.rows] == [e.ids[:200] for e in whole]
    assert [row.trained.tolist() for row in kept.rows] == [e.trained[:200] for e in whole]
    assert [row.trained_tokens for row in kept.rows] == [sum(e.trained[:200]) for e in whole]
    lost = sum(len(e.ids) - 200 for e in whole[2:])
    cut, answerless = notices(kept.account, "training", 200)
    assert cut == f"3 training rows were cut at 200 tokens: {lost:,} tokens lost."
    assert answerless.startswith("7 training rows lost the whole response at 200 tokens and are")
    assert "asks.jsonl:4" in answerless and "asks.jsonl:5" not in answerless
    assert answerless.endswith("and 2 more.")


def test_plain_text_that_is_cut_loses_its_end_alone(base: Path) -> None:
    kept = split(base, [Example(text="law " * 100)], max_length=100, too_long="truncate")
    (row,) = kept.rows
    assert (len(row), row.trained_tokens) == (100, 99)
    assert (kept.account.cut, kept.account.tokens_lost) == (1, 301)


def test_nothing_is_ever_cut_unasked(base: Path) -> None:
    rows = [*examples(5), *long_rows(2)]
    kept = split(base, rows, max_length=1024)
    template = ChatTemplate.load(base)
    assert [row.ids.tolist() for row in kept.rows] == [template.encode(e).ids for e in rows]
    assert [row.trained.tolist() for row in kept.rows] == [template.encode(e).trained for e in rows]
    assert notices(kept.account, "training", 1024) == []


@pytest.mark.parametrize("too_long", ["refuse", "truncate"])
def test_a_row_of_just_max_length_is_kept_whole(base: Path, too_long: str) -> None:
    (row,) = long_rows(1)
    length = len(ChatTemplate.load(base).encode(row).ids)
    kept = split(base, [row], max_length=length, too_long=too_long)
    assert [len(row) for row in kept.rows] == [length] and not kept.account.cut
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
    assert (len(kept.rows), kept.account.left_out) == (3, 2)


def held_out(rows: list[Example]) -> list[Example]:
    return [Example(r.messages, "t", "validation", r.source) for r in rows]


def test_both_splits_are_prepared_with_their_lines_and_tasks(prepare: Prepare, base: Path) -> None:
    rows = [*held_out(examples(2)), *examples(3), Example(text="A law", task="law")]
    train, validation, told = prepare(rows)
    template = ChatTemplate.load(base)
    assert [(r.number, r.task) for r in validation] == [(1, "t"), (2, "t")]
    assert [(r.number, r.task) for r in train] == [(3, ""), (4, ""), (5, ""), (6, "law")]
    for row, example in zip([*validation, *train], rows, strict=True):
        encoded = template.encode(example)
        assert torch.equal(row.ids, torch.tensor(encoded.ids, dtype=torch.int32))
        assert torch.equal(row.trained, torch.tensor(encoded.trained))
        assert row.trained_tokens == encoded.trained_tokens
    assert train.lengths.tolist() == [len(row) for row in train]
    assert train.trained.tolist() == [row.trained_tokens for row in train]
    assert train.tokens == sum(map(len, train)) and told == []
    assert train[-1].ids.tolist() == train[3].ids.tolist()
    with pytest.raises(IndexError):
        train[4]


def test_a_sample_is_a_function_of_the_seed_and_keeps_the_order(prepare: Prepare) -> None:
    rows = [*held_out(examples(3)), *examples(30)]

    def numbers(seed: int, count: int) -> list[int]:
        return [row.number for row in prepare(rows, seed=seed, train_rows=count)[0]]

    first = numbers(1, 10)
    assert first == numbers(1, 10) == sorted(first) and len(set(first)) == 10
    assert first != numbers(2, 10)
    assert numbers(1, 30) == numbers(2, 99) == list(range(4, 34))


def test_validation_rows_are_the_first_ones_that_are_kept(prepare: Prepare) -> None:
    rows = [*held_out([*long_rows(2), *examples(9)]), *examples(1)]
    _, validation, told = prepare(rows, validation_rows=4, max_length=200, too_long="drop")
    assert [row.number for row in validation] == [3, 4, 5, 6]
    assert told[0].startswith("2 validation rows over 200 tokens are left out: long.jsonl:0")


def test_what_was_cut_is_said_at_every_start(prepare: Prepare) -> None:
    rows = [*examples(3), *long_rows(1), *unanswerable(1)]
    told = [prepare(rows, max_length=200, too_long="truncate")[2] for _ in range(2)]
    assert told[0] == told[1] and len(told[0]) == 3
    assert "1 training row was cut" in told[0][0]
    assert "1 training row lost the whole response" in told[0][1]


@pytest.mark.parametrize("data", [{}, {"too_long": "drop"}, {"too_long": "truncate"}])
def test_a_start_without_a_row_to_train_on_is_refused(
    prepare: Prepare, data: dict[str, str]
) -> None:
    with pytest.raises(WorkbenchError, match=r"has no row to train on|7 rows longer"):
        prepare(unanswerable(7), max_length=200, **data)


def test_where_padding_and_end_are_one_token_the_end_is_learnt_and_padding_never(
    tmp_path: Path,
) -> None:
    tiny.make_tokenizer(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["pad_token"] = settings["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    template = ChatTemplate.load(tmp_path)
    end = template.pad_id
    assert end in template.stop_ids
    rows = [*examples(6), Example(text="A law"), Example(text="A longer law " * 9)]
    encoded = encoding.encode(rows, template, RunConfig().data).rows
    layout = Layout(len(encoded), max(map(len, encoded)), end, packed=False)
    batch = collate(encoded, list(range(len(encoded))), layout, CPU)
    assert batch.labels.eq(end).sum() == len(rows)
    assert len(batch.labels) == sum(row.trained_tokens for row in encoded) == batch.trained_tokens
