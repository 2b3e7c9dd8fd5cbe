"""From raw files to a dataset version: read, check, clean, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from workbench.data import readers, split
from workbench.data.curate import duplicates
from workbench.data.recipe import (
    ExactDuplicates,
    FileSource,
    Leakage,
    Recipe,
    Split,
    Step,
    StripEndMarkers,
)
from workbench.data.replay import make
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold
from workbench.workspace import Workspace, check_name


@dataclass(frozen=True, slots=True)
class Options:
    """How an import is done."""

    validation_share: float = 0.1
    """About this share of the rows is held out, by prompt; 0 holds none out."""
    validation_files: tuple[Path, ...] = ()
    """Files whose rows are the validation split; then none are held out by share."""
    seed: int = 0
    split_by: str = "prompt"
    """What is never on both sides: rows with the same prompt, or with the same value of an extra
    field, given by its name."""
    stratify: str = ""
    """`task` holds the share in each task; empty: in all rows."""
    near_duplicates_together: bool = True
    """Rows that say almost the same are never on both sides."""
    task: str = ""
    """The task of every row; empty: the row's own `task` field."""
    licenses: dict[str, str] = field(default_factory=dict)
    """Of each file, by its path as given, the licence that a person declares; under an empty path
    that of all the others."""
    skip_bad: bool = False
    """Leave out rows that can't be examples, and keep them aside with their reasons."""


def import_files(
    workspace: Workspace,
    paths: Sequence[Path],
    name: str,
    options: Options | None = None,
    tell: Tell = untold,
) -> Version:
    """Make a version of the dataset `name` from files, and return it. Raises as `make` does."""
    return make(workspace, recipe_of(paths, name, options or Options()), tell)


def recipe_of(paths: Sequence[Path], name: str, options: Options) -> Recipe:
    """What an import does, as a recipe.

    Raises WorkbenchError for what can be told before a file is read.
    """
    _check(paths, name, options)
    held_out = options.validation_files
    sources = [
        *(_source(path, split.TRAIN, options) for path in paths),
        *(_source(path, split.VALIDATION, options) for path in held_out),
    ]
    alike = duplicates.THRESHOLD if options.near_duplicates_together else None
    steps: list[Step] = [StripEndMarkers(), ExactDuplicates()]
    if held_out:
        steps.append(Leakage(near_duplicates=alike))
    else:
        steps += [_split(options, alike if options.validation_share else None), Leakage()]
    return Recipe(name=name, sources=tuple(sources), skip_bad=options.skip_bad, steps=tuple(steps))


def _split(options: Options, near_duplicates: float | None) -> Split:
    return Split(
        share=options.validation_share,
        seed=options.seed,
        by=options.split_by,
        near_duplicates=near_duplicates,
        stratify="task" if options.stratify else None,
    )


def _check(paths: Sequence[Path], name: str, options: Options) -> None:
    check_name(name, "dataset")
    if not 0 <= options.validation_share < 1:
        raise WorkbenchError("The validation share must be at least 0 and below 1.")
    if options.stratify not in ("", "task"):
        raise WorkbenchError(f"A split is stratified by task, not by {options.stratify}.")
    if options.validation_files and (options.stratify or options.split_by != "prompt"):
        raise WorkbenchError(
            "With validation files there is nothing to split, by a field or by task.",
            "Leave out the validation files, or the options of the split.",
        )
    if not options.task.isprintable():
        raise WorkbenchError(f"The task {options.task!a} has signs that can't be shown.")
    for path in (*paths, *options.validation_files):
        readers.check_there(path)


def _source(path: Path, side: str, options: Options) -> FileSource:
    licence = options.licenses.get(str(path), options.licenses.get("", ""))
    body = {"path": path, "split": side, "task": options.task, "license": licence}
    try:
        return FileSource.model_validate(body)
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise WorkbenchError(f"{licence!a} is no licence: {told}.") from error
