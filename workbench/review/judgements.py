"""Judgements as a session keeps them: which count, what of them disagrees."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

_FAR = 2
"""Points of a rubric by which two ratings must differ to be a disagreement."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict that counts."""

    id: int
    annotator: str
    unit: int
    item: str
    repeat: bool
    """Whether it was the annotator's second look, hidden among the others."""
    adjudicates: bool
    """Whether it decides between others that disagree."""
    choice: str
    ratings: Mapping[str, int]
    reason: str
    shown: tuple[str, ...]
    """The systems, from left to right."""
    note: str
    flag: bool
    seconds: float | None
    made: float
    """Unix time."""
    skips: int = 0
    """How often the annotator has left it out so far."""

    @property
    def comes_back(self) -> bool:
        """Whether it was left out once, and so is shown again at the end of the queue."""
        return self.skipped and self.skips == 1 and not self.adjudicates

    @property
    def skipped(self) -> bool:
        return self.choice == "skip"

    @property
    def winner(self) -> str | None:
        """A system, or None for all but a preference."""
        return self.shown[self.choice == "right"] if self.choice in ("left", "right") else None

    @property
    def verdict(self) -> Hashable:
        """What two annotators agree in, whichever side each saw a system on."""
        return self.winner or (tuple(sorted(self.ratings.items())) or self.choice)

    @property
    def points(self) -> int:
        """1 for the system on the left, -1 for that on the right, 0 for a tie."""
        return {"left": 1, "right": -1}.get(self.choice, 0)


def standing(connection: sqlite3.Connection, annotator: str | None = None) -> list[Judgement]:
    """Of each annotator and task the last verdict that isn't undone, in the order made."""
    rows = connection.execute(
        "SELECT j.*, u.item FROM judgements j JOIN units u ON u.id = j.unit"
        " WHERE undone IS NULL AND (?1 IS NULL OR annotator = ?1) ORDER BY j.id",
        (annotator,),
    )
    found: dict[tuple[object, ...], Judgement] = {}
    for row in rows:
        key = row["annotator"], row["unit"], row["repeat"], row["adjudicates"]
        earlier = found.pop(key, None)
        found[key] = Judgement(
            id=row["id"],
            annotator=row["annotator"],
            unit=row["unit"],
            item=row["item"],
            repeat=bool(row["repeat"]),
            adjudicates=bool(row["adjudicates"]),
            choice=row["choice"],
            ratings=json.loads(row["ratings"]),
            reason=row["reason"],
            shown=tuple(json.loads(row["shown"])),
            note=row["note"],
            flag=bool(row["flag"]),
            seconds=row["seconds"],
            made=row["made"],
            skips=(earlier.skips if earlier else 0) + (row["choice"] == "skip"),
        )
    return list(found.values())


def first_looks(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The annotators' own verdicts: no repeats, skips or adjudications."""
    return [j for j in judgements if not (j.repeat or j.skipped or j.adjudicates)]


def by_unit(judgements: Iterable[Judgement]) -> dict[int, list[Judgement]]:
    found: dict[int, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        found[judgement.unit].append(judgement)
    return dict(found)


def disagreeing(judgements: Sequence[Judgement]) -> bool:
    """Whether verdicts on one unit differ: in the better system or a tie, in accepting it, or by
    two points in a criterion."""
    if len(judgements) < 2:
        return False
    if any(j.ratings for j in judgements):
        names = {name for j in judgements for name in j.ratings}
        of = {name: [j.ratings[name] for j in judgements if name in j.ratings] for name in names}
        return any(max(given) - min(given) >= _FAR for given in of.values())
    return len({j.verdict for j in judgements}) > 1


def disputed(judgements: Iterable[Judgement]) -> dict[int, list[Judgement]]:
    """The units whose annotators disagree, with their verdicts."""
    return {
        unit: given
        for unit, given in by_unit(first_looks(judgements)).items()
        if disagreeing(given)
    }


def adjudicated(judgements: Iterable[Judgement]) -> dict[int, Judgement]:
    """The deciding verdict by unit: the last one."""
    return {j.unit: j for j in judgements if j.adjudicates and not j.skipped}


def resolved(judgements: Sequence[Judgement]) -> list[Judgement]:
    """The verdicts that the result rests on: where one was adjudicated, that one alone."""
    decided = adjudicated(judgements)
    return [*(j for j in first_looks(judgements) if j.unit not in decided), *decided.values()]


def consistency(judgements: Iterable[Judgement]) -> dict[str, tuple[int, int]]:
    """By annotator: how many of the hidden repeats got the same verdict, and of how many."""
    looks: dict[tuple[str, int], dict[bool, Judgement]] = defaultdict(dict)
    for j in judgements:
        if not j.adjudicates and not j.skipped:
            looks[j.annotator, j.unit][j.repeat] = j
    found: dict[str, tuple[int, int]] = {}
    for (annotator, _), both in looks.items():
        if len(both) == 2:
            same, many = found.get(annotator, (0, 0))
            agree = not disagreeing(list(both.values()))
            found[annotator] = same + agree, many + 1
    return found
