"""What is advised is tried: each setting is taken by the config, and changes it."""

from __future__ import annotations

import re

import pytest

from workbench.config import processes
from workbench.config.loading import default_config
from workbench.config.memory_advice import Doing, memory_advice

DOING: tuple[Doing, ...] = ("loading", "training", "evaluating", "answering")
ALL_DONE = (
    "training.batch_size=1",
    "training.gradient_checkpointing=true",
    "model.quantization=nf4",
    "training.optimizer=paged_adamw_8bit",
    "data.max_length=16",
    "evaluation.batch_size=1",
    "evaluation.samples=0",
)


def advised(*settings: str, doing: Doing = "training") -> list[list[str]]:
    """The settings of each piece of advice, in order."""
    advice = memory_advice(default_config(settings), doing)
    steps = [re.findall(r"[a-z_]+\.[a-z_]+=\w+", step) for step in advice.split(";")]
    return [step for step in steps if step]


def test_a_batch_is_made_smaller_and_the_rows_of_a_step_stay() -> None:
    first, *_ = advised("training.batch_size=8", "training.accumulation=2")
    assert first == ["training.batch_size=4", "training.accumulation=4"]
    first, *_ = advised("training.batch_size=5", "training.accumulation=1")
    assert first == ["training.batch_size=1", "training.accumulation=5"]
    first, *_ = advised("training.batch_size=3", "training.accumulation=4")
    assert first == ["training.batch_size=1", "training.accumulation=12"]


def test_what_goes_through_at_once_is_made_smaller_where_it_is_set() -> None:
    first, *_ = advised("training.micro_batch=9")
    assert first == ["training.micro_batch=4"]
    for done in ("1", "auto"):
        first, *_ = advised(f"training.micro_batch={done}")
        assert first == ["training.gradient_checkpointing=true"]


def test_by_tokens_what_goes_through_at_once_is_made_smaller_and_the_step_stays() -> None:
    first, *_ = advised("training.micro_batch_tokens=4096")
    assert first == ["training.micro_batch_tokens=2048"]
    first, *_ = advised("training.micro_batch_tokens=31")
    assert first == ["training.gradient_checkpointing=true"]
    first, *_ = advised("training.step_tokens=8192", "training.batch_size=5")
    assert first == ["training.batch_size=2"]
    advice = memory_advice(default_config(["training.step_tokens=8192"]))
    assert "(as many tokens a step)" in advice


def test_the_most_effective_and_least_costly_comes_first() -> None:
    paths = [step[0].partition("=")[0] for step in advised()]
    assert paths == [
        "training.batch_size",
        "training.gradient_checkpointing",
        "model.quantization",
        "training.optimizer",
        "data.max_length",
    ]


@pytest.mark.parametrize("doing", DOING)
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("model.dtype=float32", "training.batch_size=4096", "training.accumulation=4096"),
        ("model.quantization=fp4", "model.double_quantization=false", "data.max_length=20"),
        ("model.quantization=int8", "model.upcast=true", "training.optimizer=lion"),
        ("training.method=full", "training.optimizer=lion_8bit"),
        ("lora.initialisation=pissa", "model.dtype=float32"),
        ("training.batch_size=7", "training.accumulation=13", "training.optimizer=adamw_8bit"),
        ("job.processes=2", "job.sharding=fsdp", "training.micro_batch=2"),
        ("job.processes=4", "job.sharding=fsdp", "model.dtype=float32", "training.method=full"),
    ],
)
def test_what_is_advised_can_be_set_and_changes_the_config(
    settings: tuple[str, ...], doing: Doing
) -> None:
    config = default_config(settings)
    for step in advised(*settings, doing=doing):
        changed = default_config([*settings, *step])
        assert changed != config
        processes.check(changed)
        rows = [c.training.batch_size * c.training.accumulation for c in (changed, config)]
        assert rows[0] == rows[1]


def test_what_counts_is_what_the_run_was_at() -> None:
    assert advised(doing="loading") == [["model.quantization=nf4"]]
    assert advised(doing="evaluating")[0] == ["evaluation.batch_size=4"]
    # Answers are tried with fewer rows at once before anybody is told.
    assert advised(doing="answering")[0] == ["evaluation.samples=0"]


@pytest.mark.parametrize("doing", DOING)
def test_where_nothing_is_left_a_smaller_base_is(doing: Doing) -> None:
    advice = memory_advice(default_config(ALL_DONE), doing)
    assert advice == "Use a smaller base model, or a machine with more memory."
