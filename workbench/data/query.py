"""What a person looks for in rows: `text`, `task:qa`, `flag:email`, `tokens>512`, `-split:train`.

Terms stand beside each other, and a row has to fit all of them; a minus before one turns it
round. What is no term is text: words that follow each other, or a phrase in quotes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from workbench.data.curate import store
from workbench.data.example import Example
from workbench.data.versions import Version
from workbench.errors import WorkbenchError

_TERM = re.compile(
    r"""(?P<not>-)?(?P<field>[A-Za-z_][\w.-]*)
        (?: (?P<compare>>=|<=|>|<|=)(?P<number>-?\d+(?:\.\d+)?)
          | :(?: "(?P<quoted>[^"]*)" | (?P<value>\S+) ) )
        (?=\s|$)""",
    re.VERBOSE,
)
_PHRASE = re.compile(r'(?P<not>-)?"(?P<text>[^"]*)"(?=\s|$)')
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}
TOKENS = "tokens"
FLAG = "flag"
_NUMBERS: dict[str, Callable[[Example], int]] = {
    "turns": lambda e: len(e.messages),
    "chars": lambda e: len(e.text) + sum(len(m.written) for m in e.messages),
    "prompt": lambda e: len(e.instruction),
    "response": lambda e: len(e.text or e.response),
}
"""What can be compared with a number, besides tokens; lengths are in characters."""
_TEXTS: dict[str, Callable[[Example], str]] = {
    "system": lambda e: e.system,
    "prompt": lambda e: e.instruction,
    "response": lambda e: e.text or e.response,
    "source": lambda e: e.source,
}
_EXACT: dict[str, Callable[[Example], str]] = {
    "task": lambda e: e.task,
    "split": lambda e: e.split,
    "id": lambda e: e.id,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of rows besides what they hold."""

    flags: Mapping[str, Set[int]]
    """By check and by kind of finding, the rows that have one, from 0."""
    tokens: Callable[[Example], int] | None = None
    """How many a row is; None where it isn't said whose tokens."""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a row has to fit."""

    text: str
    """As it was written."""
    fits: Callable[[int, Example, Known], bool]


@dataclass(frozen=True, slots=True)
class Query:
    """All that a row has to fit."""

    terms: tuple[Term, ...]

    def fits(self, number: int, example: Example, known: Known) -> bool:
        """Whether row `number`, from 0, is looked for."""
        return all(term.fits(number, example, known) for term in self.terms)


def parse(text: str) -> Query:
    """The query that a text is. Raises WorkbenchError for a comparison that can't be made."""
    return Query(tuple(_terms(text)))


def _terms(text: str) -> Iterator[Term]:
    place, words = 0, ""
    while place < len(text):
        at_word = place == 0 or text[place - 1].isspace()
        found = at_word and (_PHRASE.match(text, place) or _TERM.match(text, place))
        if not found:
            words += text[place]
            place += 1
            continue
        if words.strip():
            yield Term(words.strip(), _holds(words.strip()))
        words, place = "", found.end()
        yield _term(found)
    if words.strip():
        yield Term(words.strip(), _holds(words.strip()))


def _term(found: re.Match[str]) -> Term:
    groups = found.groupdict()
    if "text" in groups:
        fits = _holds(groups["text"])
    elif groups["compare"]:
        fits = _compares(groups["field"], groups["compare"], float(groups["number"]))
    else:
        fits = _has(groups["field"], groups["quoted"] or groups["value"] or "")
    if groups["not"]:
        return Term(found[0], lambda n, e, k: not fits(n, e, k))
    return Term(found[0], fits)


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


Fits = Callable[[int, Example, Known], bool]


def _holds(text: str) -> Fits:
    wanted = text.casefold()

    def fits(number: int, example: Example, known: Known) -> bool:
        texts = (example.text, *(message.written for message in example.messages))
        return any(wanted in part.casefold() for part in texts)

    return fits


def _compares(field: str, sign: str, number: float) -> Fits:
    compare = _COMPARE[sign]
    if field == TOKENS:

        def by_tokens(row: int, example: Example, known: Known) -> bool:
            if known.tokens is None:
                raise WorkbenchError(
                    "Rows have tokens under a base model's template alone.",
                    "Name the base with --model.",
                )
            return compare(known.tokens(example), number)

        return by_tokens
    if field == "row":
        return lambda row, example, known: compare(row + 1, number)
    count = _NUMBERS.get(field)
    if count is None:
        return lambda row, example, known: _compares_extra(
            example.extra.get(field), compare, number
        )
    return lambda row, example, known: compare(count(example), number)


def _compares_extra(value: Any, compare: Callable[[float, float], bool], number: float) -> bool:
    return isinstance(value, int | float) and compare(value, number)


def _has(field: str, value: str) -> Fits:
    if field == FLAG:
        return lambda row, example, known: row in known.flags.get(value, ())
    if (exact := _EXACT.get(field)) is not None:
        return lambda row, example, known: exact(example) == value
    wanted = value.casefold()
    if (text := _TEXTS.get(field)) is not None:
        return lambda row, example, known: wanted in text(example).casefold()
    return lambda row, example, known: wanted in str(example.extra.get(field, "")).casefold()
