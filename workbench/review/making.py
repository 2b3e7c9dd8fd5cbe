"""A review session is made: of items, or of what runs, evaluations and files hold."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, count
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.review import assignment, database, studies
from workbench.review.forms import PAIRS, PAIRWISE, Form
from workbench.review.items import Item
from workbench.review.session import Session, storable
from workbench.review.sessions import default_annotator, path_of
from workbench.review.sources import Source, gather
from workbench.workspace import Workspace, check_name

_MOST_PLACES = 1000
_TELLING = 3
"""Characters from which a system's name is looked for in the session's."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who judges what."""

    places: int = 0
    """Annotators that share the work; 0: whoever comes judges all of it."""
    names: tuple[str, ...] = ()
    """Their names, where they are known beforehand."""
    overlap: int = 0
    """How many of them judge each; 0: all."""
    repeats: float = 0.0
    """The share that each annotator is shown a second time, hidden among the others."""

    def check(self) -> None:
        if not 0 <= self.places <= _MOST_PLACES or len(self.names) > self.places:
            raise WorkbenchError(f"There can't be {self.places} annotators.")
        if len(set(self.names)) < len(self.names):
            raise WorkbenchError("Two annotators can't have one name.")
        if self.overlap and not 0 < self.overlap <= self.places:
            raise WorkbenchError(
                f"{self.overlap} of {self.places} annotators can't judge each.",
                "Say how many there are with --annotators, and no more with --overlap.",
            )
        if not 0 <= self.repeats <= 0.5:
            raise WorkbenchError(f"{self.repeats} can't be repeated.", "From 0 to 0.5 can.")


ALL = Sharing()


def create(
    workspace: Workspace,
    name: str,
    items: Iterable[Item],
    *,
    systems: Sequence[str] = ("base", "adapter"),
    seed: int,
    source: dict[str, Any],
    form: Form = PAIRS,
    sharing: Sharing = ALL,
    hidden: Sequence[str] = (),
) -> Session:
    """Make a session of these items; it is there whole or not at all.

    `systems` has the baseline first: the report says how often the others won. Pairs whose outputs
    differ in nothing but white space at the ends are kept out of the queue and count as ties.
    `source` says where the outputs come from, and is shown only once the session is unblinded;
    `hidden` are names that the session's own must not betray, besides the systems'. Raises
    WorkbenchError for a name that is taken, no items, a key that comes twice or a missing output.
    """
    check_name(name, "review session")
    sharing.check()
    _check_systems(systems, form)
    _check_blind(name, [*systems, *hidden])
    given = list(items)
    kept = _checked(given, systems)
    # The name too, so that two sessions on the same rows differ in their sides.
    key = f"{name}/{seed}"
    units = _units(key, given, systems, form)
    path = path_of(workspace, name)
    with workspace.lock("reviews"):
        if path.exists():
            raise WorkbenchError(
                f"There is a review session {name} already.", "Choose another name."
            )
        with _building(path) as building:
            database.build(building)
            with database.changing(building) as connection:
                connection.execute(
                    "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                    (
                        name,
                        time.time(),
                        default_annotator(),
                        key,
                        json.dumps(form.to_json()),
                        json.dumps(systems),
                        json.dumps(source),
                        sharing.places,
                        sharing.overlap,
                        sharing.repeats,
                    ),
                )
                connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
                connection.executemany("INSERT INTO units VALUES (?, ?, ?, ?)", units)
                connection.executemany(
                    "INSERT INTO annotators VALUES (?, ?)",
                    [(who, place) for place, who in enumerate(sharing.names)],
                )
    return Session(path)


