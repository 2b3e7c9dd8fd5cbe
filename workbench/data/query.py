"""What a person looks for in rows: `text`, `task:qa`, `flag:email`, `tokens>512`, `-split:train`.

Terms stand beside each other, and a row has to fit all of them; a minus before one turns it
round. `run:qa-0003` is fitted by rows that a run has learnt, and beside it `loss>2`, `worst<=10`,
`learnt:never` say how it did. What is no term is text: words that follow each other, or a phrase
in quotes. What looks like a term and can't be one is refused: as text it would find nothing, and
nobody would know why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from workbench.data import terms
from workbench.data.curate import checks, store
from workbench.data.example import Example
from workbench.data.terms import COMPARE
from workbench.data.versions import SPLITS, Version
from workbench.errors import WorkbenchError
from workbench.learning.courses import REGIONS, Course

TOKENS = "tokens"
ROW = "row"
FLAG = "flag"
SPLIT = "split"
BAD = "bad"
"""The flag of lines that no row can be made of, in files that workbench hasn't written."""
NUMBERS: dict[str, Callable[[Example], int]] = {
    "turns": lambda e: len(e.messages),
    "chars": lambda e: len(e.text) + sum(len(m.written) for m in e.messages),
    "prompt": lambda e: len(e.instruction),
    "response": lambda e: len(e.text or e.response),
}
"""What can be compared with a number, besides tokens and the row's own; lengths are in
characters."""
_NUMBERS = (TOKENS, ROW, *NUMBERS)
_TEXTS: dict[str, Callable[[Example], str]] = {
    "system": lambda e: e.system,
    "prompt": lambda e: e.instruction,
    "response": lambda e: e.text or e.response,
    "source": lambda e: e.source,
}
EXACT: dict[str, Callable[[Example], str]] = {
    "task": lambda e: e.task,
    SPLIT: lambda e: e.split,
    "id": lambda e: e.id,
}
RUN = "run"
LEARNT: dict[str, Callable[[Course], float]] = {
    "loss": lambda c: c.last,
    "confidence": lambda c: c.confidence,
    "variability": lambda c: c.variability,
    "hardness": lambda c: c.hardness,
    "rank": lambda c: c.rank,
    "worst": lambda c: c.share,
}
"""What can be compared of how a run learnt a row, beside the run's name: without one these are
extra fields of the row. `loss` is the last one, `worst` the percent that are as hard."""
_STEP = "step"


def _in_region(name: str, course: Course) -> bool:
    return course.region == name


_KINDS: dict[str, dict[str, Callable[[Course], bool]]] = {
    "learnt": {"never": lambda c: c.never_learnt},
    "region": {name: partial(_in_region, name) for name in REGIONS if name},
}
Parse = Callable[[int, bytes], tuple[Example, str]]
"""Makes a row of a line, and says why none can be made; the row is then the line as text."""


class Row:
    """A row as a query looks at it: its line is read no sooner than a term has to know more."""

    def __init__(self, number: int, line: bytes, parse: Parse) -> None:
        """`number` is counted from 0."""
        self.number = number
        self.line = line
        self._parse = parse

    @cached_property
    def _parsed(self) -> tuple[Example, str]:
        return self._parse(self.number, self.line)

    @property
    def example(self) -> Example:
        return self._parsed[0]

    @property
    def problem(self) -> str:
        """Why the line is no row; empty where it is one."""
        return self._parsed[1]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of rows besides what they hold."""

    flags: Mapping[str, Set[int]]
    """By check and by kind of finding, the rows that have one, from 0."""
    tokens: Callable[[Example], int] | None = None
    """How many a row is; None where it isn't said whose tokens."""
    course: Callable[[Row], Course | None] | None = None
    """How the run that the query names has learnt a row; None of one that it hasn't."""

    def count(self, example: Example) -> int:
        """Tokens of a row. Raises WorkbenchError where it isn't said whose."""
        if self.tokens is None:
            raise WorkbenchError(
                "Rows have tokens under a base model's template alone.",
                "Name the base with --model.",
            )
        return self.tokens(example)

    def learnt(self, row: Row) -> Course | None:
        """How a run has learnt a row. Raises WorkbenchError where nobody looked into the run."""
        if self.course is None:
            raise WorkbenchError(
                "Rows of a dataset version alone were learnt by a run.",
                "Look for them in the version that the run was of.",
            )
        return self.course(row)


