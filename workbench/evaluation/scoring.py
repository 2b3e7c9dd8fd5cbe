"""The figures of one system over a held-out split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from workbench.evaluation import metrics

_RESAMPLES = 1000


def system_scores(
    answers: Sequence[str],
    references: Sequence[str],
    losses: Sequence[float],
    tokens: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Every figure by name, each with `value`, `low`, `high` (95 % bootstrap) and `n`.

    `losses` are sums in nats over each row's trained tokens, `tokens` their counts.
    """
    scores: dict[str, dict[str, Any]] = {"loss": _token_mean(losses, tokens)}
    scores["perplexity"] = {
        name: value if name == "n" else metrics.perplexity(value)
        for name, value in scores["loss"].items()
    }
    for figure in scores.values():
        # JSON has neither NaN nor infinity.
        figure.update({k: None for k, v in figure.items() if not math.isfinite(v)})
    rows = [metrics.score(a, [r]) for a, r in zip(answers, references, strict=True)]
    for name, summary in metrics.summarise_scores(rows).items():
        body = summary.to_json()
        scores[name] = {"value": body.pop("mean"), **body}
    return scores


def _token_mean(losses: Sequence[float], tokens: Sequence[int]) -> dict[str, Any]:
    """The loss of a token, its interval by drawing whole rows: tokens of a row go together."""
    n = len(losses)
    pairs = list(zip(losses, tokens, strict=True))
    random = Random(0)  # noqa: S311 - a resample, not a secret
    means = sorted(_ratio(random.choices(pairs, k=n)) for _ in range(_RESAMPLES))
    tail = round(0.025 * _RESAMPLES)
    return {"value": _ratio(pairs), "low": means[tail], "high": means[-1 - tail], "n": n}


def _ratio(pairs: Sequence[tuple[float, int]]) -> float:
    return math.fsum(loss for loss, _ in pairs) / max(1, sum(count for _, count in pairs))
