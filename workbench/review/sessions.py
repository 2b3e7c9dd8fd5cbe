"""Blind pairwise review: two systems, nameless, side by side; one verdict an item.

A session is one SQLite file, WORKSPACE/reviews/NAME.sqlite. Each verdict is on disk
when `judge` returns. Nothing that an annotator is given says which system is which.
"""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.review import assignment, database
from workbench.review.assessments import Assessment
from workbench.review.items import Item
from workbench.review.report import Judgement, Progress, Report, blind_report, unblinded_report
from workbench.review.wording import progress_line
from workbench.workspace import Workspace, check_name

CHOICES = ("left", "right", "tie", "skip")
_POINTS = {"left": 1, "tie": 0, "right": -1}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an annotator sees of one item: never which system wrote which text."""

    item: str
    """The item's key, which is the same for both systems."""
    index: int
    """Its place in this annotator's order, from 1."""
    total: int
    prompt: str
    reference: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that stands, as its annotator gave it: by side, not by system."""

    item: str
    index: int
    """The item's place in this annotator's order, from 1."""
    choice: str
    note: str
    made: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A session in the list of a workspace's sessions."""

    name: str
    created: float = 0.0
    """Unix time; 0 when it can't be read."""
    items: int = 0
    """How many wait in the queue of each annotator."""
    identical: int = 0
    annotators: tuple[Progress, ...] = ()
    problem: str = ""
    """Why it can't be opened, or an empty string."""


