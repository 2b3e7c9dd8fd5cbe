"""Quality: responses that teach a model what nobody wants from it.

What each row shows by itself: an empty response, one that repeats its prompt, a refusal, a loop.
And what shows only beside the others of its task, for which rows are read twice: an end in the
middle of a sentence where the others end properly, an unusual length, words that many open or
close with, another language than the set's.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.data.curate import echoes, refusals, repetition
from workbench.data.curate.endings import Ending, ending
from workbench.data.curate.findings import Finding, Span, row_by_row
from workbench.data.curate.habits import DEVIATIONS, Habits
from workbench.data.curate.language import Languages
from workbench.data.curate.responses import Learnt, is_empty, learnt, without_unseen
from workbench.data.curate.words import QUOTED, quoted
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold, watched

NAME = "quality"
VERSION = 2
KINDS = (
    "empty-response",
    "echo",
    "refusal",
    "repetition",
    "language",
    "truncated",
    "length-outlier",
    "templated",
)
_PROPER = 0.9
"""Where fewer of a task's sentences end properly, its way is to end without a full stop."""
_SPANS = 50
"""Places that a finding names."""
_CODE = re.compile(r"[a-z]{2,3}\Z")


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as unusual. Raises WorkbenchError for what can't be."""

    languages: tuple[str, ...] = ()
    """Codes of the languages that are wanted (`en`, `de`); empty for the one that most of the
    set is in."""
    deviations: float = DEVIATIONS
    """Robust standard deviations of the length's logarithm from which a length stands out."""
    templated: float = 0.1
    """The least share of a task's responses that open or close with the same words."""
    repetition: float = 2.0
    """How many times Gopher's limits a response may repeat itself. Plain texts, which those are
    for, are held to the limits themselves: of 7,473 worked sums, which say `apples in the first
    basket` thrice in 80 words, 553 are beyond them, and 8 beyond twice as much."""

    def __post_init__(self) -> None:
        for code in self.languages:
            if not _CODE.match(code):
                raise WorkbenchError(
                    f"{code!r} is no code of a language.",
                    "Codes have two letters, or three: en, de, zh.",
                )
        if not 2 <= self.deviations < math.inf:
            raise WorkbenchError(
                f"The deviations must be at least 2, not {self.deviations}.",
                f"{DEVIATIONS} finds 1 in 2,000 of lengths that have nothing odd.",
            )
        if not 0.01 <= self.templated <= 1:
            raise WorkbenchError(
                f"The share of templated responses must be from 0.01 to 1, not {self.templated}.",
                "0.1 names the words that one response in ten opens or closes with.",
            )
        if not 1 <= self.repetition < math.inf:
            raise WorkbenchError(
                f"Repetition must be at least 1 time Gopher's limits, not {self.repetition}.",
                "2 leaves worked sums alone, and finds what goes round in circles.",
            )


_DEFAULT = Options()


def annotate(
    rows: Sequence[Example], options: Options = _DEFAULT, *, tell: Tell = untold
) -> Iterator[Finding]:
    """What is wrong with each row's responses, or with its plain text.

    Rows are read twice; takes some 60 bytes a row. The same rows give the same findings.
    Raises WorkbenchError for a language that can't be told from others.
    """
    survey = _Survey(options)
    for row, example in enumerate(watched(rows, "surveying", tell)):
        survey.add(row, example)
    survey.settle()
    yield from row_by_row(rows, survey.look, "looking", tell)


