"""What the tasks of a session are for an annotator, and what they are called."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.review import assignment, database, judgements
from workbench.review.assignment import Task

ADJUDICATE = "d"
"""Before the number of a unit: a task of the adjudication."""
_LONGEST = 10
"""Digits that no task's number has."""


@dataclass(frozen=True, slots=True)
class Shared:
    """How a session's units are shared, as its file has it."""

    places: int
    """Annotators that share the units; 0: whoever comes judges all."""
    overlap: int
    repeats: float


class Tasks:
    """Of one session. May be used from any thread."""

    def __init__(
        self,
        path: Path,
        name: str,
        seed: str,
        systems: Mapping[int, str],
        units: list[int],
        sharing: Shared,
    ) -> None:
        """`systems` are those of each unit, as JSON; `units` are what there is to judge."""
        self._path, self._name, self._seed = path, name, seed
        self._of_unit, self._units, self._sharing = systems, units, sharing
        self._queues: dict[str, list[Task]] = {}
        self._numbers: dict[str, dict[tuple[int, bool], int]] = {}

    def queue(self, annotator: str) -> list[Task]:
        """The annotator's tasks in their order. Raises WorkbenchError when all places are taken."""
        if annotator not in self._queues:
            units = self._units
            if self._sharing.places:
                place = self._place(annotator)
                units = assignment.shares(
                    self._seed, units, self._sharing.places, self._sharing.overlap
                )[place]
            systems = {unit: self._of_unit[unit] for unit in units}
            self._queues[annotator] = assignment.queue(
                self._seed, annotator, systems, self._sharing.repeats
            )
        return self._queues[annotator]

    def _place(self, annotator: str) -> int:
        """The annotator's place among those that share the units; taken when first asked for."""
        with database.changing(self._path) as connection:
            taken = dict(connection.execute("SELECT name, place FROM annotators").fetchall())
            if annotator not in taken:
                if len(taken) >= self._sharing.places:
                    raise WorkbenchError(
                        f"{annotator} has no place in the review {self._name}: "
                        f"it is for {', '.join(sorted(taken))}.",
                        "Judge under one of these names with --annotator.",
                    )
                taken[annotator] = len(taken)
                connection.execute(
                    "INSERT INTO annotators VALUES (?, ?)", (annotator, taken[annotator])
                )
        return int(taken[annotator])

    def find(self, annotator: str, item: str) -> tuple[Task, int, int]:
        """The task that is called `item`, its place and of how many."""
        digits = item.removeprefix(ADJUDICATE)
        number = int(digits) if digits.isdecimal() and len(digits) < _LONGEST else 0
        if item == f"{ADJUDICATE}{number}" and number in self._units:
            with database.reading(self._path) as connection:
                disputed = sorted(judgements.disputed(judgements.standing(connection)))
            drawn = assignment.queue(self._seed, f"{annotator}/adjudicates", {number: ""})[0]
            index = disputed.index(number) + 1 if number in disputed else 0
            return drawn, index, len(disputed)
        queue = self.queue(annotator)
        if item != str(number) or not 0 < number <= len(queue):
            raise WorkbenchError(
                f"The review {self._name} has no item {item!r} for {annotator}.",
                "`workbench review next` shows an item's number.",
            )
        return queue[number - 1], number, len(queue)

    def called(self, annotator: str, row: Mapping[str, Any] | sqlite3.Row) -> str:
        """What the task of a verdict is called: the columns unit, repeat and adjudicates."""
        if row["adjudicates"]:
            return f"{ADJUDICATE}{row['unit']}"
        return str(self._places(annotator)[row["unit"], bool(row["repeat"])])

    def _places(self, annotator: str) -> dict[tuple[int, bool], int]:
        if annotator not in self._numbers:
            tasks = enumerate(self.queue(annotator), start=1)
            self._numbers[annotator] = {(task.unit, task.repeat): place for place, task in tasks}
        return self._numbers[annotator]

    def sides(self, task: Task) -> list[str]:
        """The systems from left to right."""
        systems: list[str] = json.loads(self._of_unit[task.unit])
        return systems[::-1] if task.flipped else systems
