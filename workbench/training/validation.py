"""Validation while a run trains: the loss, by task, and answers to the same few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from workbench.config.watching import Evaluation
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.evaluation.generate import answer
from workbench.evaluation.metrics import perplexity
from workbench.jobs.events import Answered, Evaluated
from workbench.training.attention import plain_attention
from workbench.training.batches import Row

Totals = tuple[float, int, int]
"""Sum of the loss in nats, trained tokens, rows."""


def evaluated(step: int, rows: Sequence[Row], sums: Sequence[float]) -> Evaluated:
    """The figures of a validation from the sum of each row's loss, of all rows and by task.

    The mean is one over trained tokens, so a task weighs as much as it has of them.
    """
    tasks: dict[str, Totals] = {}
    for row, total in zip(rows, sums, strict=True):
        loss, tokens, count = tasks.get(row.task, (0.0, 0, 0))
        tasks[row.task] = (loss + total, tokens + row.trained_tokens, count + 1)
    loss, tokens, count = (sum(part) for part in zip(*tasks.values(), strict=True))
    mean = loss / max(1, tokens)
    return Evaluated(
        step,
        mean,
        int(count),
        int(tokens),
        _finite(perplexity(mean)),
        {name: _figures(*totals) for name, totals in tasks.items()} if len(tasks) > 1 else {},
    )


def _figures(loss: float, tokens: int, rows: int) -> dict[str, float | int | None]:
    mean = loss / max(1, tokens)
    return {
        "loss": _finite(mean),
        "perplexity": _finite(perplexity(mean)),
        "rows": rows,
        "trained_tokens": tokens,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Samples:
    """What the model being trained answers at each validation, always the same."""

    def __init__(
        self,
        examples: Sequence[tuple[int, Example]],
        template: ChatTemplate,
        evaluation: Evaluation,
    ) -> None:
        """`examples` each with its line in the version's data.jsonl, counted from 1; 0 for a
        prompt of the config's own."""
        self._examples = examples
        self._template = template
        self._evaluation = evaluation

    def answers(self, step: int, causal: PreTrainedModel) -> list[Answered]:
        """What `causal`, which is left in evaluation mode, says by greedy decoding."""
        if not self._examples:
            return []
        causal.eval()
        with torch.no_grad(), plain_attention(causal):
            answers = answer(
                causal,
                self._template,
                [example for _, example in self._examples],
                max_new_tokens=self._evaluation.sample_tokens,
                batch_size=self._evaluation.batch_size,
                on_rows=lambda done: None,
            )
        return [
            Answered(step, row, example.prompt[-1].content, said.text, said.stopped, said.tokens)
            for (row, example), said in zip(self._examples, answers, strict=True)
        ]
