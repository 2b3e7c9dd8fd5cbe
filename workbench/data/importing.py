"""From raw files to a dataset version: read, check, clean, split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.data import readers, split, versions
from workbench.data.example import Example
from workbench.data.formats import RowError, to_examples, without_end_markers
from workbench.data.readers import RawRow
from workbench.data.versions import Removed, Step, Version
from workbench.errors import WorkbenchError
from workbench.files import sha256_file
from workbench.jobs.progress import Tell, untold, watched
from workbench.workspace import Workspace, check_name

_LISTED = 5
"""Bad rows that an error names; the count says how many there are."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an import is done."""

    validation_share: float = 0.1
    """About this share of the rows is held out, by prompt; 0 holds none out."""
    validation_files: tuple[Path, ...] = ()
    """Files whose rows are the validation split; then none are held out by share."""
    seed: int = 0
    task: str = ""
    """The task of every row; empty: the row's own `task` field."""
    skip_bad: bool = False
    """Leave out rows that can't be examples, and keep them aside with their reasons."""


@dataclass
class _Rows:
    """The rows on their way, and what was taken from them."""

    tell: Tell
    examples: list[Example] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def watch(self, phase: str) -> Iterable[Example]:
        """The rows, one after another, as what is done with all of them goes on."""
        return watched(self.examples, phase, self.tell)

    def step(self, name: str, kept: list[Example], **parameters: Any) -> None:
        self.steps.append(Step(name, len(self.examples), len(kept), parameters))
        self.examples = kept


def import_files(
    workspace: Workspace,
    paths: Sequence[Path],
    name: str,
    options: Options | None = None,
    tell: Tell = untold,
) -> Version:
    """Make a version of the dataset `name` from files, and return it.

    Raises WorkbenchError, with nothing written, when a file can't be read, a row can't be
    an example (unless `skip_bad`), or no row is left; and what `tell` raises.
    """
    options = options or Options()
    check(paths, name, options)
    rows = _Rows(tell)
    _read_all(rows, paths, options)
    _strip_end_markers(rows)
    _remove_duplicates(rows)
    if not options.validation_files:
        share, seed = options.validation_share, options.seed
        kept = split.assign(rows.watch("splitting"), share, seed=seed)
        rows.step("split", kept, share=share, seed=seed)
    _remove_leaks(rows)
    files = (*paths, *options.validation_files)
    sources = [_source(path) for path in watched(files, "hashing the files", tell, "files")]
    workspace.ensure()
    return versions.create(
        workspace,
        name,
        rows.examples,
        sources=sources,
        steps=rows.steps,
        removed=rows.removed,
        tell=tell,
    )


def check(paths: Sequence[Path], name: str, options: Options) -> None:
    """Raises WorkbenchError for what can be told before a file is read."""
    check_name(name, "dataset")
    if not 0 <= options.validation_share < 1:
        raise WorkbenchError("The validation share must be at least 0 and below 1.")
    if not options.task.isprintable():
        raise WorkbenchError(f"The task {options.task!a} has signs that can't be shown.")
    for path in (*paths, *options.validation_files):
        readers.check_there(path)


def _read_all(rows: _Rows, paths: Sequence[Path], options: Options) -> None:
    kept: list[Example] = []
    count = 0
    parts = ((split.TRAIN, paths), (split.VALIDATION, options.validation_files))
    everything = (*paths, *options.validation_files)
    behind, total = 0, sum(map(readers.size, everything))
    rows.tell("reading", 0, total, "bytes")
    for part, files in parts:
        for path in files:
            for raw in readers.read(path):
                count += 1
                examples = _convert(raw, options.task, rows.removed)
                kept.extend(replace(example, split=part) for example in examples)
                rows.tell("reading", min(behind + raw.reached, total), total, "bytes")
            behind += readers.size(path)
    if rows.removed and (not options.skip_bad or not kept):
        raise _refusal(everything, rows.removed, count)
    for part, files in parts:
        if files and not any(example.split == part for example in kept):
            raise WorkbenchError(f"There are no rows in {_names(files)}.")
    rows.steps.append(Step("read", count, len(kept), {}))
    rows.examples = kept


def _convert(raw: RawRow, task: str, removed: list[Removed]) -> list[Example]:
    problem = raw.problem
    if not problem:
        try:
            return to_examples(raw.value, task=task, source=raw.place)
        except RowError as error:
            problem = str(error)
    removed.append(Removed("read", raw.place, problem, raw.value))
    return []


def _refusal(paths: Sequence[Path], bad: Sequence[Removed], count: int) -> WorkbenchError:
    listed = "\n".join(f"  {row.source}: {row.reason}" for row in bad[:_LISTED])
    more = f"\n  and {len(bad) - _LISTED:,} more" if len(bad) > _LISTED else ""
    if len(bad) == count:
        if all(row.reason.startswith("it is not") and ":row " not in row.source for row in bad):
            return WorkbenchError(
                f"{_names(paths)} is not JSONL:\n{listed}{more}",
                "JSONL has one JSON object in each line. JSON, CSV, TSV and Parquet are told "
                "by the end of the name.",
            )
        return WorkbenchError(f"No row of {_names(paths)} can be used:\n{listed}{more}")
    return WorkbenchError(
        f"{len(bad):,} of {count:,} rows of {_names(paths)} can't be used:\n{listed}{more}",
        "Mend them, or leave them out with --skip-bad: they are kept aside with their reasons.",
    )


def _strip_end_markers(rows: _Rows) -> None:
    phase = "looking for end markers"
    kept = [without_end_markers(example) for example in rows.watch(phase)]
    changed = sum(a is not b for a, b in zip(kept, rows.examples, strict=True))
    if changed:
        rows.step("strip end markers", kept, rows_changed=changed)


def _remove_duplicates(rows: _Rows) -> None:
    """Remove rows whose conversation or text came before, word for word, in the same split."""
    first: dict[Any, Example] = {}
    kept: list[Example] = []
    for example in rows.watch("looking for duplicates"):
        key = (example.split, example.content)
        if key in first:
            rows.removed.append(
                _gone("exact duplicates", example, f"the same as {first[key].source}")
            )
        else:
            first[key] = example
            kept.append(example)
    rows.step("exact duplicates", kept)


def _remove_leaks(rows: _Rows) -> None:
    """Remove training rows that ask what a validation row asks: they would inflate it."""
    held_out = split.asked(rows.examples)
    kept: list[Example] = []
    for example in rows.watch("looking for leaks"):
        found = split.leak(example, held_out)
        if found is None:
            kept.append(example)
        else:
            reason = f"it has the prompt of the validation row {found.source}"
            rows.removed.append(_gone("leakage", example, reason))
    rows.step("leakage", kept)
    if not any(e.split == split.TRAIN for e in rows.examples):
        raise WorkbenchError("No training row is left: every prompt is in the validation files.")


def _gone(step: str, example: Example, reason: str) -> Removed:
    return Removed(step, example.source, reason, example.to_json())


def _source(path: Path) -> dict[str, Any]:
    source: dict[str, Any] = {"path": os.fsencode(path.absolute()).decode("utf-8", "replace")}
    if path.is_file():
        source |= {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    return source


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in paths)
