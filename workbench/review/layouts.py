"""Which column of a table of judgements means what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.config import yaml_reading
from workbench.errors import WorkbenchError

Values = Mapping[str, float]
"""The number that a cell's text stands for; empty: the cell holds a number itself."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one judgement a row."""

    name: str
    item: str
    annotator: str
    systems: tuple[str, ...]
    """Two columns in the order shown, or one; `=NAME` is the system's name itself."""
    preferences: Mapping[str, tuple[str, Values]] = field(default_factory=dict)
    """By criterion: the column, and its values; positive when the first output is better."""
    ratings: Mapping[str, tuple[tuple[str, ...], Values]] = field(default_factory=dict)
    """By criterion: a column for each system, and their values."""
    outputs: tuple[str, ...] = ()
    """The columns with the texts that were judged, whose lengths matter."""
    note: str = ""
    made: str = ""
    shown_in_order: bool = True
    """Whether `systems` is the order in which the outputs were shown."""

    @property
    def columns(self) -> set[str]:
        """Those that every table of this layout has."""
        named = {self.item, self.annotator, *self.systems, *self.outputs, self.made}
        named |= {column for column, _ in self.preferences.values()}
        named |= {column for columns, _ in self.ratings.values() for column in columns}
        return {column for column in named if column and not column.startswith("=")}


OPEN_INSTRUCT = Layout(
    name="open-instruct",
    item="instance_id",
    annotator="evaluator",
    systems=("model_a", "model_b"),
    preferences={
        "preference": (
            "preference",
            {
                "a-is-better": 2,
                "a-is-slightly-better": 1,
                "tie": 0,
                "b-is-slightly-better": -1,
                "b-is-better": -2,
            },
        )
    },
    ratings={
        "acceptable": (
            ("completion_a_is_acceptable", "completion_b_is_acceptable"),
            {"yes": 1, "no": 0},
        )
    },
    outputs=("completion_a", "completion_b"),
    note="comment",
    made="timestamp",
)
"""What the human evaluation of allenai/open-instruct writes, as for the Tülu papers."""

KNOWN = (OPEN_INSTRUCT,)

EXAMPLE = """\
item: prompt_id                     # columns
annotator: rater
systems: [model_a, model_b]         # in the order shown; "=base" is a name itself
preferences:
  overall: {column: winner, values: {A: 1, tie: 0, B: -1}}
"""


def recognise(columns: Iterable[str]) -> Layout | None:
    """The known layout whose columns these have, or None."""
    there = set(columns)
    return next((layout for layout in KNOWN if layout.columns <= there), None)


def read(path: Path) -> Layout:
    """A layout from a YAML file, as in `EXAMPLE`.

    Further fields: `ratings: {CRITERION: {columns: [A, B], values: {...}}}`, `outputs: [A, B]`,
    `note`, `made`, `shown_in_order: false`. Raises WorkbenchError that names the field.
    """
    body, _ = yaml_reading.read(yaml_reading.file_text(path), origin=str(path))
    where = f"{path}:"
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        raise WorkbenchError(
            f"{where} there is no field {', '.join(unknown)}.",
            f"There are: {', '.join(sorted(_FIELDS))}.",
        )
    systems = _texts(body, "systems", where)
    if len(systems) not in (1, 2):
        raise WorkbenchError(f"{where} `systems` must name one column or two.")
    outputs = _texts(body, "outputs", where) if "outputs" in body else ()
    if outputs and len(outputs) != len(systems):
        raise WorkbenchError(f"{where} `outputs` must name a column for each of `systems`.")
    return Layout(
        name=path.name,
        item=_text(body, "item", where),
        annotator=_text(body, "annotator", where),
        systems=systems,
        preferences={
            name: (_text(entry, "column", f"{where} preferences.{name}:"), values)
            for name, entry, values in _criteria(body, "preferences", where)
        },
        ratings={
            name: (_rated(entry, len(systems), f"{where} ratings.{name}:"), values)
            for name, entry, values in _criteria(body, "ratings", where)
        },
        outputs=outputs,
        note=_text(body, "note", where) if "note" in body else "",
        made=_text(body, "made", where) if "made" in body else "",
        shown_in_order=_flag(body, "shown_in_order", where),
    )


_FIELDS = {
    "item",
    "annotator",
    "systems",
    "preferences",
    "ratings",
    "outputs",
    "note",
    "made",
    "shown_in_order",
}


def _text(body: Mapping[str, Any], name: str, where: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise WorkbenchError(f"{where} `{name}` must name a column.")
    return value


def _texts(body: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = body.get(name)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise WorkbenchError(f"{where} `{name}` must be a list of columns.")
    return tuple(value)


def _flag(body: Mapping[str, Any], name: str, where: str) -> bool:
    value = body.get(name, True)
    if not isinstance(value, bool):
        raise WorkbenchError(f"{where} `{name}` must be true or false.")
    return value


def _rated(entry: Mapping[str, Any], systems: int, where: str) -> tuple[str, ...]:
    columns = _texts(entry, "columns", where)
    if len(columns) != systems:
        raise WorkbenchError(f"{where} `columns` must name a column for each of `systems`.")
    return columns


def _criteria(
    body: Mapping[str, Any], name: str, where: str
) -> list[tuple[str, Mapping[str, Any], Values]]:
    """The criteria of a kind, each with its entry and its values, checked."""
    given = body.get(name, {})
    if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
        raise WorkbenchError(f"{where} `{name}` must be `CRITERION: {{...}}` pairs.")
    found: list[tuple[str, Mapping[str, Any], Values]] = []
    for criterion, entry in given.items():
        values = entry.get("values", {})
        if not isinstance(values, dict) or not all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in values.values()
        ):
            raise WorkbenchError(
                f"{where} {name}.{criterion}: `values` must give a number for each text."
            )
        found.append((criterion, entry, values))
    return found
