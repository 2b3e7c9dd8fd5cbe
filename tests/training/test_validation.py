"""Validation while a run trains: losses by task, and answers to the same few rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training.harness import adapter, build, configure, curve, events, examples, run
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation import decode
from workbench.evaluation.generate import answer
from workbench.jobs.control import Control
from workbench.jobs.events import Answered, Evaluated
from workbench.jobs.log import LogWriter
from workbench.tracking import runs
from workbench.training.attention import plain_attention
from workbench.training.batches import Row
from workbench.training.job import train
from workbench.training.loss import causal_model
from workbench.training.validation import Samples, evaluated
from workbench.workspace import Workspace


def row(task: str, trained_tokens: int) -> Row:
    nothing = torch.zeros(0)
    return Row(nothing.int(), nothing.bool(), trained_tokens, task=task)


def test_losses_are_means_over_trained_tokens_of_all_rows_and_of_each_task() -> None:
    rows = [row("sum", 10), row("chat", 1), row("sum", 30), row("", 4)]
    told = evaluated(7, rows, [20.0, 3.0, 20.0, 2.0])
    assert (told.step, told.rows, told.trained_tokens) == (7, 4, 45)
    assert told.loss == pytest.approx(45 / 45)
    assert told.perplexity == pytest.approx(math.e)
    assert told.tasks == {
        "sum": {
            "loss": pytest.approx(40 / 40),
            "perplexity": pytest.approx(math.e),
            "rows": 2,
            "trained_tokens": 40,
        },
        "chat": {
            "loss": pytest.approx(3.0),
            "perplexity": pytest.approx(math.exp(3)),
            "rows": 1,
            "trained_tokens": 1,
        },
        "": {
            "loss": pytest.approx(0.5),
            "perplexity": pytest.approx(math.exp(0.5)),
            "rows": 1,
            "trained_tokens": 4,
        },
    }


def test_one_task_is_not_told_twice() -> None:
    told = evaluated(7, [row("sum", 10), row("sum", 30)], [20.0, 20.0])
    assert told.loss == pytest.approx(1.0) and told.tasks == {}


def test_what_is_no_number_is_none_and_of_its_own_task_alone() -> None:
    told = evaluated(7, [row("bad", 10), row("huge", 1), row("good", 1)], [math.nan, 1e4, 1.0])
    assert math.isnan(told.loss) and told.perplexity is None
    assert told.tasks["bad"]["loss"] is None and told.tasks["bad"]["perplexity"] is None
    assert told.tasks["huge"]["loss"] == 1e4 and told.tasks["huge"]["perplexity"] is None
    assert told.tasks["good"]["perplexity"] == pytest.approx(math.e)
    json.dumps(told.tasks, allow_nan=False)


def loss_by_hand(trained: torch.nn.Module, of: Row) -> float:
    """Sum over the row's trained tokens, by the model's own logits."""
    with torch.no_grad(), plain_attention(causal_model(trained)):
        logits = trained.eval()(input_ids=of.ids[None].long()).logits[0]
    learnt = of.trained[1:]
    return float(cross_entropy(logits[:-1][learnt], of.ids[1:][learnt].long(), reduction="sum"))


@pytest.mark.parametrize("packing", [True, False])
def test_the_losses_of_a_run_are_those_of_a_plain_computation(
    tmp_path: Path, base: Path, packing: bool
) -> None:
    config = configure(base, training={"packing": packing}, evaluation={"batch_size": 2})
    loop = build(tmp_path, config, validation=5)
    names = ["even", "odd", "even", "odd", "even"]
    loop.validation = [
        replace(one, task=name) for one, name in zip(loop.validation, names, strict=True)
    ]
    loop.run()
    told = events(tmp_path, Evaluated)[-1]
    for name in ("even", "odd"):
        rows = [one for one in loop.validation if one.task == name]
        tokens = sum(one.trained_tokens for one in rows)
        by_hand = sum(loss_by_hand(loop.model, one) for one in rows) / tokens
        assert told.tasks[name]["loss"] == pytest.approx(by_hand, abs=1e-4)
        assert told.tasks[name]["perplexity"] == pytest.approx(math.exp(by_hand), rel=1e-3)
        assert told.tasks[name]["rows"] == len(rows)
        assert told.tasks[name]["trained_tokens"] == tokens
    total = sum(figures["loss"] * figures["trained_tokens"] for figures in told.tasks.values())
    assert told.loss == pytest.approx(total / told.trained_tokens)
    assert told.perplexity == pytest.approx(math.exp(told.loss))


@pytest.mark.parametrize(
    "sections",
    [
        {"lora": {"dropout": 0.2}},
        {"lora": {"dropout": 0.2}, "training": {"packing": False}},
        {"model": {"quantization": "nf4"}},
        {"training": {"gradient_checkpointing": True, "neftune_alpha": 5.0}},
    ],
    ids=["packed", "padded", "nf4", "checkpointing and noise"],
)
def test_answers_on_the_way_change_nothing_that_is_learnt(
    tmp_path: Path, base: Path, sections: dict[str, Any]
) -> None:
    config = configure(base, evaluation={"every": 2, "sample_tokens": 6}, **sections)
    asked, _ = run(tmp_path / "asked", config, samples=True)
    silent, _ = run(tmp_path / "silent", config)
    assert len(events(tmp_path / "asked", Answered)) == 4
    assert events(tmp_path / "silent", Answered) == []
    assert curve(tmp_path / "asked") == curve(tmp_path / "silent")
    assert events(tmp_path / "asked", Evaluated) == events(tmp_path / "silent", Evaluated)
    ours, theirs = adapter(asked), adapter(silent)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_an_answer_is_that_of_the_model_as_it_is_then(tmp_path: Path, base: Path) -> None:
    config = configure(base, training={"max_steps": 12}, evaluation={"sample_tokens": 9})
    loop, _ = run(tmp_path, config, rows=11, samples=True)
    first, last = events(tmp_path, Answered)
    assert (first.step, first.row, last.step, last.row) == (0, 12, 12, 12)
    asked = examples(12)[11]
    assert first.prompt == last.prompt == asked.instruction
    causal = causal_model(loop.model).eval()
    with plain_attention(causal):
        (said,) = answer(
            causal,
            ChatTemplate.load(base),
            [asked],
            max_new_tokens=9,
            batch_size=1,
            on_rows=lambda done: None,
        )
    assert last.answer == said.text != first.answer
    assert (last.stopped, last.tokens) == (said.stopped, said.tokens)
    # A token is a byte, and some bytes alone are no character.
    assert 0 < len(said.text) <= said.tokens <= 9


Make = Callable[..., Path]


@pytest.fixture
def make_run(workspace: Workspace, write_rows: Callable[..., Path], base: Path) -> Make:
    """A run over plain text, first in the file, and questions."""
    text = [{"text": f"Law {n} of all laws that there are."} for n in range(8)]
    questions = [{"prompt": f"Say {n}", "completion": f"it is {n}"} for n in range(20)]

    def make(rows: str = "both", **evaluation: Any) -> Path:
        files = {"text": text, "questions": questions}
        wanted = files if rows == "both" else {rows: files[rows]}
        paths = [write_rows(*some, name=f"{name}.jsonl") for name, some in wanted.items()]
        import_files(workspace, paths, "sample", Options(validation_share=0.5))
        config: RunConfig = configure(
            base,
            training={"max_steps": 2},
            evaluation={"every": 1, "sample_tokens": 4, **evaluation},
        )
        return runs.create(workspace, config, command="test", say=lambda said: None)

    return make


def go(folder: Path) -> list[Answered]:
    with LogWriter(folder / runs.LOG) as log:
        train(folder, log, Control())
    return events(folder, Answered)


def test_the_first_questions_of_the_validation_are_asked_each_time_and_no_plain_text(
    make_run: Make, workspace: Workspace
) -> None:
    told = go(make_run(samples=3))
    stored = versions.read(versions.resolve(workspace, "sample"))
    held_out = [(n, e) for n, e in enumerate(stored, start=1) if e.split == "validation"]
    assert held_out[0][1].text, "plain text stands before the questions"
    asking = [(n, e.instruction) for n, e in held_out if not e.text][:3]
    assert len(asking) == 3
    assert [(a.step, a.row, a.prompt) for a in told] == [
        (step, n, prompt) for step in (0, 1, 2) for n, prompt in asking
    ]


def test_own_prompts_are_asked_before_the_rows(make_run: Make) -> None:
    own = ["Say hello, please", "Who\nare you?"]
    told = go(make_run(samples=1, sample_prompts=own))
    assert [(a.step, a.row, a.prompt) for a in told if not a.row] == [
        (step, 0, prompt) for step in (0, 1, 2) for prompt in own
    ]
    assert [bool(a.row) for a in told] == [False, False, True] * 3
    assert all(a.tokens is not None and a.tokens <= 4 for a in told)
    assert {a.stopped for a in told} <= {True, False}


def test_what_is_longer_than_a_row_may_be_is_not_asked(
    workspace: Workspace, write_rows: Callable[..., Path], base: Path
) -> None:
    rows = [
        {"prompt": f"Say {'very ' * 100 * (n % 2)}{n}", "completion": f"it is {n}"}
        for n in range(20)
    ]
    import_files(workspace, [write_rows(*rows)], "sample", Options(validation_share=0.5))
    config = configure(
        base,
        data={"max_length": 100, "too_long": "drop"},
        training={"max_steps": 1},
        evaluation={"samples": 20, "sample_tokens": 4},
    )
    folder = runs.create(workspace, config, command="test", say=lambda said: None)
    told = go(folder)
    held_out = [e for e in versions.read(versions.resolve(workspace, "sample")) if e.split]
    short = [
        e.instruction for e in held_out if e.split == "validation" and "very" not in e.instruction
    ]
    assert [a.prompt for a in told if a.step == 0] == short


def test_answers_are_given_as_many_at_once_as_rows_are_evaluated_and_a_lack_of_memory_helps(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(base, evaluation={"batch_size": 2, "samples": 5, "sample_tokens": 3})
    loop = build(tmp_path, config, rows=6, validation=5)
    asked = [(number, example) for number, example in enumerate(examples(11)[6:], start=7)]
    loop._samples = Samples(asked, ChatTemplate.load(base), config.evaluation)
    causal = causal_model(loop.model)
    sizes: list[int] = []

    def seen(module: Any, given: Any, named: dict[str, Any]) -> None:
        rows, tokens = named["input_ids"].shape
        sizes.extend([rows] if tokens > 1 else [])

    with causal.register_forward_pre_hook(seen, with_kwargs=True):
        answers = loop._samples.answers(0, causal)
    assert sizes == [2, 2, 1] and [a.row for a in answers] == [7, 8, 9, 10, 11]

    def run_out(*given: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr(decode, "decode", run_out)
    with pytest.raises(WorkbenchError) as error:
        loop.run()
    assert "1. evaluation.samples=0" in str(error.value.hint)


@pytest.mark.parametrize(
    ("rows", "evaluation"), [("text", {}), ("questions", {"samples": 0})], ids=["text", "none"]
)
def test_where_nothing_is_to_be_asked_nothing_is(
    make_run: Make, rows: str, evaluation: dict[str, int]
) -> None:
    folder = make_run(rows, **evaluation)
    assert go(folder) == []
    assert [e.step for e in events(folder, Evaluated)] == [0, 1, 2]
