"""A comparison of runs as tables of text: for a terminal, a screen, a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.evaluation import telling
from workbench.evaluation.telling import Told
from workbench.tracking.columns import NOTHING, written

_KINDS = ("added", "removed", "changed", "moved")
"""As `data.diff` has them."""
_HASH = 64
_SHORT = 12
"""Digits of a hash that are shown."""
_CELL = 60
"""Characters of a value that are shown."""

_TOGETHER = "`workbench eval RUN RUN` has several runs answer the rows of the first."

Body = Mapping[str, Any]
"""As `comparing.plain` or `comparing.whole` make it."""


def tables(body: Body) -> Iterator[Told]:
    """Everything that a comparison says, part by part; a part that says nothing says so."""
    names = [run["id"] for run in body["runs"]]
    yield _runs(body["runs"])
    same = "Their configs are the same."
    yield _of("config: what differs", "field", names, body["config"], written, same)
    yield _of(
        "figures of each run's newest evaluation, on its own held-out rows",
        "figure",
        names,
        body["scores"],
        lambda figure: telling.interval(figure) if figure else NOTHING,
        "None of them has been evaluated: `workbench eval RUN`.",
    )
    if "paired" in body:
        yield from _paired(body["paired"])
        yield _data(body["data"])
    yield _of(
        "environment: what differs",
        "what",
        names,
        body["environment"],
        _short,
        "They were made with the same.",
    )
    if body["problems"]:
        yield Told("what could not be compared", [], [], list(body["problems"]))


def _runs(runs: Sequence[Body]) -> Told:
    headers = ["run", "state", "step", "loss", "val first", "val best", "dataset", "base", "tags"]
    rows = [
        [
            run["id"],
            run["status"],
            f"{run['step']}/{run['total_steps']}",
            *(_figure(run[f"{n}loss"]) for n in ("", "first_validation_", "best_validation_")),
            run["dataset"],
            run["base"],
            " ".join(run["tags"]),
        ]
        for run in runs
    ]
    return Told("", headers, rows, [])


def _of(
    title: str,
    what: str,
    names: Sequence[str],
    found: Sequence[Body],
    text: Any,
    nothing: str,
) -> Told:
    rows = []
    for row in found:
        name = row["name"].replace("_", " ") if what == "figure" else row["name"]
        rows.append([name, *(_cut(text(value)) for value in row["values"])])
    return Told(title, [what, *names], rows, [] if rows else [nothing])


def _paired(paired: Body) -> Iterator[Told]:
    title = "on the same held-out rows"
    told = telling.changes(paired) if "problem" not in paired else None
    if told is None:
        notes = [*paired.get("problem", "").splitlines(), _TOGETHER]
        yield Told(title, [], [], notes)
        return
    yield Told(f"{title}: {told.title}", told.headers, told.rows, told.notes)


def _data(found: Sequence[Body]) -> Told:
    title = "data: what each version differs by from the first run's"
    rows, notes = [], []
    for one in found:
        if one["same"]:
            continue
        if problem := one.get("problem"):
            notes.append(f"{one['run']} ({one['to']}): {problem}")
            continue
        before, after = one["rows"]
        counts = [f"{one[name]:,}" for name in (*_KINDS, "unchanged")]
        rows.append([one["run"], one["to"], f"{before:,} -> {after:,}", *counts])
    if rows:
        notes.append(f"`workbench data diff {found[0]['from']} OTHER` shows the rows.")
    elif not notes:
        notes.append("All are of the same dataset version.")
    return Told(title, ["run", "version", "rows", *_KINDS, "unchanged"], rows, notes)


def _short(value: Any) -> str:
    """A value of the environment; of a hash as many digits as tell it from another."""
    text = written(value)
    is_hash = len(text) == _HASH and all(letter in "0123456789abcdef" for letter in text)
    return text[:_SHORT] if is_hash else text


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
