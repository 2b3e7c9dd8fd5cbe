"""Optuna's part, where the extra is installed."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("optuna")

from workbench.config.loading import default_config
from workbench.config.sweep import Sweep, Swept
from workbench.sweeps.search import Told, suggest


def swept(**fields: Any) -> Swept:
    body = {"method": "optuna", "fields": fields, "budget": 20}
    return Swept(default_config(), Sweep.model_validate(body))


def search(of: Swept, loss: Any, count: int) -> list[dict[str, Any]]:
    """The values of the runs, each suggested from the results of all before it."""
    told: list[Told] = []
    values: list[dict[str, Any]] = []
    for _ in range(count):
        if (found := suggest(of, told, values)) is None:
            break
        made, asked = found
        values.append(made.values)
        told.append(Told(asked, False, loss(made.values)))
    return values


def test_suggestions_come_closer_to_the_best_and_again_with_the_same_results() -> None:
    of = swept(**{"training.learning_rate": {"min": 1e-6, "max": 1e-1, "scale": "log"}})

    def loss(values: dict[str, Any]) -> float:
        return abs(math.log10(values["training.learning_rate"]) + 3)

    found = search(of, loss, 30)
    off = [loss(values) for values in found]
    # Ten draws come first.
    assert sum(off[20:]) / 10 < 0.6 * sum(off[:10]) / 10
    assert found == search(of, loss, 30)


def test_nothing_is_suggested_twice_and_the_search_ends_when_nothing_is_left() -> None:
    of = swept(**{"lora.rank": {"values": [4, 8]}, "lora.alpha": {"times": 2, "of": "lora.rank"}})
    found = search(of, lambda values: values["lora.rank"], 5)
    assert sorted(values["lora.rank"] for values in found) == [4, 8]
    assert all(values["lora.alpha"] == 2 * values["lora.rank"] for values in found)


def test_runs_that_go_on_or_have_failed_are_told_too() -> None:
    of = swept(**{"lora.rank": {"min": 1, "max": 64}})
    told = [Told({"lora.rank": 4}, True, None), Told({"lora.rank": 64}, False, None)]
    found = suggest(of, told, [{"lora.rank": 4}, {"lora.rank": 64}])
    assert found is not None
    assert 1 <= found[0].config.lora.rank <= 64
    assert found[1] == {"lora.rank": found[0].config.lora.rank}
