"""Rows of real data sets, where they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.data.example import Example, Message

SHARED = Path(__file__).parents[4] / "shared" / "data"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here")

GSM8K = "gsm8k_train"
SELF_INSTRUCT = "self_instruct_user_oriented"
QA = "t0_adversarial_qa_dbert_answer_the_following_q"
NEWS = "t0_ag_news_classify"
SUMMARIES = "t0_cnn_dailymail_3_0_0_news_summary"
MODELS = "tulu1_instances"
"""What several language models answered."""
EVERY = (GSM8K, SELF_INSTRUCT, QA, NEWS, SUMMARIES, MODELS)


def conversation(prompt: str, response: str, task: str = "") -> Example:
    return Example((Message("user", prompt), Message("assistant", response)), task)


def real(name: str, rows: int | None = None) -> list[Example]:
    """The first rows of one of the files, or all."""
    with (SHARED / f"{name}.jsonl").open(encoding="utf-8") as stream:
        found = [example for line in stream for example in _examples(json.loads(line))]
    return found[:rows]


def _examples(row: dict[str, Any]) -> Iterator[Example]:
    if "answer" in row:
        yield conversation(row["question"], row["answer"])
    elif "completion" in row:
        yield conversation(row["prompt"], row["completion"])
    elif "completions" in row:
        for one in row["completions"]:
            yield conversation(row["prompt"], one["completion"], one["model"])
    else:
        for one in row["instances"]:
            prompt = "\n\n".join(filter(None, (row["instruction"], one["input"])))
            yield conversation(prompt, one["output"])
