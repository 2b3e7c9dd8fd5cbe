from __future__ import annotations

import math

import pytest

from workbench.errors import WorkbenchError
from workbench.statistics import ranking
from workbench.statistics.ranking import Game, bradley_terry, why_not

BASEBALL = {
    "Milwaukee": (0, 7, 9, 7, 7, 9, 11),
    "Detroit": (6, 0, 7, 5, 11, 9, 9),
    "Toronto": (4, 6, 0, 7, 7, 8, 12),
    "New York": (6, 8, 6, 0, 6, 7, 10),
    "Boston": (6, 2, 6, 7, 0, 7, 12),
    "Cleveland": (4, 4, 5, 6, 6, 0, 6),
    "Baltimore": (2, 4, 1, 3, 1, 7, 0),
}
"""Wins of the row over the column: Agresti 2002, "Categorical Data Analysis", table 10.10."""


def games(table: dict[str, tuple[int, ...]]) -> list[Game]:
    return [
        Game(winner, loser, 1, f"{winner} {loser} {game}")
        for winner, row in table.items()
        for loser, wins in zip(table, row, strict=True)
        for game in range(wins)
    ]


def test_the_american_league_of_1987() -> None:
    """Agresti 2002, section 10.6.1: the strengths above Baltimore's are 1.58, 1.44, 1.29, 1.25,
    1.11 and 0.68."""
    found = bradley_terry(games(BASEBALL))
    assert [each.system for each in found.strengths] == list(BASEBALL)
    last = found.strengths[-1].value
    above = [each.value - last for each in found.strengths[:-1]]
    assert above == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68], abs=5e-3)
    assert sum(each.value for each in found.strengths) == pytest.approx(0, abs=1e-9)
    assert all(each.low < each.value < each.high for each in found.strengths)
    assert (found.games, found.clusters, found.problem) == (273, 273, "")


def test_the_four_of_the_encyclopedia() -> None:
    """Wikipedia, "Bradley-Terry model", worked example: .640, 1.043, .660, 2.270, by A to D."""
    table = {"A": (0, 2, 0, 1), "B": (3, 0, 5, 0), "C": (0, 3, 0, 1), "D": (4, 0, 3, 0)}
    found = bradley_terry(games(table), resamples=100)
    assert bradley_terry(games(table)[::-1], resamples=100) == found
    strengths = {each.system: math.exp(each.value) for each in found.strengths}
    assert [strengths[name] for name in "ABCD"] == pytest.approx(
        [0.640, 1.043, 0.660, 2.270], abs=1e-3
    )
    # So few games have resamples in which D never loses.
    assert found.left_out > 0


def test_a_tie_is_half_a_win_for_each() -> None:
    """Two systems: the strengths are ± half of the log odds of the points, here 7 to 3."""
    points = [1.0] * 5 + [0.5] * 4 + [0.0]
    found = bradley_terry([Game("a", "b", p, str(i)) for i, p in enumerate(points)], resamples=20)
    assert [each.value for each in found.strengths] == pytest.approx(
        [math.log(7 / 3) / 2, -math.log(7 / 3) / 2]
    )


@pytest.mark.parametrize(
    ("played", "problem"),
    [
        ([("a", "b", 0.5), ("c", "d", 0.5)], "a, b and c, d were never compared"),
        ([("a", "b", 1), ("b", "c", 0.5)], "b, c never got a point from a"),
        ([("a", "b", 1), ("a", "b", 0), ("c", "a", 0)], "c never got a point from a, b"),
        ([], "no two systems"),
    ],
)
def test_systems_that_can_not_be_ranked_are_named(
    played: list[tuple[str, str, float]], problem: str
) -> None:
    given = [Game(*each, cluster="1") for each in played]
    assert problem in why_not(given)
    found = bradley_terry(given)
    assert (found.strengths, found.problem) == ((), why_not(given))


def test_ties_and_rounds_connect() -> None:
    assert why_not([Game("a", "b", 0.5, ""), Game("b", "c", 0.5, "")]) == ""
    assert why_not([Game("a", "b", 1, ""), Game("b", "c", 1, ""), Game("c", "a", 1, "")]) == ""


def test_what_is_no_comparison_is_refused() -> None:
    for game in (Game("a", "a", 1, ""), Game("a", "b", 2, "")):
        with pytest.raises(ValueError, match="no comparison"):
            bradley_terry([game])


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_WORKER", "workbench.no_such_module")
    with pytest.raises(WorkbenchError, match="No module named"):
        bradley_terry([Game("a", "b", 0.5, "")])
