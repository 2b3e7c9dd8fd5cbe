from __future__ import annotations

from workbench.config.sweep import Metric
from workbench.sweeps.comparison import Line, ranked


def lines(metric: Metric, **values: float | None) -> list[Line]:
    return [Line(run, "finished", "", {}, {metric: value}) for run, value in values.items()]


def places(metric: Metric, **values: float | None) -> dict[str, tuple[int | None, bool]]:
    return {one.run: (one.place, one.tied) for one in ranked(lines(metric, **values), metric)}


def test_the_lowest_loss_is_best_and_those_without_one_come_last() -> None:
    found = places("validation_loss", a=None, b=2.0, c=1.5)
    assert list(found) == ["c", "b", "a"]
    assert found == {"c": (1, False), "b": (2, False), "a": (None, False)}


def test_the_highest_score_is_best() -> None:
    assert list(places("rouge_l", a=0.2, b=0.9, c=0.5)) == ["b", "c", "a"]
    assert list(places("tokens_per_second", a=100.0, b=200.0)) == ["b", "a"]


def test_what_is_equal_as_it_is_shown_shares_a_place() -> None:
    found = places("validation_loss", a=1.00001, b=1.00002, c=1.5, d=0.5)
    assert found == {"d": (1, False), "a": (2, True), "b": (2, True), "c": (4, False)}
