"""Which metrics say something of which rows: as a person names them, else by the references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from workbench.errors import WorkbenchError
from workbench.evaluation import classification, measures, metrics, numbers, own
from workbench.evaluation import labels as labelling
from workbench.evaluation.classification import Classification
from workbench.evaluation.measures import Measure
from workbench.evaluation.names import NAMES, Settings
from workbench.evaluation.problems import Problems
from workbench.evaluation.rows import Row

_ALWAYS = ("rouge_l", "exact_match", "token_f1")
"""What every evaluation has where nothing else is asked for, so that runs can be compared."""
_OF_LABELS = ("accuracy", "macro_f1", "no_label")
_LONG = 10
"""Words of a reference that is no short answer."""
_SCORES: dict[str, metrics.Score] = {
    "rouge_1": metrics.rouge_1,
    "rouge_2": metrics.rouge_2,
    "rouge_l": metrics.rouge_l,
    "rouge_lsum": metrics.rouge_lsum,
    "token_f1": metrics.token_f1,
}
_SHARES: dict[str, metrics.Score] = {
    "exact_match": metrics.exact_match,
    "numeric_match": metrics.numeric_match,
    "json_valid": metrics.json_valid,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is measured of some rows."""

    measures: list[Measure]
    by_task: dict[str, tuple[str, ...]]
    classifications: list[Classification] = field(default_factory=list)


def choose(
    rows: Sequence[Row],
    settings: Settings,
    problems: Problems,
    known_labels: Mapping[str, Sequence[str]],
) -> Chosen:
    """The measures of these rows' outputs, and which are for which task.

    `known_labels` are those of the data, by task. Raises WorkbenchError for a metric or a task
    that there isn't, a metric of one's own that can't be loaded, `regex_match` without a pattern.
    """
    tasks: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.outputs:
            tasks[row.task].append(row)
    asked = _asked(settings, tasks)
    by_task: dict[str, tuple[str, ...]] = {}
    found: dict[str, Classification] = {}
    for task, of_task in tasks.items():
        labels = settings.labels or known_labels.get(task) or _labels(of_task)
        names = asked[task] or _fitting(of_task, labels, settings)
        if {"accuracy", "macro_f1"} & set(names):
            found[task] = Classification(task, labels or _any_labels(task, of_task))
            names = (*_OF_LABELS, *(name for name in names if name not in _OF_LABELS))
        by_task[task] = names
    every = dict.fromkeys(name for names in by_task.values() for name in names)
    makers = {**_makers(settings, problems), **_of_labels(found, problems)}
    made = [
        _of_tasks(makers[name]() if name in makers else own.measure(name, problems), by_task)
        for name in every
    ]
    return Chosen(made, by_task, list(found.values()))


def _asked(settings: Settings, tasks: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """The names asked for, by task."""
    asked: dict[str, list[str]] = {task: [] for task in tasks}
    for text in settings.metrics:
        task, of_one, name = text.rpartition("=")
        own.check(name)
        if of_one and task not in asked:
            raise WorkbenchError(
                f"No row is of the task {task!r}, which {text} names.",
                f"The tasks are: {', '.join(name or '(none)' for name in tasks)}.",
            )
        for wanted in (task,) if of_one else tasks:
            asked[wanted].append(name)
    return {task: tuple(dict.fromkeys(names)) for task, names in asked.items()}


def _fitting(rows: Sequence[Row], labels: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The metrics that fit a task's references."""
    references = [row.references[0] for row in rows if row.references]
    pattern = ("regex_match",) if settings.pattern else ()
    if not references:
        return pattern
    if all(map(numbers.is_marked, references)) or all(map(numbers.is_number, references)):
        return ("numeric_match", *_ALWAYS, *pattern)
    if labels:
        return (*_OF_LABELS, *_ALWAYS, *pattern)
    if all(map(_is_json, references)):
        return ("json_valid", *_ALWAYS, *pattern)
    lengths = [row.reference_words or 0 for row in rows if row.references]
    if median(lengths) > _LONG:
        return (*_ALWAYS, "rouge_1", "rouge_2", "rouge_lsum", "chrf", *pattern)
    if not any(map(str.isascii, references)):
        # ROUGE sees nothing but a-z and 0-9.
        return (*_ALWAYS, "chrf", *pattern)
    return (*_ALWAYS, *pattern)


def _is_json(text: str) -> bool:
    return text.strip()[:1] in ("{", "[") and metrics.json_valid(text) == 1


def _labels(rows: Sequence[Row]) -> tuple[str, ...]:
    return labelling.of_references([row.references[0] for row in rows if row.references])


def _any_labels(task: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """The labels of a task that a person takes for classification."""
    found = sorted({ref.strip() for row in rows for ref in row.references if ref.strip()})
    if not 0 < len(found) <= labelling.MOST_LABELS:
        of = f"the task {task!r}" if task else "these rows"
        raise WorkbenchError(
            f"The references of {of} are no labels: there are {len(found)} different ones.",
            "Name the labels, or choose another metric.",
        )
    return tuple(found)


def _makers(settings: Settings, problems: Problems) -> dict[str, Callable[[], Measure]]:
    def scored(name: str, score: metrics.Score, share: bool) -> Callable[[], Measure]:
        needed = name != "json_valid"
        return lambda: measures.of_score(
            name, NAMES[name], score, needs_references=needed, share=share
        )

    def regex_match() -> Measure:
        if not settings.pattern:
            raise WorkbenchError(
                "regex_match has no pattern.", "Give one: evaluation.pattern, or --pattern."
            )
        return own.guarded(
            "regex_match",
            f"{NAMES['regex_match']} {settings.pattern}",
            metrics.regex_match(settings.pattern),
            problems,
            share=True,
            nothing="took over a second",
        )

    return {
        **{name: scored(name, score, False) for name, score in _SCORES.items()},
        **{name: scored(name, score, True) for name, score in _SHARES.items()},
        "bleu": measures.bleu,
        "chrf": measures.chrf,
        "regex_match": regex_match,
    }


def _of_labels(
    found: Mapping[str, Classification], problems: Problems
) -> dict[str, Callable[[], Measure]]:
    return {
        "accuracy": lambda: classification.accuracy(found, problems),
        "macro_f1": lambda: classification.macro_f1(found),
        "no_label": lambda: classification.no_label(found),
    }


def _of_tasks(measure: Measure, by_task: Mapping[str, Sequence[str]]) -> Measure:
    """The measure of the rows whose tasks have it."""
    mine = {task for task, names in by_task.items() if measure.name in names}

    def sums(row: Row, system: str) -> measures.Sums | None:
        return measure.sums(row, system) if row.task in mine else None

    return replace(measure, sums=sums)
