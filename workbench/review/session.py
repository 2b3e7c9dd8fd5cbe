"""Blind review: nameless outputs, one verdict a task, by pairs, a rubric, or accept and reject.

A session is one SQLite file, WORKSPACE/reviews/NAME.sqlite. Each verdict is on disk when `judge`
returns. Nothing that an annotator is given says which system is which, and its items have the
number of their place in the annotator's queue for a name.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.review import assignment, database, judgements
from workbench.review.assessments import Assessment
from workbench.review.assignment import Task
from workbench.review.forms import Form
from workbench.review.judgements import Judgement
from workbench.review.report import Progress, Report, blind_report, unblinded_report
from workbench.review.tasks import ADJUDICATE, Shared, Tasks
from workbench.review.wording import progress_line


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an annotator sees of one task: never which system wrote which text."""

    item: str
    """What the task is called: its place in this annotator's queue, or in the adjudication."""
    index: int
    """Its place, from 1."""
    total: int
    prompt: str
    reference: str
    left: str
    right: str | None
    """None where a single output is judged."""
    skipped: bool = False
    """Whether it was left out before, and comes back at the end."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that stands, as its annotator gave it: by side, not by system."""

    item: str
    index: int
    """The task's place in this annotator's order, from 1."""
    choice: str
    note: str
    made: float
    """Unix time."""
    flag: bool
    ratings: Mapping[str, int]
    reason: str


