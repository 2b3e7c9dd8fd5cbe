"""The results of lm-evaluation-harness as tables like those of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workbench.evaluation.comparing import Table, corrected
from workbench.evaluation.measures import Measure, Sums
from workbench.evaluation.rows import Row
from workbench.evaluation.telling import BY_STDERR, HARNESS, UNPAIRED
from workbench.harness.results import Figure, Key, Results, Sample, Value
from workbench.jobs.progress import Tell, untold
from workbench.statistics.bootstrap import RESAMPLES
from workbench.statistics.proportions import CONFIDENCE, normal_test, two_sided

VERSION = 1
BASE = "base"
_NEAR = 1e-6
"""Relative: lm_eval adds up in another order."""


def _mean(totals: Sequence[float]) -> float:
    return totals[0] / totals[1]


def _perplexity(totals: Sequence[float]) -> float:
    return math.exp(-totals[0] / totals[1])


def _bits(totals: Sequence[float]) -> float:
    return -totals[0] / totals[1] / math.log(2)


_OF_NUMBERS = (_mean, _perplexity)
_OF_PAIRS = (_perplexity, _bits)
"""How lm_eval makes one figure of many documents (`mean`, `perplexity`, `weighted_perplexity`,
`bits_per_byte` of its api/metrics.py): functions of sums over them."""


def score(found: Sequence[Results], seed: int = 0, tell: Tell = untold) -> dict[str, Any]:
    """Every figure of the systems with its interval, and what each differs by from the base; that
    is the system of that name, else the first.

    Where the documents are logged and give the very figure of lm_eval, the interval and the test
    are as in an evaluation: Wilson and McNemar, or the bootstrap of documents. So has a group,
    whose figure is that of the documents of all its tasks. Else the interval is that of lm_eval's
    standard error, and two systems are held against each other as if their documents were not the
    same: z of the difference. The same results and seed give the same; `tell` is told how far it
    is.
    """
    systems = sorted(found, key=lambda one: one.system != BASE)
    keys = list(dict.fromkeys(key for one in systems for key in one.figures))
    by_documents = {key: m for key in keys if (m := _measure(key, systems)) is not None}
    table = _table(systems, list(by_documents.values()), tell)
    everything = range(len(table.rows))
    measured = table.figures(everything, seed)
    compared = {
        (one["measure"], one["to"]): one
        for one in (table.comparisons(everything, seed) if len(systems) > 1 else [])
    }
    figures: dict[str, dict[str, Any]] = {}
    for one in systems:
        mine = figures[one.system] = {}
        for key in keys:
            if key in by_documents and key in one.figures:
                mine[key.name] = measured[one.system][key.name]
            elif key in one.figures:
                mine[key.name] = _by_stderr(one.figures[key], one.counts.get(key.task))
    first, *others = systems
    comparisons = [
        compared[key.name, other.system] if key in by_documents else _unpaired(key, first, other)
        for key in keys
        for other in others
        if key in first.figures and key in other.figures
    ]
    corrected(comparisons)
    return {
        "v": VERSION,
        "kind": HARNESS,
        "seed": seed,
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
        "base": first.system,
        "lm_eval": {one.system: one.lm_eval for one in systems},
        "tasks": _tasks(systems),
        "measures": {key.name: _about(key, by_documents.get(key), systems) for key in keys},
        "systems": figures,
        "comparisons": comparisons,
        "notes": list(_notes(systems)),
    }


def _measure(key: Key, systems: Sequence[Results]) -> Measure | None:
    """What makes a figure of documents; None where they aren't there or give another one."""
    mine = [one for one in systems if key in one.figures]
    values = {one.system: _values(one, key) for one in mine}
    if not all(values.values()):
        return None
    everything = [value for of in values.values() for value in of.values()]
    sums = {
        (document, system): _sums(value)
        for system, of in values.items()
        for document, value in of.items()
    }
    pairs = any(isinstance(value, tuple) for value in everything)
    for shape in _OF_PAIRS if pairs else _OF_NUMBERS:
        if all(_gives(shape, values[one.system].values(), one.figures[key]) for one in mine):
            return Measure(
                key.name,
                "",
                lambda row, system: sums.get((row.key, system)),
                shape,
                share=shape is _mean and all(value in (0.0, 1.0) for value in everything),
            )
    return None


def _values(one: Results, key: Key) -> dict[str, Value]:
    """By document: what a metric says of each of a task's, or of those of all tasks of a group."""
    wanted = (key.metric, key.filter)
    found = {}
    for leaf in one.leaves(key.task):
        mine = {
            _document(leaf, sample): sample.values[wanted]
            for sample in one.samples.get(leaf, [])
            if wanted in sample.values
        }
        if not mine:
            return {}
        found.update(mine)
    return found


