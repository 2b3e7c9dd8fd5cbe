"""Judgements that were made elsewhere, as assessments."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import sha256_file
from workbench.review import layouts, studies, tables
from workbench.review.assessments import Assessment, last_of_each
from workbench.review.layouts import Layout, Values
from workbench.review.studies import Study
from workbench.workspace import Workspace

_SHOWN = 5
_WORDS = {"first": 1, "second": -1, "tie": 0}


class _Refused(Exception):
    """Why a row is no judgement."""


def import_file(
    workspace: Workspace,
    path: Path,
    name: str,
    layout_file: Path | None = None,
    *,
    skip_bad: bool = False,
    encoding: str = "",
) -> Study:
    """Keep the judgements of a table as the review `name`.

    Where an annotator judged the same outputs of an item more than once, the last counts; how
    many that replaced is kept. Raises WorkbenchError for a name that is taken, a table that can't
    be read or whose columns are not those of the layout, and for rows that are no judgement,
    unless `skip_bad` leaves these out (and counts them).
    """
    studies.check_free(workspace, name)
    rows = list(tables.rows(path, encoding))
    columns = {column for _, cells, _ in rows for column in cells}
    layout = _layout(path, columns, layout_file)
    given: list[Assessment] = []
    refused: list[str] = []
    for place, cells, problem in rows:
        if problem:
            refused.append(f"{place}: {problem}")
            continue
        try:
            given.append(assessment(layout, cells))
        except _Refused as reason:
            refused.append(f"{place}: {reason}")
    if refused and not skip_bad:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise WorkbenchError(
            f"{len(refused)} of {len(rows)} rows are no judgement: "
            f"{'; '.join(refused[:_SHOWN])}{more}.",
            "Mend them, or leave them out with --skip-bad.",
        )
    if not given:
        raise WorkbenchError(f"{path} holds no judgement.", "Check the file and its layout.")
    kept = last_of_each(given)
    study = Study(
        name=name,
        created=time.time(),
        source={"file": str(path), "sha256": sha256_file(path), "layout": layout.name},
        assessments=kept,
        replaced=len(given) - len(kept),
        refused=len(refused),
        shown_in_order=layout.shown_in_order,
    )
    studies.save(workspace, study)
    return study


def _layout(path: Path, columns: Iterable[str], layout_file: Path | None) -> Layout:
    there = sorted(columns)
    if layout_file is None:
        found = layouts.recognise(there)
        if found is None:
            raise WorkbenchError(
                f"{path} has no layout that is known by itself ({_known()}). "
                f"Its columns: {', '.join(there) or 'none'}.",
                f"Say what they mean in a file for --layout, such as:\n\n{layouts.EXAMPLE}",
            )
        return found
    layout = layouts.read(layout_file)
    missing = sorted(layout.columns - set(there))
    if missing:
        raise WorkbenchError(
            f"{path} has no column {', '.join(missing)}, which {layout_file} names.",
            f"It has: {', '.join(there)}.",
        )
    return layout


def _known() -> str:
    return ", ".join(layout.name for layout in layouts.KNOWN)


def assessment(layout: Layout, cells: Mapping[str, Any]) -> Assessment:
    """One row as an assessment."""
    systems = tuple(
        name[1:] if name.startswith("=") else _required(cells, name) for name in layout.systems
    )
    if len(set(systems)) != len(systems):
        raise _Refused(f"{systems[0]} is compared with itself")
    preferences = {}
    for criterion, (column, values) in layout.preferences.items():
        if column in cells:
            preferences[criterion] = _preference(cells[column], column, values, systems)
    ratings = {}
    for criterion, (columns, values) in layout.ratings.items():
        rated = tuple(
            _number(cells[column], column, values) if column in cells else None
            for column in columns
        )
        if any(value is not None for value in rated):
            ratings[criterion] = rated
    if not preferences and not ratings:
        raise _Refused("it has neither a preference nor a rating")
    return Assessment(
        annotator=_required(cells, layout.annotator),
        item=_required(cells, layout.item),
        systems=systems,
        preferences=preferences,
        ratings=ratings,
        lengths=tuple(len(_text(cells.get(column, ""))) for column in layout.outputs),
        note=_text(cells.get(layout.note, "")),
        made=_time(cells[layout.made], layout.made) if layout.made in cells else None,
    )


def _required(cells: Mapping[str, Any], column: str) -> str:
    if column not in cells:
        raise _Refused(f"{column} is empty")
    return _text(cells[column])


def _text(value: Any) -> str:
    """A cell's text; spreadsheets keep whole numbers as 7.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any, column: str, values: Values) -> float:
    text = _text(value).strip()
    if values:
        if text not in values:
            raise _Refused(f"{column} is {text!r}, none of {', '.join(values)}")
        return float(values[text])
    try:
        number = float(text)
    except ValueError:
        raise _Refused(f"{column} is {text!r}, no number") from None
    if not math.isfinite(number):
        raise _Refused(f"{column} is {text!r}, no number")
    return number


def _preference(value: Any, column: str, values: Values, systems: tuple[str, ...]) -> int:
    """Whole, positive for the first. Without `values`: a number, `first`, `second`, `tie`, or the
    name of the better system."""
    text = _text(value).strip()
    if len(systems) != 2:
        raise _Refused(f"{column} is a preference, but there is one system")
    if not values:
        if text in systems:
            return 1 if text == systems[0] else -1
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
    number = _number(value, column, values)
    if not number.is_integer():
        raise _Refused(f"{column} is {text!r}, no whole number")
    return int(number)


def _time(value: Any, column: str) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value).strip()).timestamp()
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise _Refused(f"{column} is {str(value)!r}, no time") from None
