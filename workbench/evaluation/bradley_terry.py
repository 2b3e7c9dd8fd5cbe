"""The Bradley-Terry fit with its bootstrap: `python -m workbench.evaluation.bradley_terry`.

Reads a request on standard input, as JSON: `systems`, how many; `clusters`, each a list of
`[winner, loser, points]`; `seed`; `resamples`. Writes `values`, `lows`, `highs` by system, and
`left_out`, how many resamples gave no finite answer. Apart from its caller, `statistics.ranking`,
since choix needs numpy and scipy.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import choix
import numpy as np


def fit(request: dict[str, Any]) -> dict[str, Any]:
    """The strengths, by maximum likelihood, with the percentiles of their bootstrap."""
    k, resamples = request["systems"], request["resamples"]
    clusters = np.zeros((len(request["clusters"]), k, k))
    for place, games in enumerate(request["clusters"]):
        for winner, loser, points in games:
            clusters[place, winner, loser] += points
    values = choix.ilsr_pairwise_dense(clusters.sum(axis=0))
    generator = np.random.default_rng(request["seed"])
    even = np.full(len(clusters), 1 / len(clusters))
    drawn = []
    for many in generator.multinomial(len(clusters), even, size=resamples):
        points = np.tensordot(many, clusters, axes=1)
        if _connected(points):
            drawn.append(choix.ilsr_pairwise_dense(points, initial_params=values))
    lows, highs = np.percentile(drawn, [2.5, 97.5], axis=0) if drawn else (values, values)
    return {
        "values": (values - values.mean()).tolist(),
        "lows": lows.tolist(),
        "highs": highs.tolist(),
        "left_out": resamples - len(drawn),
    }


def _connected(points: Any) -> bool:
    """Whether everybody took points from everybody, by way of others if need be."""
    reach = (points > 0) | np.eye(len(points), dtype=bool)
    for _ in range(len(points)):
        reach = reach @ reach
    return bool(reach.all())


if __name__ == "__main__":
    json.dump(fit(json.load(sys.stdin)), sys.stdout)
