"""The result of an evaluation: every figure of stored outputs, with no model needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.evaluation import degenerating, measures, slices
from workbench.evaluation.choosing import Chosen, choose
from workbench.evaluation.comparing import Table, corrected
from workbench.evaluation.names import Settings
from workbench.evaluation.problems import Problems
from workbench.evaluation.rows import Row
from workbench.jobs.progress import Tell, untold, watched
from workbench.statistics.bootstrap import RESAMPLES
from workbench.statistics.proportions import CONFIDENCE

VERSION = 2
BASE = "base"
_DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class Scored:
    """What was measured."""

    result: dict[str, Any]
    """Every figure; `docs/evaluation.md` has its shape."""
    rows: list[dict[str, Any]]
    """Of each row with outputs: its `key`, by system the `scores` and the `marks`, and whether it
    is `contaminated`, where that is known."""


def score(
    rows: Sequence[Row],
    settings: Settings = _DEFAULT,
    *,
    seed: int = 0,
    labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
    trained: Iterable[Example] | None = None,
    tell: Tell = untold,
) -> Scored:
    """Measure every system's outputs, and what each differs by from the base; the same rows,
    settings and seed give the same result.

    The base is the system of that name, else the first. `labels` are those of the data by task;
    `trained` the rows that were trained on, each read once; None where they aren't known. `tell`
    is told how far it is. Raises WorkbenchError for rows without any output or loss, and as
    `choosing.choose` does.
    """
    problems = Problems()
    systems, chosen, table, marked = _looked_at(rows, settings, labels, trained, problems, tell)
    tell("drawing the intervals", 0, 1, "")
    body = {
        "v": VERSION,
        "settings": asdict(settings),
        "seed": seed,
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
        "base": systems[0],
        "rows": _counts(rows, systems),
        "metrics": chosen.by_task,
        "measures": {
            measure.name: measure.to_json() for measure in (*table.measures, *marked.measures)
        },
        **_whole(table, seed),
        "slices": _slices(table, rows, seed, tell),
        "labels": _labels(chosen, rows, systems),
        "degeneration": _degeneration(rows, marked, systems, seed),
        "problems": problems.to_json(),
    }
    return Scored(body, list(_by_row(table, marked, systems)))


def by_row(
    rows: Sequence[Row],
    settings: Settings = _DEFAULT,
    *,
    labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
    trained: Iterable[Example] | None = None,
) -> list[dict[str, Any]]:
    """What `score` finds of single rows, `Scored.rows`, without the figures of all: nothing is
    resampled. Raises WorkbenchError as that does."""
    systems, _, table, marked = _looked_at(rows, settings, labels, trained, Problems())
    return list(_by_row(table, marked, systems))


def _looked_at(
    rows: Sequence[Row],
    settings: Settings,
    labels: Mapping[str, Sequence[str]],
    trained: Iterable[Example] | None,
    problems: Problems,
    tell: Tell = untold,
) -> tuple[list[str], Chosen, Table, degenerating.Marked]:
    systems = systems_of(rows)
    if not systems:
        raise WorkbenchError("No row has an output or a loss: there is nothing to score.")
    chosen = choose(rows, settings, problems, labels)
    losses = measures.losses() if any(row.losses for row in rows) else []
    table = Table.of(rows, [*losses, *chosen.measures], systems, tell)
    return systems, chosen, table, degenerating.look(rows, systems, trained, tell)


def systems_of(rows: Sequence[Row]) -> list[str]:
    """The systems that rows have something of, the base first, else in the order of the rows."""
    names = dict.fromkeys(name for row in rows for name in (*row.outputs, *row.losses))
    return sorted(names, key=lambda name: name != BASE)


def _counts(rows: Sequence[Row], systems: Sequence[str]) -> dict[str, Any]:
    answered = [row for row in rows if row.outputs]
    return {
        "loss": sum(bool(row.losses) for row in rows),
        "answers": len(answered),
        "without_reference": sum(not row.references for row in answered),
        "without_output": {
            system: sum(system not in row.outputs for row in answered) for system in systems
        },
        "contaminated": _contaminated(rows),
    }


def _contaminated(rows: Sequence[Row]) -> int | None:
    """None where nobody looked."""
    known = [row.contaminated for row in rows if row.contaminated is not None]
    return sum(known) if known else None


def _whole(table: Table, seed: int) -> dict[str, Any]:
    everything = range(len(table.rows))
    compared = table.comparisons(everything, seed)
    corrected(compared)
    return {"systems": table.figures(everything, seed), "comparisons": compared}


def _slices(table: Table, rows: Sequence[Row], seed: int, tell: Tell) -> list[dict[str, Any]]:
    """The figures of parts of the rows; all parts by one thing are one family of tests."""
    found = []
    watching = watched(slices.slices(rows), "scoring the parts", tell, "parts")
    for _, parts in groupby(watching, key=lambda part: part.by):
        bodies: list[dict[str, Any]] = [
            {
                "by": part.by,
                "name": part.name,
                "rows": len(part.places),
                "systems": table.figures(part.places, seed),
                "comparisons": table.comparisons(part.places, seed),
            }
            for part in parts
        ]
        corrected([one for body in bodies for one in body["comparisons"]])
        found += bodies
    return found


def _labels(chosen: Chosen, rows: Sequence[Row], systems: Sequence[str]) -> list[dict[str, Any]]:
    return [one.to_json(rows, systems) for one in chosen.classifications]


def _degeneration(
    rows: Sequence[Row], marked: degenerating.Marked, systems: Sequence[str], seed: int
) -> dict[str, Any]:
    everything = range(len(rows))
    body = _whole(Table.of(rows, marked.measures, systems), seed)
    reference = Table.of(rows, marked.of_reference, [degenerating.REFERENCE])
    return {
        **body,
        "reference": reference.figures(everything, seed)[degenerating.REFERENCE],
        "rows": marked.rows,
    }


def _by_row(
    table: Table, marked: degenerating.Marked, systems: Sequence[str]
) -> Iterator[dict[str, Any]]:
    marks: dict[tuple[str, str], list[str]] = {}
    for name, found in marked.rows.items():
        for system, keys in found.items():
            for key in keys:
                marks.setdefault((key, system), []).append(name)
    for place, row in enumerate(table.rows):
        if row.outputs:
            mine = [system for system in systems if system in row.outputs]
            known = {} if row.contaminated is None else {"contaminated": row.contaminated}
            yield {
                "key": row.key,
                "scores": {system: table.by_row(place, system) for system in mine},
                "marks": {system: marks.get((row.key, system), []) for system in mine},
                **known,
            }
