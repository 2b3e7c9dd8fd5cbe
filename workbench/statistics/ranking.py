"""Several systems on one scale, from comparisons of two at a time: Bradley and Terry's model.

The fit is choix's, which needs numpy: it runs in a process of its own
(`workbench.evaluation.bradley_terry`), so that this may be called from a screen's worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError

RESAMPLES = 1000
_WORKER = "workbench.evaluation.bradley_terry"


@dataclass(frozen=True, slots=True)
class Game:
    """One comparison of two systems."""

    first: str
    second: str
    points: float
    """Of the first: 1 for a win, 0 for a loss, 1/2 for a tie."""
    cluster: str
    """What is drawn together, such as the prompt."""


@dataclass(frozen=True, slots=True)
class Strength:
    """A system's place on the scale of log odds."""

    system: str
    value: float
    """The mean over all systems is 0; a beats b with odds of exp(a - b)."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The systems from the strongest down, or why they can't be ranked."""

    strengths: tuple[Strength, ...]
    games: int
    clusters: int
    left_out: int = 0
    """Resamples in which some system had no finite strength."""
    problem: str = ""


def bradley_terry(games: Sequence[Game], *, seed: int = 0, resamples: int = RESAMPLES) -> Ranking:
    """Strengths by maximum likelihood, with 95 % intervals by the bootstrap over clusters.

    A tie counts as half a win for each. There is an answer only if the systems can't be parted in
    two groups of which one never got a point from the other (Ford 1957); `problem` names the
    groups otherwise. Source: Bradley and Terry 1952; the fit is iterative Luce spectral ranking,
    which gives the maximum of the likelihood (Maystre and Grossglauser 2015). Raises
    WorkbenchError when the process that computes it fails, and ValueError for a system against
    itself or points outside 0 to 1.
    """
    for game in games:
        if game.first == game.second or not 0 <= game.points <= 1:
            raise ValueError(f"{game} is no comparison of two systems")
    systems = sorted({name for game in games for name in (game.first, game.second)})
    clusters = _by_cluster(games, systems)
    problem = why_not(games)
    if problem:
        return Ranking((), len(games), len(clusters), problem=problem)
    request = {"systems": len(systems), "clusters": clusters, "seed": seed}
    found = _fitted({**request, "resamples": resamples})
    strengths = [
        Strength(system, value, low, high)
        for system, value, low, high in zip(
            systems, found["values"], found["lows"], found["highs"], strict=True
        )
    ]
    strengths.sort(key=lambda strength: -strength.value)
    return Ranking(tuple(strengths), len(games), len(clusters), left_out=found["left_out"])


def why_not(games: Sequence[Game]) -> str:
    """Why these comparisons give no ranking, or an empty string."""
    systems = sorted({name for game in games for name in (game.first, game.second)})
    if len(systems) < 2:
        return "there are no two systems that were compared."
    met: dict[str, set[str]] = {system: set() for system in systems}
    took: dict[str, set[str]] = {system: set() for system in systems}
    for game in games:
        met[game.first].add(game.second)
        met[game.second].add(game.first)
        if game.points > 0:
            took[game.first].add(game.second)
        if game.points < 1:
            took[game.second].add(game.first)
    together = _reached(systems[0], met)
    if len(together) < len(systems):
        apart = ", ".join(system for system in systems if system not in together)
        return (
            f"{', '.join(sorted(together))} and {apart} were never compared, not even by way of "
            "others."
        )
    for system in systems:
        below = _reached(system, took)
        if len(below) < len(systems):
            above = ", ".join(other for other in systems if other not in below)
            return f"{', '.join(sorted(below))} never got a point from {above}."
    return ""


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def _by_cluster(games: Sequence[Game], systems: Sequence[str]) -> list[list[list[float]]]:
    """Per cluster, in an order that doesn't hang on that of the games: who (by place) took how
    many points from whom."""
    place = {system: i for i, system in enumerate(systems)}
    found: dict[str, dict[tuple[int, int], float]] = {}
    for game in games:
        a, b = place[game.first], place[game.second]
        points = found.setdefault(game.cluster, {})
        points[a, b] = points.get((a, b), 0.0) + game.points
        points[b, a] = points.get((b, a), 0.0) + 1 - game.points
    return sorted([[a, b, n] for (a, b), n in sorted(each.items()) if n] for each in found.values())


def _fitted(request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", _WORKER],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise WorkbenchError(
            "The ranking of the systems could not be computed: "
            f"{(done.stderr.strip().splitlines() or ['no reason was given'])[-1]}.",
            "Everything else in the report stands by itself.",
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
