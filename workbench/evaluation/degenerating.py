"""What is wrong with a system's outputs, as measures: marks, how they end, how much they vary, and
what they copy of the training rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from workbench.data.example import Example
from workbench.degeneration import marks as marking
from workbench.degeneration import measures as repetition
from workbench.evaluation.copied import LONG, Copies
from workbench.evaluation.measures import Measure, of_values
from workbench.evaluation.rows import Row, words
from workbench.jobs.progress import Tell, untold, watched

REFERENCE = "reference"
"""Beside the systems: the data's own answers, which copy what everybody copies."""

_COPIES = "looking for copies of training rows"
_Key = tuple[str, str]
_Numbers = dict[_Key, float]


@dataclass(frozen=True, slots=True)
class Marked:
    """What was found, and in which outputs."""

    measures: list[Measure]
    """Of each system's outputs."""
    of_reference: list[Measure]
    """Of the references, as a system that is called `reference`."""
    rows: dict[str, dict[str, list[str]]]
    """The keys of the rows that a mark is on, by mark and system; of marks that there are."""


def look(
    rows: Sequence[Row],
    systems: Sequence[str],
    trained: Iterable[Example] | None,
    tell: Tell = untold,
) -> Marked:
    """Look at each output alone, beside the system's others, and beside the rows that were
    trained on; None: those aren't known.

    The training rows are read once and none is kept.
    """
    answered = [row for row in rows if row.outputs]
    found: dict[str, _Numbers] = {}
    for name in (*marking.RULES, "degenerate", "stopped"):
        found[name] = {}
    for system in systems:
        _mark(answered, system, found, tell)
    measured = [
        of_values(
            name,
            rule.what,
            found[name],
            better="" if rule.note else "lower",
            share=True,
        )
        for name, rule in marking.RULES.items()
        if found[name]
    ]
    for name, what, better in (
        ("degenerate", "any of these but the notes", "lower"),
        ("stopped", "ends by itself", "higher"),
    ):
        if found[name]:
            measured.append(of_values(name, what, found[name], better=better, share=True))
    copies: list[Measure] = []
    if trained is not None:
        copies = _copied(answered, systems, _told(trained, tell), found)
    varied = _varied(answered, systems)
    rows_of = {
        name: _rows(values)
        for name, values in found.items()
        if name != "stopped" and any(values.values())
    }
    return Marked([*measured, *varied, *copies], copies, rows_of)


def _mark(
    rows: Sequence[Row], system: str, found: dict[str, _Numbers], tell: Tell = untold
) -> None:
    mine = [row for row in rows if system in row.outputs]
    references = [row.references[0] for row in mine if row.references]
    beside = marking.beside([row.outputs[system] for row in mine], references)
    watching = watched(mine, f"marking outputs of {system}", tell, "outputs")
    for row, shared in zip(watching, beside, strict=True):
        key = (row.key, system)
        alone = marking.marks(
            row.outputs[system],
            prompt=row.prompt,
            stopped=row.stopped.get(system),
            tokens=row.tokens.get(system),
        )
        names = {mark.name for mark in (*alone, *shared)}
        for name in marking.RULES:
            # Whether an output was cut is only known where it was noted.
            if name != "cut" or system in row.stopped:
                found[name][key] = float(name in names)
        found["degenerate"][key] = float(marking.degenerate(alone))
        if system in row.stopped:
            found["stopped"][key] = float(row.stopped[system])


def _varied(rows: Sequence[Row], systems: Sequence[str]) -> list[Measure]:
    """How much outputs vary and how long they are, in numbers."""
    values: dict[str, _Numbers] = defaultdict(dict)
    for row in rows:
        for system in systems:
            text = row.outputs.get(system)
            if text is None:
                continue
            key = (row.key, system)
            said = repetition.words(text)
            values["words"][key] = len(said)
            if text.strip():
                values["compression"][key] = repetition.compression(text)
            if len(said) >= marking.FEWEST_WORDS:
                # Distinct-n falls with the length: all are measured at the same one.
                first = said[: marking.DISTINCT_WINDOW]
                values["distinct_1"][key] = repetition.distinct(first, 1)
                values["distinct_2"][key] = repetition.distinct(first, 2)
                values["rep_4"][key] = repetition.rep(said, 4)
    window = f"in the first {marking.DISTINCT_WINDOW} words, from {marking.FEWEST_WORDS} on"
    about: dict[str, tuple[str, dict[str, Any]]] = {
        "distinct_1": (f"different words over words, {window}", {}),
        "distinct_2": (f"different pairs of words over words, {window}", {}),
        "rep_4": (
            f"runs of four words that were there before, from {marking.FEWEST_WORDS} words on",
            {"better": "lower"},
        ),
        "compression": ("how many times it compresses", {"better": "", "unit": "times"}),
        "words": ("how long it is", {"better": "", "unit": "words"}),
    }
    return [
        of_values(name, what, values[name], **more)
        for name, (what, more) in about.items()
        if values[name]
    ]


def _copied(
    rows: Sequence[Row],
    systems: Sequence[str],
    trained: Iterable[Example],
    found: dict[str, _Numbers],
) -> list[Measure]:
    texts = {
        (row.key, system): row.outputs[system]
        for row in rows
        for system in systems
        if system in row.outputs
    }
    texts |= {(row.key, REFERENCE): row.references[0] for row in rows if row.references}
    copies = Copies(list(texts.values()))
    copies.look(trained)
    longest = dict(zip(texts, map(float, copies.longest()), strict=True))
    long = {key: float(run >= LONG) for key, run in longest.items()}
    found["copied"] = {key: value for key, value in long.items() if key[1] != REFERENCE}
    whole = {key: float(run > 0 and run >= words(texts[key])) for key, run in longest.items()}
    return [
        of_values(
            "copied",
            f"has {LONG} words on end of a training row",
            long,
            better="lower",
            share=True,
        ),
        of_values("copied_whole", "stands in a training row whole", whole, better="", share=True),
        of_values(
            "copied_words",
            "words of the longest run that is in a training row",
            longest,
            better="",
            unit="words",
        ),
    ]


def _told(trained: Iterable[Example], tell: Tell) -> Iterator[Example]:
    """The rows, while it is told how many of them were looked through."""
    total = len(trained) if isinstance(trained, Sized) else 0
    tell(_COPIES, 0, total, "rows")
    for done, example in enumerate(trained, start=1):
        yield example
        tell(_COPIES, done, max(done, total), "rows")


def _rows(values: _Numbers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for (key, system), value in values.items():
        if value:
            found.setdefault(system, []).append(key)
    return found
