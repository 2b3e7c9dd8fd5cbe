"""What lm-evaluation-harness has written: its `results_*.json`, and `samples_*.jsonl` beside it.

Plain Python: nothing of lm_eval is needed to read them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json_object

NO_FILTER = "none"
_STDERR = "_stderr"
_PREFIX = "results"
_SAMPLES = "samples_{task}_{stamp}.jsonl"
_COUNTS = ("sample_len", "samples")
"""Numbers among a task's metrics that measure nothing."""

Value = float | tuple[float, float]
"""What a metric gives one document: a number, or two whose sums make up the figure."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A figure's place: whose it is, what it is, and what was done to answers before."""

    task: str
    """Or a group of tasks."""
    metric: str
    filter: str = NO_FILTER

    @property
    def name(self) -> str:
        """As tables and results have it: `gsm8k/exact_match (strict-match)`."""
        told = "" if self.filter == NO_FILTER else f" ({self.filter})"
        return f"{self.task}/{self.metric}{told}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as lm_eval gives it."""

    value: float
    stderr: float | None
    """None where it gives none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a metric says of one document."""

    document: str
    """The same for all systems that were given this document."""
    prompt: str
    """By its hash; empty where it isn't known."""
    values: Mapping[tuple[str, str], Value]
    """By metric and filter."""


@dataclass(frozen=True, slots=True)
class Results:
    """All of one system."""

    system: str
    figures: dict[Key, Figure]
    better: dict[tuple[str, str], bool | None]
    """Whether more is better, by task and metric."""
    counts: dict[str, int]
    """Documents by task."""
    subtasks: dict[str, list[str]]
    """The tasks and groups of each group."""
    shots: dict[str, int] = field(default_factory=dict)
    """Examples in front of a question, by task."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Those of the tasks."""
    lm_eval: str = ""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By task; a task whose documents were not logged has none."""

    def leaves(self, task: str) -> list[str]:
        """The tasks of a group, also those of groups in it; a task is its own."""
        if not self.subtasks.get(task):
            return [task]
        return [leaf for child in self.subtasks[task] for leaf in self.leaves(child)]


def find(path: Path) -> Path:
    """The newest file of results at `path`: that file, or in that folder or below.

    Raises WorkbenchError where there is none.
    """
    if path.is_file():
        return path
    found = sorted(path.rglob(f"{_PREFIX}*.json"), key=lambda one: one.stat().st_mtime)
    if not found:
        what = "has no results_*.json" if path.is_dir() else "does not exist"
        raise WorkbenchError(
            f"{path} {what}.", "Name the file that lm_eval wrote with --output_path."
        )
    return found[-1]


def read(path: Path, system: str) -> Results:
    """The results in `path`, with the samples in the files beside it.

    Raises WorkbenchError that names the file, and the line and field in it, for what is no file
    of results.
    """
    body = read_json_object(path)
    given = body.get("results")
    if not isinstance(given, dict) or not given:
        raise WorkbenchError(
            f'{path} has no "results": it is no file of lm_eval.',
            "Name the results_*.json that lm_eval wrote with --output_path.",
        )
    figures: dict[Key, Figure] = {}
    for task, metrics in given.items():
        if not isinstance(metrics, dict):
            raise WorkbenchError(f'{path}: "results" of {task} must be an object.')
        figures.update(_figures(task, metrics))
    if not figures:
        raise WorkbenchError(f"{path} has no figure.")
    subtasks = _object(body, "group_subtasks")
    return Results(
        system,
        figures,
        better=_better(_object(body, "higher_is_better")),
        counts=_counts(body, given),
        subtasks={
            group: list(map(str, children))
            for group, children in subtasks.items()
            if isinstance(children, list) and group not in children
        },
        shots={t: n for t, n in _object(body, "n-shot").items() if isinstance(n, int)},
        versions=_object(body, "versions"),
        lm_eval=str(body.get("lm_eval_version") or ""),
        samples={
            task: list(_samples(file)) for task in given if (file := samples_file(path, task))
        },
    )


def samples_file(path: Path, task: str) -> Path | None:
    """The file of a task's documents that belongs to the results in `path`, if it is there."""
    stamp = path.stem.removeprefix(_PREFIX).removeprefix("_")
    file = path.parent / _SAMPLES.format(task=task, stamp=stamp)
    return file if file.is_file() else None


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _figures(task: str, metrics: Mapping[str, Any]) -> Iterator[tuple[Key, Figure]]:
    for name, value in metrics.items():
        metric, _, filtered = name.partition(",")
        if not _is_number(value) or metric in _COUNTS or metric.endswith(_STDERR):
            continue
        stderr = metrics.get(re.sub("^[^,]*", lambda m: m[0] + _STDERR, name))
        known = float(stderr) if stderr is not None and _is_number(stderr) else None
        yield Key(task, metric, filtered or NO_FILTER), Figure(float(value), known)


def _better(given: Mapping[str, Any]) -> dict[tuple[str, str], bool | None]:
    return {
        (task, metric): more
        for task, metrics in given.items()
        if isinstance(metrics, dict)
        for metric, more in metrics.items()
        if isinstance(more, bool)
    }


def _counts(body: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, int]:
    counts = {}
    counted = _object(body, "n-samples")
    for task, metrics in given.items():
        found = _object(counted, task).get("effective", metrics.get("sample_len"))
        if isinstance(found, int):
            counts[task] = found
    return counts


def _samples(path: Path) -> Iterator[Sample]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _sample(line, f"{path}:{number}")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: {error}.") from error


def _sample(line: str, where: str) -> Sample:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(body, dict) or "doc_id" not in body:
        raise WorkbenchError(f'{where} has no "doc_id": it is no sample of lm_eval.')
    named = body.get("metrics")
    # Versions before 0.4.4 don't name them.
    names = named if isinstance(named, list) else [n for n in body if n not in _NO_METRICS]
    filtered = str(body.get("filter", NO_FILTER))
    values = {
        (str(name), filtered): value
        for name in names
        if (value := _value(body.get(name))) is not None
    }
    document = f"{body['doc_id']} {str(body.get('doc_hash', ''))[:12]}".rstrip()
    return Sample(document, str(body.get("prompt_hash", "")), values)


_NO_METRICS = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter")


def _value(given: Any) -> Value | None:
    """None for what no sum can be made of, such as the texts of BLEU."""
    if isinstance(given, bool) or _is_number(given):
        return float(given)
    if isinstance(given, Sequence) and len(given) == 2 and all(map(_is_number, given)):
        return float(given[0]), float(given[1])
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
