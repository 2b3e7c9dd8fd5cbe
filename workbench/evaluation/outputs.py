"""What several systems said to the same held-out rows, read side by side: of runs' evaluations and
of files, with each output's scores, marks and length. Plain Python: a screen reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from workbench.data.curate.words import WORD
from workbench.errors import WorkbenchError
from workbench.evaluation import row_scores, rows
from workbench.evaluation.joining import by_prompt, names
from workbench.evaluation.row_scores import Scores
from workbench.evaluation.rows import Row, words
from workbench.files import user_path
from workbench.tracking import finding
from workbench.workspace import Workspace

_LAST = ("loss", "perplexity")
"""Metrics that are of a row's reference, not of what was answered."""
_OF_VALIDATION = re.compile(r"validation-(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """An evaluation's folder, or a file of outputs."""

    path: Path
    label: str
    """What its systems are called where others have some of the same names."""
    run: Path | None = None
    """The run that was evaluated; None for a file from elsewhere."""

    @property
    def outputs(self) -> Path:
        return self.path if self.path.is_file() else self.path / rows.OUTPUTS


@dataclass(frozen=True, slots=True)
class Said:
    """What one system answered to a row."""

    text: str
    words: int
    tokens: int | None = None
    stopped: bool | None = None
    """Whether it ended by itself; None where that isn't known."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """By metric; empty where the outputs weren't scored yet."""
    marks: tuple[str, ...] = ()


@dataclass
class Answered:
    """A held-out row with what systems answered."""

    number: int
    """From 1: its place among all rows here."""
    prompt: str
    references: tuple[str, ...]
    task: str
    contaminated: bool | None
    """Whether a training row holds it; None where nobody looked."""
    places: Mapping[int, str]
    """The row's key in each source that has it, by the source's number."""
    said: dict[str, Said] = field(default_factory=dict)
    """By system."""

    @property
    def key(self) -> str:
        """Its key in the first source that has it."""
        return next(iter(self.places.values()))

    @property
    def reference(self) -> str:
        return self.references[0] if self.references else ""

    def value(self, metric: str, system: str) -> float | None:
        """None where it has no output, or the metric says nothing of it."""
        said = self.said.get(system)
        return None if said is None else said.scores.get(metric)

    def spread(self, metric: str) -> float | None:
        """The largest difference of a metric between two systems; None for fewer values."""
        values = [said.scores[metric] for said in self.said.values() if metric in said.scores]
        return max(values) - min(values) if len(values) > 1 else None

    def change(self, metric: str, systems: Sequence[str]) -> float | None:
        """The last system's value less the first one's; None where one has none."""
        first, last = (self.value(metric, system) for system in (systems[0], systems[-1]))
        return None if first is None or last is None or len(systems) < 2 else last - first

    @cached_property
    def apart(self) -> float | None:
        """How far outputs differ: one less the F1 of the words that two of them share, of the two
        with the fewest; 0 the same words, 1 none in common. None for fewer than two outputs."""
        counts = [Counter(_words(said.text)) for said in self.said.values()]
        return max((1 - _shared(*pair) for pair in combinations(counts, 2)), default=None)

    @cached_property
    def disagrees(self) -> bool:
        """Whether any two outputs differ in more than case, spaces and punctuation."""
        return len({tuple(_words(said.text)) for said in self.said.values()}) > 1


@dataclass(frozen=True, repr=False)
class Outputs:
    """All rows that any of the sources has.

    Without a repr: it would be megabytes, and whoever starts a thread with it would write them.
    """

    sources: tuple[Source, ...]
    systems: tuple[str, ...]
    rows: list[Answered]
    metrics: tuple[str, ...]
    """Those that some output has a value of; what is of answers first."""
    unscored: tuple[Source, ...]
    """Sources of whose outputs nobody knows yet what they score."""

    @property
    def letters(self) -> dict[str, str]:
        """A short name of each system: a, b, c."""
        letters = [*ascii_lowercase, *(f"z{n}" for n in range(len(self.systems)))]
        return dict(zip(letters, self.systems, strict=False))

    @property
    def metric(self) -> str:
        """The one to look at first; empty where there is none."""
        return self.metrics[0] if self.metrics else ""

    def in_common(self) -> int:
        """Rows that every system has answered."""
        return sum(len(row.said) == len(self.systems) for row in self.rows)


def find_source(workspace: Workspace, reference: str) -> Source:
    """A run (its newest evaluation), an evaluation's folder, or a file of outputs.

    Raises WorkbenchError for what is none of these, and a run that wasn't evaluated.
    """
    path = user_path(reference)
    if path.is_file() or (path / rows.OUTPUTS).is_file():
        return of_path(path.absolute())
    if (path / finding.MANIFEST).is_file():
        return of_run(path.absolute())
    if "/" in reference:
        raise WorkbenchError(
            f"{reference} holds no outputs.",
            f"Name a run, an evaluation's folder with {rows.OUTPUTS}, or a .jsonl file.",
        )
    return of_run(finding.find(workspace, reference))


def of_run(run: Path) -> Source:
    """A run's newest evaluation. Raises WorkbenchError where it has none."""
    from workbench.tracking import runs  # it brings pydantic

    newest = runs.newest_evaluation(run)
    if newest is None:
        raise WorkbenchError(
            f"The run {run.name} has not been evaluated.", f"workbench eval {run.name}"
        )
    return Source(newest, run.name, run)


def of_path(path: Path) -> Source:
    """A file, or an evaluation's folder: called by its run and its own name where it is in one."""
    if path.is_file() or path.parent.name != "evaluations":
        return Source(path, path.stem)
    run = path.parent.parent
    return Source(path, f"{run.name}/{path.name}", run)


def gather(workspace: Workspace, sources: Sequence[Source]) -> Outputs:
    """The rows of all sources, joined by their prompts, and which time they come.

    The base's outputs are one system where they are the same texts. Raises WorkbenchError, which
    names the file and the line, for what can't be read.
    """
    sources = tuple(dict.fromkeys(sources))
    read = [by_prompt(rows.read_outputs(s.outputs), lambda row: row.prompt) for s in sources]
    renamings = names([source.label for source in sources], [_texts(of) for of in read])
    scored = [row_scores.known(workspace, source.outputs) for source in sources]
    found: dict[Hashable, Answered] = {}
    for number, (of, renamed, scores) in enumerate(zip(read, renamings, scored, strict=True)):
        for key, row in of.items():
            answered = found.get(key) or _begun(len(found) + 1, row)
            found[key] = answered
            _add(answered, number, row, renamed, scores or {})
    every = list(found.values())
    systems = dict.fromkeys(name for renamed in renamings for name in renamed.values())
    return Outputs(
        sources,
        tuple(sorted(systems, key=lambda name: name != "base")),
        every,
        _metrics(every),
        tuple(s for s, scores in zip(sources, scored, strict=True) if scores is None),
    )


def held_out(outputs: Outputs, row: Answered) -> tuple[Path, int]:
    """The run that a row was held out from, and which of the validation rows of its dataset version
    it is, from 0. Raises WorkbenchError where nobody knows."""
    for number, key in row.places.items():
        run, found = outputs.sources[number].run, _OF_VALIDATION.fullmatch(key)
        if run is not None and found:
            return run, int(found[1])
    raise WorkbenchError(
        f"Row {row.number} is of {outputs.sources[next(iter(row.places))].label}, a file from "
        "elsewhere: of which dataset version it is, nobody knows."
    )


def to_json(outputs: Outputs, row: Answered, metric: str) -> dict[str, Any]:
    """A row for other programs; what is told of a metric is of `metric`."""
    return {
        "row": row.number,
        "key": row.key,
        "task": row.task,
        "prompt": row.prompt,
        "references": list(row.references),
        "contaminated": row.contaminated,
        "spread": row.spread(metric),
        "change": row.change(metric, outputs.systems),
        "apart": row.apart,
        "disagrees": row.disagrees,
        "systems": {
            system: {
                "output": said.text,
                "words": said.words,
                "tokens": said.tokens,
                "stopped": said.stopped,
                "scores": dict(said.scores),
                "marks": list(said.marks),
            }
            for system, said in row.said.items()
        },
    }


def _texts(of: Mapping[tuple[str, int], Row]) -> dict[str, dict[Hashable, str]]:
    found: dict[str, dict[Hashable, str]] = {}
    for key, row in of.items():
        for system, text in row.outputs.items():
            found.setdefault(system, {})[key] = text
    return found


def _begun(number: int, row: Row) -> Answered:
    return Answered(number, row.prompt, row.references, row.task, row.contaminated, {})


def _add(
    answered: Answered,
    source: int,
    row: Row,
    renamed: Mapping[str, str],
    scores: Mapping[str, Scores],
) -> None:
    """Take over what a source has of a row; what an earlier one has said stands."""
    answered.places = {**answered.places, source: row.key}
    answered.references = answered.references or row.references
    answered.task = answered.task or row.task
    known = scores.get(row.key)
    for seen in (row.contaminated, known.contaminated if known else None):
        answered.contaminated = seen if answered.contaminated is None else answered.contaminated
    for system, text in row.outputs.items():
        if renamed[system] not in answered.said:
            answered.said[renamed[system]] = Said(
                text,
                words(text),
                row.tokens.get(system),
                row.stopped.get(system),
                known.scores.get(system, {}) if known else {},
                known.marks.get(system, ()) if known else (),
            )


def _metrics(every: Sequence[Answered]) -> tuple[str, ...]:
    found = dict.fromkeys(
        name for row in every for said in row.said.values() for name in said.scores
    )
    return tuple(sorted(found, key=_LAST.__contains__))


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in WORD.finditer(text.casefold()))


def _shared(first: Counter[str], second: Counter[str]) -> float:
    """F1 of the words of two texts, each as often as it comes; 1 for two without any."""
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0
