"""What a person looks for in runs: `state:ended base:smol tag:good lora.r>=16 loss<1.5`.

Terms stand beside each other, and a run has to fit all of them; a minus before one turns it
round. `NAME:VALUE` is fitted by a text that holds the value, `NAME=VALUE` by the same one, and
numbers are compared; a name is that of any column. What is no term is text: a word or a phrase in
quotes that the run's id, state, dataset, base, tags or notes hold; `#good` is a tag.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from workbench.errors import WorkbenchError
from workbench.jobs.state import ENDED, GOING_ON
from workbench.tracking import column_names, columns
from workbench.tracking.columns import Column
from workbench.tracking.listing import Line

Fits = Callable[[Line], bool]

_TERM = re.compile(
    r"""(?P<not>-)?(?P<name>[A-Za-z_#][\w.@/-]*)
        (?P<sign>!=|>=|<=|>|<|=|:(?!//))
        (?: "(?P<quoted>[^"]*)" | (?P<value>\S+) )(?=\s|$)""",
    re.VERBOSE,
)
_TEXT = re.compile(r'(?P<not>-)?(?:"(?P<quoted>[^"]*)"(?=\s|$)|(?P<word>\S+))')
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_GROUPS = {"ended": ENDED, "going": GOING_ON, "on": GOING_ON, "active": GOING_ON}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_YES = {"yes": True, "true": True, "no": False, "false": False}
_NONE = ("none", "null", columns.NOTHING)
_CLOSE = 1e-9
"""Relative: 2e-4 is 0.0002, however either was come to."""


@dataclass(frozen=True, slots=True)
class Query:
    """All that a run has to fit."""

    terms: tuple[Fits, ...]
    archived: bool
    """Whether it says itself what is to be with archived runs."""

    def fits(self, line: Line) -> bool:
        return all(term(line) for term in self.terms)


def parse(text: str, lines: Sequence[Line]) -> Query:
    """The query that a text is, of these runs.

    Raises WorkbenchError for a column that no run has, a quote that isn't closed and a comparison
    with what is no number.
    """
    terms: list[Fits] = []
    place, archived = 0, False
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found = _TERM.match(text, place)
        if found:
            column = column_names.find(found["name"], lines)
            archived |= column.name == "archived"
            fits = _term(found, column)
        else:
            found = _TEXT.match(text, place)
            assert found is not None, "it isn't a space"  # noqa: S101
            _check(found[0])
            quoted = found["quoted"]
            fits = _holds(found["word"] if quoted is None else quoted, quoted is not None)
        terms.append(_not(fits) if found["not"] else fits)
        place = found.end()
    return Query(tuple(terms), archived)


def select(
    lines: Sequence[Line],
    where: str = "",
    sort: str = "",
    *,
    archived: bool | None = False,
) -> list[Line]:
    """The runs that a query finds, in their order or by a column (`-loss`: the highest first).

    `archived`: only those that are put away, or are not; None: all. A query that names it says
    it itself. Raises WorkbenchError as `parse` and `column_names.find` do.
    """
    query = parse(where, lines)
    if query.archived:
        archived = None
    found = [
        line
        for line in lines
        if (archived is None or line.summary.archived == archived) and query.fits(line)
    ]
    if sort:
        column = column_names.find(sort.removeprefix("-"), lines)
        found = columns.order(found, column, descending=sort.startswith("-"))
    return found


def _not(fits: Fits) -> Fits:
    return lambda line: not fits(line)


def _check(text: str) -> None:
    if text.count('"') == 1:
        raise WorkbenchError(f"The quote in {text} isn't closed.", 'End the phrase with a ".')
    if sign := re.search(r"[<>]=?|!=|=", text):
        raise WorkbenchError(
            f"{text} is no comparison.",
            f'Write it as loss{sign[0]}1.5, or as "{text}", which finds it as text.',
        )


def _holds(text: str, phrase: bool) -> Fits:
    wanted = text.casefold()
    if wanted.startswith("#") and not phrase:
        return lambda line: any(tag.casefold().startswith(wanted[1:]) for tag in line.summary.tags)

    def fits(line: Line) -> bool:
        run = line.summary
        words = (run.id, run.status, run.dataset, run.base, run.sweep, *run.tags)
        noted = (str(note["text"]) for note in run.notes)
        return any(wanted in part.casefold() for part in (*words, *noted))

    return fits


def _term(found: re.Match[str], column: Column) -> Fits:
    value = found["value"] if found["quoted"] is None else found["quoted"]
    sign = found["sign"]
    if sign in (":", "=", "!="):
        equal = _same(column, value) if sign != ":" else _has(column, value)
        return _not(equal) if sign == "!=" else equal
    number = _number(column, value, found[0])
    compare = _COMPARE[sign]

    def fits(line: Line) -> bool:
        own = column.value(line)
        return isinstance(own, int | float) and compare(own, number)

    return fits


def _has(column: Column, value: str) -> Fits:
    """What `NAME:VALUE` is fitted by."""
    wanted = value.casefold()
    if wanted in _NONE:
        return lambda line: column.value(line) is None
    if column.name == "state":
        group = next((of for name, of in _GROUPS.items() if name == wanted), None)
        if group is not None:
            return lambda line: line.summary.status in group
    if column.name == "tags":
        return lambda line: wanted in (tag.casefold() for tag in line.summary.tags)
    if column.name == "dataset":
        return lambda line: _is_dataset(line.summary.dataset.casefold(), wanted)
    if column.name == "note":
        return lambda line: any(wanted in str(n["text"]).casefold() for n in line.summary.notes)
    same = _same(column, value)

    def fits(line: Line) -> bool:
        own = column.value(line)
        return wanted in own.casefold() if isinstance(own, str) else same(line)

    return fits


def _is_dataset(reference: str, wanted: str) -> bool:
    """`NAME` is any of its versions, `NAME@12ab` those whose digits begin so."""
    name, _, version = reference.partition("@")
    asked, _, digits = wanted.partition("@")
    return name == asked and version.startswith(digits)


def _same(column: Column, value: str) -> Fits:
    wanted = value.casefold()
    number = _as_number(column, value)

    def fits(line: Line) -> bool:
        own = column.value(line)
        if isinstance(own, bool):
            return wanted in _YES and own is _YES[wanted]
        if isinstance(own, int | float):
            return number is not None and abs(own - number) <= _CLOSE * max(abs(own), abs(number))
        return own.casefold() == wanted if own is not None else wanted in _NONE

    return fits


def _number(column: Column, value: str, term: str) -> float:
    number = _as_number(column, value)
    if number is None:
        example = {"started": "started>2026-11-20", "age": "age<7d"}.get(column.name)
        raise WorkbenchError(
            f"{term} compares {column.name} with no number.",
            f"Write it as {example or f'{column.name}>1.5'}.",
        )
    return number


def _as_number(column: Column, value: str) -> float | None:
    """A number; a date of what is a time, and `7d`, `12h` of what is an age."""
    try:
        if column.name == "started":
            return datetime.fromisoformat(value).timestamp()
        if column.name == "age" and value[-1:] in _UNITS:
            return float(value[:-1]) * _UNITS[value[-1]]
        return float(value.replace(",", "").replace("_", ""))
    except ValueError:
        return None
