"""What a person looks for in outputs: `rougeL<0.2 flag:loop task:qa disagree response>250`.

Written as a query of rows is (`workbench.data.query`): a row has to fit all terms, a minus turns
one round, and what is no term is text, in the prompt, a reference or an output. A term about an
output fits a row of which any output fits it, unless a system's letter or name stands before it:
`b.words>200`. `change` and `spread` are of the metric in view, or of the one behind the dot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workbench.data import terms
from workbench.data.terms import COMPARE
from workbench.degeneration.marks import RULES
from workbench.errors import WorkbenchError
from workbench.evaluation.outputs import Answered, Outputs, Said

Fits = Callable[[Answered], bool]
Value = Callable[[Answered], float | None]

FLAGS = (*RULES, "degenerate", "copied", "copied_whole", "contaminated")
"""What an output, or with the last one a row, can be marked with."""
_OF_OUTPUT: dict[str, Callable[[Said], float | None]] = {
    "response": lambda said: len(said.text),
    "words": lambda said: said.words,
    "tokens": lambda said: said.tokens,
    "flags": lambda said: sum(_is_wrong(mark) for mark in said.marks),
}
"""Numbers of an output besides its scores; `response` in characters, as for rows of data."""
_OF_ROW: dict[str, Value] = {
    "row": lambda row: row.number,
    "prompt": lambda row: len(row.prompt),
    "reference": lambda row: len(row.reference),
    "apart": lambda row: row.apart,
}
_BETWEEN = ("change", "spread")
"""Numbers of a row and a metric."""
_TEXTS: dict[str, Callable[[Answered], Sequence[str]]] = {
    "prompt": lambda row: (row.prompt,),
    "reference": lambda row: row.references,
}
_EXACT: dict[str, Callable[[Answered], str]] = {
    "task": lambda row: row.task,
    "key": lambda row: row.key,
}
_STATES: dict[str, Callable[[Answered, Outputs], bool]] = {
    "disagree": lambda row, outputs: row.disagrees,
    "missing": lambda row, outputs: len(row.said) < len(outputs.systems),
}
"""Terms of one word; as text they are looked for in quotes."""
SORTS = ("task", *_OF_ROW, *_BETWEEN, *_OF_OUTPUT)
"""What rows can be sorted by, besides the metrics."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Answers queries about some outputs; `metric` is the one in view, empty where there is
    none."""

    outputs: Outputs
    metric: str

    def find(self, query: str = "", sort: str = "") -> list[int]:
        """The places, from 0, of the rows that fit, in the order that is asked for.

        `sort` is one of `SORTS`, a metric, or either with a system before it; with a minus the
        largest comes first; rows without a value come last. Of several systems' values the one
        counts that puts the row further to the front. Raises WorkbenchError for a term or a key
        that there isn't.
        """
        fits = self._fits(query)
        rows = self.outputs.rows
        found = [place for place, row in enumerate(rows) if all(fit(row) for fit in fits)]
        if key := _key(sort):
            found = self._sorted(found, key, descending=sort.strip().startswith("-"))
        return found

    def check_sort(self, sort: str) -> None:
        """Raises WorkbenchError for a key that rows can't be sorted by."""
        if key := _key(sort):
            self._sorted([], key, descending=False)

    def metric_of(self, name: str) -> str | None:
        """The metric of a name, however it is written: rougeL is rouge_l; of one of a person's
        own, `mine:length`, what stands behind the colon will do."""
        metrics = self.outputs.metrics
        if name in metrics:
            return name
        wanted = _plain(name)
        return next(
            (m for m in metrics if wanted in (_plain(m), _plain(m.rpartition(":")[2]))), None
        )

    def means(self, places: Sequence[int]) -> dict[str, float | None]:
        """The mean of the metric in view over some rows, by system."""
        found = {}
        for system in self.outputs.systems:
            values = [self.outputs.rows[p].value(self.metric, system) for p in places]
            known = [value for value in values if value is not None]
            found[system] = sum(known) / len(known) if known else None
        return found

    # Terms.

    def _fits(self, query: str) -> list[Fits]:
        found: list[Fits] = []
        for piece in terms.pieces(query, self._is_number):
            if isinstance(piece, str):
                found += self._of_words(piece)
                continue
            fits = self._term(piece)
            found.append(_turned(fits) if piece["not"] else fits)
        return found

    def _of_words(self, words: str) -> Iterator[Fits]:
        """Text, and the terms of one word among it."""
        text: list[str] = []
        for word in words.split():
            state = _STATES.get(word.removeprefix("-"))
            if state is None:
                text.append(word)
                continue
            fits = self._is(state)
            yield _turned(fits) if word.startswith("-") else fits
        if text:
            yield _holds(" ".join(text))

    def _is(self, state: Callable[[Answered, Outputs], bool]) -> Fits:
        return lambda row: state(row, self.outputs)

    def _term(self, found: re.Match[str]) -> Fits:
        groups = found.groupdict()
        if "text" in groups:
            return _holds(groups["text"])
        field = groups["field"]
        if groups["compare"]:
            values = self._values(field, found[0])
            compare, number = COMPARE[groups["compare"]], float(groups["number"])
            return lambda row: any(compare(value, number) for value in values(row))
        return self._has(field, groups["quoted"] or groups["value"] or "", found[0])

    def _has(self, field: str, value: str, term: str) -> Fits:
        systems, name = self._of(field)
        if name == "flag":
            return _flagged(systems, self._flag(value))
        wanted = value.casefold()
        if name == "response":
            return lambda row: any(
                wanted in row.said[s].text.casefold() for s in systems if s in row.said
            )
        if name == field and (exact := _EXACT.get(field)) is not None:
            return lambda row: exact(row) == value
        if name == field and (texts := _TEXTS.get(field)) is not None:
            return lambda row: any(wanted in text.casefold() for text in texts(row))
        raise WorkbenchError(
            f"Outputs have nothing that is called {field}, as in {term}.",
            f"There are {', '.join((*_EXACT, 'flag', *_TEXTS, 'response'))}; "
            f'as text write it in quotes: "{term}".',
        )

    def _flag(self, value: str) -> str:
        there = {m for row in self.outputs.rows for said in row.said.values() for m in said.marks}
        known = {*FLAGS, *there}
        if value not in known:
            raise WorkbenchError(f"There is no flag {value}.", f"There are {_list(known)}.")
        return value

    def _is_number(self, field: str) -> bool:
        try:
            self._values(field, field)
        except WorkbenchError:
            return False
        return True

    def _values(self, field: str, term: str) -> Callable[[Answered], list[float]]:
        """The numbers of a row that a field names: one, or one a system."""
        if (of_row := _OF_ROW.get(field)) is not None:
            return lambda row: _known([of_row(row)])
        if (between := self._between(field)) is not None:
            return lambda row: _known([between(row)])
        systems, name = self._of(field)
        if (of_output := _OF_OUTPUT.get(name)) is not None:
            return lambda row: _known([of_output(row.said[s]) for s in systems if s in row.said])
        if (metric := self.metric_of(name)) is not None:
            return lambda row: _known([row.value(metric, system) for system in systems])
        raise WorkbenchError(
            f"Outputs have no number that is called {field}"
            f"{f', as in {term}' if term != field else ''}.",
            f"There are {_list({*_OF_ROW, *_BETWEEN, *_OF_OUTPUT, *self.outputs.metrics})}; "
            "what is no term is found as text in quotes.",
        )

    def _between(self, field: str) -> Value | None:
        what, dot, name = field.partition(".")
        metric = self.metric_of(name) if dot else self.metric
        if what not in _BETWEEN or metric is None:
            return None
        if what == "spread":
            return lambda row: row.spread(metric)
        return lambda row: row.change(metric, self.outputs.systems)

    def _of(self, field: str) -> tuple[tuple[str, ...], str]:
        """The systems that a field is about, and what is left of it without their name."""
        names = {**self.outputs.letters, **{name: name for name in self.outputs.systems}}
        for name in sorted(names, key=len, reverse=True):
            if field.startswith(f"{name}."):
                return (names[name],), field[len(name) + 1 :]
        return self.outputs.systems, field

    # Order.

    def _sorted(self, places: list[int], key: str, *, descending: bool) -> list[int]:
        rows = self.outputs.rows
        if key == "task":
            return sorted(places, key=lambda place: rows[place].task, reverse=descending)
        values = self._values(key, key)
        found = {place: values(rows[place]) for place in places}
        known = [place for place in places if found[place]]
        first = max if descending else min
        known.sort(key=lambda place: first(found[place]), reverse=descending)
        return known + [place for place in places if not found[place]]


def _key(sort: str) -> str:
    return sort.strip().removeprefix("-")


def _flagged(systems: Sequence[str], flag: str) -> Fits:
    if flag == "contaminated":
        return lambda row: row.contaminated is True
    return lambda row: any(flag in row.said[s].marks for s in systems if s in row.said)


def _holds(text: str) -> Fits:
    wanted = text.casefold()

    def fits(row: Answered) -> bool:
        texts = (row.prompt, *row.references, *(said.text for said in row.said.values()))
        return any(wanted in part.casefold() for part in texts)

    return fits


def _turned(fits: Fits) -> Fits:
    return lambda row: not fits(row)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _is_wrong(mark: str) -> bool:
    """Whether a mark is one of degeneration, and no note or summary of others."""
    return mark in RULES and not RULES[mark].note


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