def _document(task: str, sample: Sample) -> str:
    return f"{task} {sample.document}"


def _sums(value: Value) -> Sums:
    return value if isinstance(value, tuple) else (value, 1.0)


def _gives(shape: Callable[[Sequence[float]], float], of: Iterable[Value], known: Figure) -> bool:
    sums = [_sums(value) for value in of]
    totals = [math.fsum(one[place] for one in sums) for place in (0, 1)]
    try:
        return math.isclose(shape(totals), known.value, rel_tol=_NEAR, abs_tol=_NEAR)
    except (OverflowError, ZeroDivisionError):
        return False


def _table(systems: Sequence[Results], measures: Sequence[Measure], tell: Tell) -> Table:
    documents = dict.fromkeys(
        _document(task, sample)
        for one in systems
        for task, samples in one.samples.items()
        for sample in samples
    )
    rows, names = [Row(name) for name in documents], [one.system for one in systems]
    return Table.of(rows, measures, names, tell)


def _by_stderr(figure: Figure, n: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"value": figure.value, "low": None, "high": None, "n": n or 0}
    if figure.stderr:
        spread = two_sided(CONFIDENCE) * figure.stderr
        body |= {"low": figure.value - spread, "high": figure.value + spread}
    return body


def _unpaired(key: Key, first: Results, other: Results) -> dict[str, Any]:
    """A comparison of what only standard errors are known of: as if the documents of the two
    were other ones. Of the same ones it sees, as a rule, less than a paired test."""
    before, after = first.figures[key], other.figures[key]
    value = after.value - before.value
    counts = [n for one in (first, other) if (n := one.counts.get(key.task))]
    body: dict[str, Any] = {
        "measure": key.name,
        "from": first.system,
        "to": other.system,
        "value": value,
        "low": None,
        "high": None,
        "n": min(counts, default=0),
        "p": None,
        "p_holm": None,
        "test": None,
        "differ": 0,
    }
    error = math.hypot(before.stderr or 0.0, after.stderr or 0.0)
    if before.stderr is None or after.stderr is None or not error:
        return body
    spread = two_sided(CONFIDENCE) * error
    p = normal_test(value / error)
    return body | {
        "low": value - spread,
        "high": value + spread,
        "p": p,
        "p_holm": p,
        "test": UNPAIRED,
        "differ": max(1, body["n"]),
    }


def _about(key: Key, measure: Measure | None, systems: Sequence[Results]) -> dict[str, Any]:
    more = next(
        (known for one in systems if (known := one.better.get((key.task, key.metric))) is not None),
        None,
    )
    interval = "Wilson" if measure and measure.share else "bootstrap of documents"
    return {
        "what": f"{key.metric} of {key.task} by lm_eval",
        "task": key.task,
        "metric": key.metric,
        "filter": key.filter,
        "better": {True: "higher", False: "lower", None: ""}[more],
        "interval": interval if measure else BY_STDERR,
    }


def _tasks(systems: Sequence[Results]) -> dict[str, Any]:
    """What is known of each task and group, of the first system that has it."""
    found: dict[str, Any] = {}
    for one in systems:
        for key in one.figures:
            task = key.task
            found.setdefault(
                task,
                {
                    "documents": one.counts.get(task),
                    "shots": one.shots.get(task),
                    "version": one.versions.get(task),
                    "logged": task in one.samples,
                },
            )
    return found


def _notes(systems: Sequence[Results]) -> Iterable[str]:
    """What a reader of the figures must know."""
    first, *others = systems
    for other in others:
        pair = f"{first.system} and {other.system}"
        for task in dict.fromkeys(key.task for key in first.figures):
            for what, known in (("shots", "shots"), ("version of the task", "versions")):
                mine, theirs = (getattr(one, known).get(task) for one in (first, other))
                if task in other.counts and mine != theirs:
                    yield f"{task}: {pair} differ in {what}, {mine} and {theirs}."
            if (differing := _asked_otherwise(first, other, task))[0]:
                yield (
                    f"{task}: {pair} were asked {differing[0]} of {differing[1]} documents in "
                    "other words; what differs may come of that."
                )
    versions = sorted({one.lm_eval for one in systems if one.lm_eval})
    if len(versions) > 1:
        yield f"They are of different versions of lm_eval: {' and '.join(versions)}."


def _asked_otherwise(first: Results, other: Results, task: str) -> tuple[int, int]:
    """Documents that both were given in different prompts, and all that both were given."""
    mine, theirs = (
        {sample.document: sample.prompt for sample in one.samples.get(task, [])}
        for one in (first, other)
    )
    both = mine.keys() & theirs.keys()
    differing = [d for d in both if mine[d] and theirs[d] and mine[d] != theirs[d]]
    return len(differing), len(both)