Fits = Callable[[Row, Known], bool]
_COSTLY = 2


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a row has to fit."""

    text: str
    """As it was written."""
    fits: Fits
    cost: int = 1
    """Terms that are told without reading the row come first, tokens last."""


@dataclass(frozen=True, slots=True)
class Query:
    """All that a row has to fit."""

    terms: tuple[Term, ...]
    run: str = ""
    """The run whose learning is asked for; empty where none is."""

    def fits(self, row: Row, known: Known) -> bool:
        """Whether the row is looked for."""
        return all(term.fits(row, known) for term in self.terms)

    @property
    def counts_tokens(self) -> bool:
        return any(term.cost == _COSTLY for term in self.terms)


def parse(text: str) -> Query:
    """The query that a text is.

    Raises WorkbenchError for a quote that isn't closed, a comparison with what is no number, a
    flag, a split or a region that there isn't, and several runs.
    """
    pieces = list(terms.pieces(text, _NUMBERS.__contains__))
    run = _run([p for p in pieces if not isinstance(p, str) and p.groupdict().get("field") == RUN])
    wanted = [
        Term(piece, _holds(piece)) if isinstance(piece, str) else _term(piece, learnt=bool(run))
        for piece in pieces
    ]
    return Query(tuple(sorted(wanted, key=lambda term: term.cost)), run)


def _run(named: list[re.Match[str]]) -> str:
    names = {found["quoted"] or found["value"] or "" for found in named}
    if len(names) > 1 or any(found["not"] for found in named):
        raise WorkbenchError(
            f"The query names {' and '.join(found[0] for found in named)}.",
            "One run at a time says how rows were learnt.",
        )
    return names.pop() if names else ""


def _term(found: re.Match[str], *, learnt: bool) -> Term:
    groups = found.groupdict()
    field = groups.get("field")
    cost = 1
    if field is None:
        fits = _holds(groups["text"])
    elif learnt and field in (RUN, _STEP, *LEARNT, *_KINDS):
        fits, cost = _was_learnt(found), 0
    elif groups["compare"]:
        fits = _compares(field, groups["compare"], float(groups["number"]))
        cost = {ROW: 0, TOKENS: _COSTLY}.get(field, 1)
    else:
        value = groups["quoted"] or groups["value"] or ""
        fits = _has(field, value)
        cost = 0 if field == FLAG and value != BAD else 1
    if groups["not"]:
        return Term(found[0], lambda row, known: not fits(row, known), cost)
    return Term(found[0], fits, cost)


def _was_learnt(found: re.Match[str]) -> Fits:
    """What the query's run has to do with a row; none of it fits one that it hasn't learnt."""
    test = _about_learning(found)

    def fits(row: Row, known: Known) -> bool:
        course = known.learnt(row)
        return course is not None and test(course)

    return fits


def _about_learning(found: re.Match[str]) -> Callable[[Course], bool]:
    field, sign = found["field"], found["compare"]
    if field == RUN and not sign:
        return lambda course: True
    if field in _KINDS and not sign:
        kinds, value = _KINDS[field], found["quoted"] or found["value"] or ""
        if value not in kinds:
            known = " and ".join(f"{field}:{name}" for name in kinds)
            raise WorkbenchError(f"There is no {field}:{value}.", f"There is {known}.")
        return kinds[value]
    if sign and field == _STEP:
        compare, number = COMPARE[sign], float(found["number"])
        return lambda course: any(compare(step, number) for step in course.steps)
    if sign and field in LEARNT:
        compare, number, value_of = COMPARE[sign], float(found["number"]), LEARNT[field]
        return lambda course: compare(value_of(course), number)
    raise WorkbenchError(
        f"{found[0]} says nothing of how a run has learnt a row.",
        "Write run:ID, loss>2, worst<=10, step=120, learnt:never or region:hard.",
    )


def flags_of(version: Version) -> dict[str, set[int]]:
    """The rows that checks have found something in, by check and by kind; of a check that has
    looked several times, what it found last."""
    flags: dict[str, set[int]] = {}
    for found in store.list_findings(version):
        if found.check not in flags:
            flags[found.check] = set()
            for finding in found.read():
                flags[found.check].add(finding.row)
                flags.setdefault(finding.kind, set()).add(finding.row)
    return flags


def _holds(text: str) -> Fits:
    wanted = text.casefold()
    written = _as_written(text)

    def fits(row: Row, known: Known) -> bool:
        plain = row.line.isascii() and b"\\u" not in row.line
        if written is not None and plain and written not in row.line.lower():
            return False
        example = row.example
        texts = (example.text, *(message.written for message in example.messages))
        return any(wanted in part.casefold() for part in texts)

    return fits


def _as_written(text: str) -> bytes | None:
    """What a line of ASCII without `\\u` has if a text of it has `text`; None where JSON may
    write it in another way.

    It spares the reading of most rows: a million are gone through in a tenth of the time. Of
    other lines it can't be said: some signs beyond ASCII are letters in another case.
    """
    plain = text.isascii() and text.isprintable() and not {'"', "\\", "/"} & set(text)
    return text.lower().encode() if plain else None


def _compares(field: str, sign: str, number: float) -> Fits:
    compare = COMPARE[sign]
    if field == TOKENS:
        return lambda row, known: compare(known.count(row.example), number)
    if field == ROW:
        return lambda row, known: compare(row.number + 1, number)
    count = NUMBERS.get(field)
    if count is None:
        return lambda row, known: _compares_extra(row.example.extra.get(field), compare, number)
    return lambda row, known: compare(count(row.example), number)


def _compares_extra(value: Any, compare: Callable[[float, float], bool], number: float) -> bool:
    return isinstance(value, int | float) and compare(value, number)


def _has(field: str, value: str) -> Fits:
    if field == FLAG and value == BAD:
        return lambda row, known: bool(row.problem)
    if field == FLAG:
        if value not in (flags := checks.flags()):
            raise WorkbenchError(
                f"There is no flag {value}.", f"There are {', '.join(sorted({BAD, *flags}))}."
            )
        return lambda row, known: row.number in known.flags.get(value, ())
    if field == SPLIT and value not in SPLITS:
        raise WorkbenchError(f"There is no split {value}.", f"There are {' and '.join(SPLITS)}.")
    if (exact := EXACT.get(field)) is not None:
        return lambda row, known: exact(row.example) == value
    wanted = value.casefold()
    if (text := _TEXTS.get(field)) is not None:
        return lambda row, known: wanted in text(row.example).casefold()
    return lambda row, known: wanted in str(row.example.extra.get(field, "")).casefold()