class Session:
    """An open session. It holds no connection, and may be used from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with database.reading(path) as connection:
            meta = connection.execute("SELECT * FROM meta").fetchone()
            rows = connection.execute("SELECT key, identical FROM items ORDER BY position")
            kept = {row["key"]: bool(row["identical"]) for row in rows}
        self.name: str = meta["name"]
        self.created: float = meta["created"]
        self.source: dict[str, Any] = json.loads(meta["source"])
        baseline, candidate = json.loads(meta["systems"])
        self.systems: tuple[str, str] = (baseline, candidate)
        self._seed: str = meta["seed"]
        self.keys = [key for key, identical in kept.items() if not identical]
        """The items to judge."""
        self.identical = [key for key, identical in kept.items() if identical]
        """The items whose outputs are the same text: ties that nobody is asked about."""

    def next(self, annotator: str) -> Comparison | None:
        """The first item that the annotator has no verdict on, in their own order.

        None when there is none left.
        """
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            done = {j.item for j in _standing(connection) if j.annotator == annotator}
        waiting = (key for key in self._order(annotator) if key not in done)
        key = next(waiting, None)
        return None if key is None else self.comparison(annotator, key)

    def comparison(self, annotator: str, key: str) -> Comparison:
        """One item as this annotator sees it. Raises WorkbenchError for an unknown key."""
        annotator = _annotator(annotator)
        left = self._left(annotator, key)
        with database.reading(self.path) as connection:
            row = connection.execute("SELECT * FROM items WHERE key = ?", (key,)).fetchone()
        outputs = json.loads(row["outputs"])
        return Comparison(
            item=key,
            index=self._order(annotator).index(key) + 1,
            total=len(self.keys),
            prompt=row["prompt"],
            reference=row["reference"],
            left=outputs[left],
            right=outputs[self._other(left)],
        )

    def judge(
        self,
        annotator: str,
        comparison: Comparison,
        choice: str,
        note: str = "",
        seconds: float | None = None,
    ) -> None:
        """Write a verdict: `left`, `right`, `tie` or `skip`.

        It is on disk when this returns. An earlier verdict on the item stays in the
        history and no longer counts.
        """
        annotator = _annotator(annotator)
        if choice not in CHOICES:
            raise WorkbenchError(f"{choice!r} is no verdict.", f"Use one of {', '.join(CHOICES)}.")
        left = self._left(annotator, comparison.item)
        winner = {"left": left, "right": self._other(left)}.get(choice)
        values = (annotator, comparison.item, choice, left, winner, _storable(note), seconds)
        with database.changing(self.path) as connection:
            connection.execute(
                "INSERT INTO judgements"
                " (annotator, item, choice, left_system, winner, note, seconds, made)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, time.time()),
            )

    def undo(self, annotator: str) -> Comparison | None:
        """Take back the annotator's last verdict and return its item; as often as wanted.

        The history keeps it, and a verdict that it replaced counts again. None when
        nothing is left to take back.
        """
        annotator = _annotator(annotator)
        with database.changing(self.path) as connection:
            last = connection.execute(
                "SELECT id, item FROM judgements WHERE annotator = ? AND undone IS NULL"
                " ORDER BY id DESC LIMIT 1",
                (annotator,),
            ).fetchone()
            if last is None:
                return None
            connection.execute(
                "UPDATE judgements SET undone = ? WHERE id = ?", (time.time(), last["id"])
            )
        return self.comparison(annotator, last["item"])

    def recent(self, annotator: str, limit: int = 10) -> list[Decision]:
        """The annotator's last verdicts that stand, the newest first."""
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            mine = [j for j in _standing(connection) if j.annotator == annotator]
        mine.sort(key=lambda judgement: judgement.id, reverse=True)
        index = {key: place for place, key in enumerate(self._order(annotator), start=1)}
        return [Decision(j.item, index[j.item], j.choice, j.note, j.made) for j in mine[:limit]]

    def progress(self, annotator: str) -> Progress:
        """How far the annotator is."""
        annotator = _annotator(annotator)
        with database.reading(self.path) as connection:
            mine = [j for j in _standing(connection) if j.annotator == annotator]
        return Progress.of(annotator, mine, len(self.keys))

    def report(self, *, unblind: bool = False, anyway: bool = False) -> Report:
        """Progress, position bias and agreement; with `unblind`, also which system won.

        Unblinding is written into the session. Raises WorkbenchError while an annotator
        who has begun isn't through, or nobody has begun, unless `anyway` is set.
        """
        with database.reading(self.path) as connection:
            judgements = _standing(connection)
            earlier = connection.execute("SELECT min(made) FROM unblindings").fetchone()[0]
        blind = blind_report(self.name, self.keys, len(self.identical), judgements)
        if not unblind:
            return blind
        if not blind.complete and not anyway:
            begun = [f"{p.annotator} {progress_line(asdict(p))}" for p in blind.annotators]
            raise WorkbenchError(
                f"The review {self.name} is not complete: {'; '.join(begun) or 'not begun'}.",
                "Judge the rest first. Knowing the systems spoils every verdict after it.",
            )
        if earlier is None:
            with database.changing(self.path) as connection:
                connection.execute("INSERT INTO unblindings (made) VALUES (?)", (time.time(),))
        return unblinded_report(blind, judgements, self.systems, self.source, earlier)

    def assessments(self) -> list[Assessment]:
        """The verdicts with the systems that they are of, without the skips: only for a session
        that was unblinded."""
        with database.reading(self.path) as connection:
            standing = [each for each in _standing(connection) if each.choice != "skip"]
            rows = connection.execute("SELECT key, outputs FROM items")
            outputs = {row["key"]: json.loads(row["outputs"]) for row in rows}
        found = []
        for each in standing:
            left = self._left(each.annotator, each.item)
            shown = left, self._other(left)
            found.append(
                Assessment(
                    annotator=each.annotator,
                    item=each.item,
                    systems=shown,
                    preferences={"better": _POINTS[each.choice]},
                    ratings={},
                    lengths=tuple(len(outputs[each.item][system]) for system in shown),
                    note=each.note,
                    made=each.made,
                )
            )
        return found

    def _order(self, annotator: str) -> list[str]:
        return assignment.order(self._seed, annotator, self.keys)

    def _left(self, annotator: str, key: str) -> str:
        if key in self.identical:
            raise WorkbenchError(
                f"Both systems gave the same output for {key!r}: it counts as a tie already."
            )
        if key not in self._known:
            raise WorkbenchError(
                f"The review {self.name} has no item {key!r}.",
                "`workbench review next` shows an item's key.",
            )
        sides = assignment.left_systems(self._seed, annotator, self.keys, self.systems)
        return sides[key]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.keys)

    def _other(self, system: str) -> str:
        return self.systems[1 - self.systems.index(system)]