class _Survey:
    """What is known of all rows, against which each is held."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._habits: defaultdict[tuple[str, bool], Habits] = defaultdict(Habits)
        """By the task, and whether it is plain text."""
        self._languages = Languages(options.languages)

    def add(self, row: int, example: Example) -> None:
        """Take in a row."""
        for one in learnt(example):
            if not is_empty(one.text):
                self._habits[example.task, one.plain].add(one.text, _ending(one))
                self._languages.add(row, one.text)

    def settle(self) -> None:
        """All rows are in."""
        for habits in self._habits.values():
            habits.settle(self._options.deviations, self._options.templated)
        self._languages.settle()

    def look(self, row: int, example: Example) -> Iterator[Finding]:
        """What is wrong with a row."""
        nothing = True
        for one in learnt(example):
            nothing = False
            if is_empty(one.text):
                yield _empty(row, one)
                continue
            if not one.plain:
                yield from _of_response(row, one)
            yield from _repetition(row, one, 1.0 if one.plain else self._options.repetition)
            yield from self._language(row, one)
            yield from _beside(row, one, self._habits[example.task, one.plain])
        if nothing:
            yield Finding(row, "empty-response", "There is no response.")

    def _language(self, row: int, one: Learnt) -> Iterator[Finding]:
        if told := self._languages.other(row, one.text):
            code, sure = told
            usual, share = self._languages.usual, _percent(self._languages.share)
            reason = f"It is in the language {code}, where {share} of the set is {usual}."
            yield Finding(row, "language", reason, sure, (_span(one, 0, len(one.text), code),))


def _ending(one: Learnt) -> Ending:
    """A plain text may well be a piece of one."""
    return Ending.OTHER if one.plain else ending(one.text)


def _empty(row: int, one: Learnt) -> Finding:
    said = without_unseen(one.text).strip()
    reason = f"The response is “{said}”, which says nothing." if said else "The response is empty."
    return Finding(
        row, "empty-response", reason, spans=(_span(one, 0, len(one.part.text), "empty"),)
    )


def _of_response(row: int, one: Learnt) -> Iterator[Finding]:
    """What a response shows by itself."""
    if found := echoes.echo(one.prompt, one.text):
        start, end, share = found
        reason = f"The response repeats {_percent(share)} of the prompt's words, in their order."
        yield Finding(row, "echo", reason, share, (_span(one, start, end, "echo"),))
    if refused := refusals.refusal(one.text):
        start, end, label = refused
        reason = f"The response {label}: “{quoted(one.text[start:end])}”."
        yield Finding(row, "refusal", reason, spans=(_span(one, start, end, label),))


def _repetition(row: int, one: Learnt, times: float) -> Iterator[Finding]:
    if worst := repetition.worst(one.text, times):
        limit = "Gopher's limit" if times == 1 else f"{times:g} times Gopher's limit"
        reason = (
            f"{_percent(worst.share)} of its {worst.rule}; {limit} is "
            f"{_percent(times * worst.limit)}."
        )
        spans = tuple(_span(one, *place, "repeated") for place in worst.places[:_SPANS])
        yield Finding(row, "repetition", reason, worst.share, spans)


def _beside(row: int, one: Learnt, habits: Habits) -> Iterator[Finding]:
    """What shows only beside the others of the task."""
    yield from _truncated(row, one, habits.proper)
    if usual := habits.usual:
        yield from _length(row, one, usual)
    for edge, share in habits.shared(one.text):
        does, label = ("close", "closing") if edge.closing else ("open", "opening")
        words = quoted(one.text[edge.start : edge.end])
        reason = f"{_percent(share)} of the responses {does} with “{words}”."
        span = _span(one, edge.start, edge.end, label)
        yield Finding(row, "templated", reason, share, (span,))


def _truncated(row: int, one: Learnt, proper: float) -> Iterator[Finding]:
    """Takes the share of the task's responses that end properly."""
    end = _ending(one)
    line = one.text.rfind("\n") + 1
    start = max(line, len(one.text) - QUOTED + 1)
    if end is Ending.OPEN_FENCE:
        reason = "The response ends in a block of code that isn't closed."
        span = _span(one, start, len(one.text), "open fence")
        yield Finding(row, "truncated", reason, spans=(span,))
    elif end is Ending.CUT and proper >= _PROPER:
        rest = "…" * (start > line) + quoted(one.text[start:])
        reason = (
            f"The response ends in the middle of a sentence, “{rest}”; "
            f"{_percent(proper)} of those that end with a sentence end it properly."
        )
        span = _span(one, start, len(one.text), "mid-sentence")
        yield Finding(row, "truncated", reason, proper, (span,))


def _length(row: int, one: Learnt, usual: tuple[float, float, float]) -> Iterator[Finding]:
    middle, lowest, highest = usual
    length = len(one.text)
    if lowest <= length <= highest:
        return
    what = "text" if one.plain else "response"
    limit = f"fewer than {math.ceil(lowest):,}" if length < lowest else f"more than {highest:,.0f}"
    reason = (
        f"The {what} has {length:,} character{'s' * (length != 1)}, where half of the task's "
        f"{what}s have up to {middle:,.0f}; {limit} stands out."
    )
    yield Finding(row, "length-outlier", reason, length / middle)


def _span(one: Learnt, start: int, end: int, label: str) -> Span:
    return Span(one.part.where, start, end, label)


def _percent(share: float) -> str:
    return "over 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