def create_session(
    workspace: Workspace,
    name: str,
    sources: Sequence[Source],
    *,
    seed: int | None = None,
    systems: Sequence[str] = (),
    rows: int | None = None,
    form: Form = PAIRS,
    sharing: Sharing = ALL,
) -> Session:
    """Make a session of the outputs that evaluations or files hold.

    `systems` chooses among them (all when empty), `rows` draws as many of the prompts. `seed`
    decides order and sides; drawn when it is None, since anyone who knows it can compute which
    system stands where. Raises WorkbenchError for a folder that is no evaluation, and as `create`
    and `gather` do.
    """
    studies.check_free(workspace, name)
    found = gather(sources, systems)
    drawn = secrets.randbits(64) if seed is None else seed
    items = found.items
    if rows is not None and rows < len(items):
        places = assignment.order(f"{name}/{drawn}", "rows", range(len(items)))[:rows]
        items = [items[place] for place in sorted(places)]
    origin = [source.to_json() for source in sources]
    return create(
        workspace,
        name,
        items,
        systems=found.systems,
        seed=drawn,
        source=origin[0] if len(origin) == 1 else {"evaluations": origin},
        form=form,
        sharing=sharing,
        hidden=[source.label for source in sources if source.path.is_dir()],
    )


def free_name(workspace: Workspace) -> str:
    """A name that says nothing of a run: `review-1`, or the next that is free."""
    taken = {path.name.split(".")[0] for path in workspace.reviews.glob("review-*")}
    return next(name for n in count(1) if (name := f"review-{n}") not in taken)


def _check_systems(systems: Sequence[str], form: Form) -> None:
    if len(set(systems) - {*PAIRWISE, "skip"}) != len(systems) or not systems:
        raise WorkbenchError(f"{tuple(systems)} can't be the names of the systems of a review.")
    if form.pairs and len(systems) < 2:
        raise WorkbenchError(
            f"There are outputs of {systems[0]} alone, and pairs are of two.",
            "Add another run or file with --from, or judge single outputs: --kind accept.",
        )


def _check_blind(name: str, hidden: Sequence[str]) -> None:
    """The session's name stands on the annotators' screens."""
    for each in hidden:
        if len(each) >= _TELLING and each.casefold() in name.casefold():
            raise WorkbenchError(
                f"The name {name} betrays {each}, and the review is blind.",
                "Choose a name that says nothing of runs and models.",
            )


def _checked(items: list[Item], systems: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of the table `items`."""
    if not items:
        raise WorkbenchError("There is nothing to review: no items.")
    rows: dict[str, tuple[Any, ...]] = {}
    for position, item in enumerate(items):
        key = storable(item.key)
        if key in rows:
            raise WorkbenchError(f"The key {key!r} comes twice; keys must differ.")
        groups = item.groups or (tuple(systems),)
        for system in (system for group in groups for system in group):
            if system not in item.outputs:
                raise WorkbenchError(f"The item {key!r} has no output of {system!r}.")
        outputs = {name: storable(item.outputs[name]) for name in systems if name in item.outputs}
        prompt = storable(item.prompt_text)
        messages = [dict(each) for each in item.messages] or [{"role": "user", "content": prompt}]
        rows[key] = (
            key,
            position,
            prompt,
            storable(json.dumps(messages, ensure_ascii=True)),
            storable(item.reference),
            json.dumps(outputs),
            json.dumps({name: item.scores.get(name, {}) for name in outputs}),
        )
    return list(rows.values())


def _units(
    seed: str, items: Sequence[Item], systems: Sequence[str], form: Form
) -> Iterator[tuple[int, str, str, bool]]:
    """The rows of the table `units`, numbered in an order that is drawn: a number says nothing of
    the systems."""
    found: list[tuple[str, tuple[str, ...], bool]] = []
    for item in items:
        for group in _groups(item, systems, form):
            texts = {item.outputs[name].strip() for name in group}
            found.append((storable(item.key), group, form.pairs and len(texts) == 1))
    for number, place in enumerate(assignment.order(seed, "units", range(len(found))), start=1):
        key, group, identical = found[place]
        yield number, key, json.dumps(group), identical


def _groups(item: Item, systems: Sequence[str], form: Form) -> list[tuple[str, ...]]:
    """The outputs of an item that are judged together: pairs of those that belong together, or
    each alone."""
    there = [name for name in systems if name in item.outputs]
    if not form.pairs:
        return [(name,) for name in there]
    together = [set(group) for group in item.groups] or [set(there)]
    return [pair for pair in combinations(there, 2) if any(g.issuperset(pair) for g in together)]


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