def create(
    workspace: Workspace,
    name: str,
    items: Iterable[Item],
    *,
    systems: tuple[str, str] = ("base", "adapter"),
    seed: int,
    source: dict[str, Any],
) -> Session:
    """Make a session of these items; it is there whole or not at all.

    `systems` is (baseline, candidate): the report says how often the candidate won.
    Items whose outputs differ in nothing but white space at the ends are kept out of the
    queue and count as ties. `source` says where the outputs come from, and is shown
    only once the session is unblinded. Raises WorkbenchError for a name that is taken,
    no items, a key that comes twice or a missing output.
    """
    check_name(name, "review session")
    rows = _rows(list(items), systems)
    path = _path(workspace, name)
    with workspace.lock("reviews"):
        if path.exists():
            raise WorkbenchError(
                f"There is a review session {name} already.", "Choose another name."
            )
        with _building(path) as building:
            database.build(building)
            with database.changing(building) as connection:
                connection.execute(
                    "INSERT INTO meta (name, created, seed, systems, source)"
                    " VALUES (?, ?, ?, ?, ?)",
                    # The name too, so that two sessions on the same rows differ in their sides.
                    (name, time.time(), f"{name}/{seed}", json.dumps(systems), json.dumps(source)),
                )
                connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)
    return Session(path)


def open(workspace: Workspace, name: str) -> Session:
    """The named session. Raises WorkbenchError, naming those there are, for no such name."""
    path = _path(workspace, name)
    if not path.is_file():
        names = ", ".join(listed.name for listed in list_sessions(workspace))
        raise WorkbenchError(
            f"There is no review session {name} in {workspace.reviews}.",
            f"There are: {names}." if names else "Make one with `workbench review create`.",
        )
    return Session(path)


def list_sessions(workspace: Workspace) -> list[Listed]:
    """The workspace's sessions, the newest first; a damaged one says so in `problem`."""
    found = [_listed(path) for path in sorted(workspace.reviews.glob("*.sqlite"))]
    return sorted(found, key=lambda listed: -listed.created)


def default_annotator() -> str:
    """The login name, or the number of a user that has no name (as in some containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


@contextmanager
def _building(path: Path) -> Iterator[Path]:
    """A file in a hidden folder that becomes `path` at the end, or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=path.parent) as folder:
            building = Path(folder) / path.name
            yield building
            building.replace(path)
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.reviews / f"{name}.sqlite"


def _listed(path: Path) -> Listed:
    try:
        session = Session(path)
        report = session.report()
    except WorkbenchError as error:
        return Listed(path.stem, problem=str(error))
    return Listed(
        session.name,
        created=session.created,
        items=len(session.keys),
        identical=len(session.identical),
        annotators=report.annotators,
    )


def _rows(items: list[Item], systems: tuple[str, str]) -> list[tuple[Any, ...]]:
    """The rows of the table `items`, checked."""
    if len(set(systems) - set(CHOICES)) != 2:
        raise WorkbenchError(f"{systems} can't be the names of the two systems of a review.")
    if not items:
        raise WorkbenchError("There is nothing to review: no items.")
    rows: dict[str, tuple[Any, ...]] = {}
    for position, item in enumerate(items):
        key = _storable(item.key)
        if key in rows:
            raise WorkbenchError(f"The key {key!r} comes twice; keys must differ.")
        for system in systems:
            if system not in item.outputs:
                raise WorkbenchError(f"The item {key!r} has no output of {system!r}.")
        outputs = {system: _storable(item.outputs[system]) for system in systems}
        identical = len({output.strip() for output in outputs.values()}) == 1
        texts = _storable(item.prompt_text), _storable(item.reference)
        rows[key] = (key, position, *texts, json.dumps(outputs), identical)
    return list(rows.values())


def _standing(connection: sqlite3.Connection) -> list[Judgement]:
    """The verdict that counts for each annotator and item: the last that isn't undone."""
    rows = connection.execute("SELECT * FROM judgements WHERE undone IS NULL ORDER BY id")
    standing = {
        (row["annotator"], row["item"]): Judgement(
            id=row["id"],
            annotator=row["annotator"],
            item=row["item"],
            choice=row["choice"],
            winner=row["winner"],
            note=row["note"],
            made=row["made"],
        )
        for row in rows
    }
    return list(standing.values())


def _annotator(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise WorkbenchError(f"{name!r} can't be an annotator's name.", "Use a printable name.")
    return name


def _storable(text: str) -> str:
    """Text that UTF-8 can hold: half of a surrogate pair, as broken JSON has, becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
