"""Accuracy and macro-F1 of answers that should be labels, and what they answered instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.evaluation.labels import Labels
from workbench.evaluation.measures import Measure, Sums, mean
from workbench.evaluation.names import NAMES
from workbench.evaluation.problems import Problems
from workbench.evaluation.rows import Row


@dataclass(frozen=True, slots=True)
class Classification:
    """A task whose references are labels."""

    task: str
    labels: Sequence[str]
    finder: Labels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "finder", Labels(self.labels))

    def pair(self, row: Row, system: str) -> tuple[set[str], str | None] | None:
        """The right labels and the one that an output gives; None where there is no output, or
        no reference is a label."""
        text = row.outputs.get(system)
        wanted = {name for ref in row.references if (name := self.finder.exactly(ref)) is not None}
        return None if text is None or not wanted else (wanted, self.finder.find(text))

    def to_json(self, rows: Iterable[Row], systems: Sequence[str]) -> dict[str, Any]:
        """What each system answered to the rows of each label, and how often no label; a row with
        several right labels stands under the one that was given, else under the first."""
        confusion: dict[str, dict[str, Counter[str]]] = {system: {} for system in systems}
        nothing: Counter[str] = Counter()
        for row in rows:
            for system in systems if row.task == self.task else ():
                found = self.pair(row, system)
                if found is None:
                    continue
                wanted, given = found
                name = given if given in wanted else min(wanted)
                confusion[system].setdefault(name, Counter())[given or ""] += 1
                nothing[system] += given is None
        return {
            "task": self.task,
            "labels": list(self.labels),
            "systems": {
                system: {
                    "no_label": nothing[system],
                    "answers": {name: dict(given) for name, given in sorted(of.items())},
                }
                for system, of in confusion.items()
            },
        }


def accuracy(found: Mapping[str, Classification], problems: Problems) -> Measure:
    """The share of outputs that give the right label; one that gives none is wrong."""

    def sums(row: Row, system: str) -> Sums | None:
        pair = found[row.task].pair(row, system)
        if pair is None:
            if row.references and system in row.outputs:
                problems.add("accuracy", "has a reference that is no label", row.key, system)
            return None
        wanted, given = pair
        return (float(given in wanted), 1.0)

    return Measure("accuracy", NAMES["accuracy"], sums, mean, share=True)


def no_label(found: Mapping[str, Classification]) -> Measure:
    """The share of outputs that give no label, or several."""

    def sums(row: Row, system: str) -> Sums | None:
        pair = found[row.task].pair(row, system)
        return None if pair is None else (float(pair[1] is None), 1.0)

    return Measure("no_label", NAMES["no_label"], sums, mean, better="lower", share=True)


def macro_f1(found: Mapping[str, Classification]) -> Measure:
    """The plain mean of the F1 of each label that is wanted or given at least once (as
    scikit-learn's `f1_score(average="macro")`); labels of two tasks are two. An output without a
    label is missing from its label's recall, and is no label of its own."""
    places = {
        (task, label): 3 * number
        for number, (task, label) in enumerate(
            (task, label) for task, one in found.items() for label in one.finder.names
        )
    }

    def sums(row: Row, system: str) -> Sums | None:
        pair = found[row.task].pair(row, system)
        if pair is None:
            return None
        wanted, given = pair
        # For each label: right, given wrongly, missed.
        counts = [0.0] * (3 * len(places))
        if given is not None and given in wanted:
            counts[places[row.task, given]] = 1.0
        else:
            counts[places[row.task, min(wanted)] + 2] = 1.0
            if given is not None:
                counts[places[row.task, given] + 1] = 1.0
        return tuple(counts)

    def value(totals: Sequence[float]) -> float | None:
        f1 = []
        for place in range(0, len(totals), 3):
            right, wrongly, missed = totals[place : place + 3]
            if right + wrongly + missed:
                f1.append(2 * right / (2 * right + wrongly + missed))
        return sum(f1) / len(f1) if f1 else None

    return Measure("macro_f1", NAMES["macro_f1"], sums, value)