class Session:
    """An open session. It holds no connection, and may be used from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with database.reading(path) as connection:
            meta = connection.execute("SELECT * FROM meta").fetchone()
            rows = connection.execute("SELECT id, systems, identical FROM units").fetchall()
        self.name: str = meta["name"]
        self.created: float = meta["created"]
        self.owner: str = meta["owner"]
        self.source: dict[str, Any] = json.loads(meta["source"])
        self.form = Form.from_json(json.loads(meta["form"]))
        self.systems: tuple[str, ...] = tuple(json.loads(meta["systems"]))
        self.places: int = meta["places"]
        """Annotators that share the units; 0: whoever comes judges all."""
        self.overlap: int = meta["overlap"] or self.places
        self._seed: str = meta["seed"]
        self.units = [row["id"] for row in rows if not row["identical"]]
        """What there is to judge: pairs of outputs, or outputs."""
        self.identical = [row["id"] for row in rows if row["identical"]]
        """Pairs whose outputs are the same text: ties that nobody is asked about."""
        self._tasks = Tasks(
            path,
            self.name,
            self._seed,
            {row["id"]: row["systems"] for row in rows},
            self.units,
            Shared(self.places, self.overlap, meta["repeats"]),
        )

    @property
    def locked(self) -> float | None:
        """When it was ended, Unix time; None while it goes on."""
        with database.reading(self.path) as connection:
            found: float | None = connection.execute("SELECT locked FROM meta").fetchone()[0]
        return found

    @property
    def unblinded(self) -> bool:
        """Whether somebody has looked which system is which."""
        with database.reading(self.path) as connection:
            return _unblinded(connection) is not None

    def next(self, annotator: str) -> Comparison | None:
        """The first task that the annotator has no verdict on, in their own order; then what they
        have skipped once, in the order of that.

        None when there is none left. Raises WorkbenchError when all places are taken.
        """
        annotator = _annotator(annotator)
        queue = self._tasks.queue(annotator)
        with database.reading(self.path) as connection:
            own = _own(connection, annotator)
        done = {(j.unit, j.repeat) for j in own}
        for place, task in enumerate(queue):
            if (task.unit, task.repeat) not in done:
                return self._shown(task, str(place + 1), place + 1, len(queue))
        for judgement in own:
            if judgement.comes_back:
                return replace(self.comparison(annotator, self.called(judgement)), skipped=True)
        return None

    def comparison(self, annotator: str, item: str) -> Comparison:
        """A task as this annotator sees it. Raises WorkbenchError for an unknown one."""
        annotator = _annotator(annotator)
        task, index, total = self._tasks.find(annotator, item)
        return self._shown(task, item, index, total)

    def next_dispute(self, annotator: str) -> Comparison | None:
        """The first task of the adjudication: what others disagree on, that nobody has decided
        and that this annotator hasn't judged. None when there is none."""
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            standing = judgements.standing(connection)
        disputed = judgements.disputed(standing)
        mine = {j.unit for j in standing if j.annotator == annotator}
        decided = judgements.adjudicated(standing)
        for unit in assignment.order(self._seed, annotator, sorted(disputed)):
            if unit not in mine and unit not in decided:
                return self.comparison(annotator, f"{ADJUDICATE}{unit}")
        return None

    def judge(
        self,
        annotator: str,
        comparison: Comparison,
        choice: str,
        note: str = "",
        seconds: float | None = None,
        *,
        flag: bool = False,
        ratings: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> None:
        """Write a verdict, one of the form's choices or `skip`.

        `seconds` is how long it took, without what nobody was there for. It is on disk when this
        returns. An earlier verdict on the task stays in the history and no longer counts. Raises
        WorkbenchError for what is no answer to the form, and once the session is locked, unless
        it is an adjudication.
        """
        annotator = _annotator(annotator)
        ratings = ratings or {}
        self.form.check(choice, ratings, reason)
        task, index, _ = self._tasks.find(annotator, comparison.item)
        adjudicates = comparison.item.startswith(ADJUDICATE)
        if not index:
            raise WorkbenchError("Nobody disagrees on this any more: there is nothing to decide.")
        with database.changing(self.path) as connection:
            if not adjudicates:
                self._check_open(connection)
            connection.execute(
                "INSERT INTO judgements (annotator, unit, repeat, adjudicates, choice, ratings,"
                " reason, shown, note, flag, seconds, made)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    annotator,
                    task.unit,
                    task.repeat,
                    adjudicates,
                    choice,
                    json.dumps(ratings),
                    reason,
                    json.dumps(self._tasks.sides(task)),
                    storable(note),
                    flag,
                    seconds,
                    time.time(),
                ),
            )

    def undo(self, annotator: str) -> Comparison | None:
        """Take back the annotator's last verdict and return its task; as often as wanted.

        The history keeps it, and a verdict that it replaced counts again. None when
        nothing is left to take back.
        """
        annotator = _annotator(annotator)
        with database.changing(self.path) as connection:
            last = connection.execute(
                "SELECT id, unit, repeat, adjudicates FROM judgements"
                " WHERE annotator = ? AND undone IS NULL ORDER BY id DESC LIMIT 1",
                (annotator,),
            ).fetchone()
            if last is None:
                return None
            if not last["adjudicates"]:
                self._check_open(connection)
            connection.execute(
                "UPDATE judgements SET undone = ? WHERE id = ?", (time.time(), last["id"])
            )
        return self.comparison(annotator, self._tasks.called(annotator, last))

    def recent(self, annotator: str, limit: int = 10) -> list[Decision]:
        """The annotator's last verdicts that stand, the newest first."""
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            mine = judgements.standing(connection, annotator)
        found = []
        for j in mine[: -limit - 1 : -1]:
            row = {"unit": j.unit, "repeat": j.repeat, "adjudicates": j.adjudicates}
            item = self._tasks.called(annotator, row)
            index = self._tasks.find(annotator, item)[1]
            found.append(
                Decision(item, index, j.choice, j.note, j.made, j.flag, j.ratings, j.reason)
            )
        return found

    def progress(self, annotator: str) -> Progress:
        """How far the annotator is."""
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            mine = _own(connection, annotator)
        return Progress.of(annotator, mine, len(self._tasks.queue(annotator)))

    def disputes(self) -> tuple[int, int]:
        """On how many units annotators disagree, and how many of these are decided."""
        with database.reading(self.path) as connection:
            standing = judgements.standing(connection)
        disputed = judgements.disputed(standing)
        return len(disputed), len(disputed.keys() & judgements.adjudicated(standing).keys())

    def report(self, *, unblind: bool = False, anyway: bool = False) -> Report:
        """Progress, habits and agreement; with `unblind`, also which system won.

        Unblinding is written into the session. Raises WorkbenchError while an annotator
        who has begun isn't through, or nobody has begun, unless `anyway` is set.
        """
        with database.reading(self.path) as connection:
            standing = judgements.standing(connection)
            earlier = _unblinded(connection)
            locked = connection.execute("SELECT locked FROM meta").fetchone()[0]
        begun = sorted({j.annotator for j in standing if not j.adjudicates})
        totals = {name: len(self._tasks.queue(name)) for name in begun}
        blind = blind_report(self, standing, totals, locked)
        if not unblind:
            return blind
        if not (blind.complete or anyway or locked):
            how_far = [f"{p.annotator} {progress_line(asdict(p))}" for p in blind.annotators]
            raise WorkbenchError(
                f"The review {self.name} is not complete: {'; '.join(how_far) or 'not begun'}.",
                "Judge the rest first. Knowing the systems spoils every verdict after it.",
            )
        if earlier is None:
            with database.changing(self.path) as connection:
                connection.execute("INSERT INTO unblindings (made) VALUES (?)", (time.time(),))
        return unblinded_report(blind, standing, self.systems, self.source, earlier)

    def lock(self, *, anyway: bool = False) -> Report:
        """End the session: no more verdicts but those of the adjudication; and say which system
        is which. Raises WorkbenchError as `report` does. Locking twice is no error."""
        report = self.report(unblind=True, anyway=anyway)
        with database.changing(self.path) as connection:
            connection.execute("UPDATE meta SET locked = ? WHERE locked IS NULL", (time.time(),))
        return self.report(unblind=True, anyway=True) if report.locked is None else report

    def standing(self) -> list[Judgement]:
        """Every verdict that counts, with the systems: only for a session that was unblinded."""
        with database.reading(self.path) as connection:
            return judgements.standing(connection)

    def items(self) -> dict[str, dict[str, Any]]:
        """By key: prompt, messages, reference, outputs and scores by system. As `standing`."""
        with database.reading(self.path) as connection:
            rows = connection.execute("SELECT * FROM items ORDER BY position").fetchall()
        plain = ("messages", "outputs", "scores")
        return {
            row["key"]: {
                "prompt": row["prompt"],
                "reference": row["reference"],
                **{name: json.loads(row[name]) for name in plain},
            }
            for row in rows
        }

    def assessments(self, *, resolved: bool = True) -> list[Assessment]:
        """The verdicts with the systems that they are of, without skips and repeats: only for a
        session that was unblinded. `resolved`: where one was adjudicated, that one alone; else
        what the annotators themselves said."""
        standing = self.standing()
        counted = (judgements.resolved if resolved else judgements.first_looks)(standing)
        items = self.items()
        return [_assessment(j, items[j.item]["outputs"]) for j in counted]

    def called(self, judgement: Judgement) -> str:
        """What the verdict's task is called for its annotator."""
        row = {name: getattr(judgement, name) for name in ("unit", "repeat", "adjudicates")}
        return self._tasks.called(judgement.annotator, row)

    def _check_open(self, connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT locked FROM meta").fetchone()[0] is not None:
            raise WorkbenchError(
                f"The review {self.name} is locked: its verdicts stand.",
                f"What they say: workbench review report {self.name}",
            )

    def _shown(self, task: Task, item: str, index: int, total: int) -> Comparison:
        with database.reading(self.path) as connection:
            row = connection.execute(
                "SELECT i.* FROM items i JOIN units u ON u.item = i.key WHERE u.id = ?",
                (task.unit,),
            ).fetchone()
        outputs = json.loads(row["outputs"])
        sides = [outputs[system] for system in self._tasks.sides(task)]
        return Comparison(
            item=item,
            index=index,
            total=total,
            prompt=row["prompt"],
            reference=row["reference"],
            left=sides[0],
            right=sides[1] if len(sides) > 1 else None,
        )


def storable(text: str) -> str:
    """Text that UTF-8 can hold: half of a surrogate pair, as broken JSON has, becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _assessment(j: Judgement, outputs: Mapping[str, str]) -> Assessment:
    ratings = {name: (float(value),) for name, value in j.ratings.items()}
    if j.choice in ("accept", "reject"):
        ratings = {"accepted": (float(j.choice == "accept"),)}
    return Assessment(
        annotator=j.annotator,
        item=j.item,
        systems=j.shown,
        preferences={"better": j.points} if len(j.shown) > 1 else {},
        ratings=ratings,
        lengths=tuple(len(outputs[system]) for system in j.shown),
        note=j.note,
        made=j.made,
    )


def _own(connection: sqlite3.Connection, annotator: str) -> Sequence[Judgement]:
    """What the annotator said in their own queue."""
    return [j for j in judgements.standing(connection, annotator) if not j.adjudicates]


def _unblinded(connection: sqlite3.Connection) -> float | None:
    found: float | None = connection.execute("SELECT min(made) FROM unblindings").fetchone()[0]
    return found


def _annotator(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise WorkbenchError(f"{name!r} can't be an annotator's name.", "Use a printable name.")
    return name
