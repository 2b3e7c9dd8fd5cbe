"""From a recipe to a dataset version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.data import documents, grouped_split, mix, split, steps, versions
from workbench.data.curate import checks, looking
from workbench.data.making import Change, Making, making
from workbench.data.raw import check_there, size
from workbench.data.reading import Reading
from workbench.data.recipe import (
    PERSONAL,
    Cut,
    DatasetSource,
    Drop,
    Edit,
    ExactDuplicates,
    FileSource,
    Leakage,
    Mix,
    Recipe,
    Redact,
    Remove,
    Repair,
    Source,
    Split,
    StripEndMarkers,
)
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import sha256_file, sha256_folder
from workbench.jobs.progress import Tell, untold, watched
from workbench.workspace import Workspace

Changing = Cut | StripEndMarkers | ExactDuplicates | Split | Leakage | Drop | Remove | Edit | Redact


def make(
    workspace: Workspace,
    recipe: Recipe,
    tell: Tell = untold,
    did: list[versions.Step] | None = None,
) -> Version:
    """Make the version that a recipe describes, and return it; `did` is filled with what each
    step did, which the version doesn't say where its rows were there before.

    Raises WorkbenchError, with nothing written, when a source is not there or no longer what
    the recipe says, when a row can't be an example (unless they may be skipped), when a row that
    a step names is not there, and when no row is left; and what `tell` raises.
    """
    check_sources(workspace, recipe)
    with making(workspace, recipe.name, tell) as rows:
        repairs = [step for step in recipe.steps if isinstance(step, Repair) and not step.off]
        kinds = repairs[0].kinds if repairs else ()
        reading = Reading(workspace, recipe.sources, tell, skip_bad=recipe.skip_bad, kinds=kinds)
        reading.into(rows)
        for step in recipe.steps:
            if step.off or isinstance(step, Repair):
                continue
            if isinstance(step, Mix):
                mixture = mix.mixture(rows.table, _names(recipe, step, rows), step, tell)
                rows.step(step.title, mixture.changes(), **step.parameters, parts=mixture.to_json())
            else:
                changes = _changes(workspace, step, rows.table, tell)
                rows.step(step.title, changes, **step.parameters)
        known = watched(reading.sources, "hashing the files", tell, "files")
        sources = tuple(_as_found(workspace, source) for source in known)
        final = recipe.model_copy(update={"sources": sources})
        if did is not None:
            did += rows.steps
        return rows.keep(sources=[_about(source) for source in sources], recipe=final.to_json())


def check_sources(workspace: Workspace, recipe: Recipe) -> None:
    """Raises WorkbenchError when a source is not there, or no longer what the recipe says."""
    for source in recipe.sources:
        _check_source(workspace, source)


def _check_source(workspace: Workspace, source: Source) -> None:
    if isinstance(source, DatasetSource):
        versions.resolve(workspace, source.dataset)
    if not isinstance(source, FileSource):
        return
    path = source.path
    if "\ufffd" in str(path) and not path.exists():
        # It stands for bytes that are no UTF-8; see `_as_found`.
        raise WorkbenchError(
            f"There is no file {path}: its name isn't UTF-8, and a recipe can't hold another.",
            "Rename it, and put the new name into the recipe, or import it again.",
        )
    check_there(path)
    if source.sha256 and _sha256(path) != source.sha256:
        raise WorkbenchError(
            f"{path} is no longer what it was when the recipe was written.",
            "Put it back, or leave its sha256 out of the recipe: the rows will be others.",
        )


def _as_found(workspace: Workspace, source: Source) -> Source:
    """The source as a recipe names it for good."""
    if isinstance(source, DatasetSource):
        reference = versions.resolve(workspace, source.dataset).reference
        return source.model_copy(update={"dataset": reference})
    if not isinstance(source, FileSource):
        return source
    path = source.path
    # Its name may hold bytes that are no UTF-8, which a recipe can't.
    found: dict[str, Any] = {"path": Path(os.fsencode(path.absolute()).decode("utf-8", "replace"))}
    found |= {"sha256": _sha256(path), "bytes": size(path)}
    return source.model_copy(update=found)


def _sha256(path: Path) -> str:
    return sha256_folder(path) if path.is_dir() else sha256_file(path)


def _about(source: Source) -> dict[str, Any]:
    return source.model_dump(mode="json", exclude_defaults=True)


def _names(recipe: Recipe, step: Mix, rows: Making) -> Iterator[str]:
    """The task, or the source, of each row."""
    if step.by == "task":
        return (example.task for example in rows.table)
    labels = mix.labels(recipe.sources)
    return (labels[origin] for origin in rows.origins)


def _changes(workspace: Workspace, step: Changing, rows: Table, tell: Tell) -> Iterator[Change]:
    match step:
        case Cut():
            return documents.cut(rows, step.most, _measure(workspace, step.model), tell)
        case StripEndMarkers():
            return steps.strip_end_markers(rows, tell)
        case ExactDuplicates():
            return steps.exact_duplicates(rows, tell, step.keep)
        case Split():
            key = split.key_by(step.by)
            if step.share:
                split.check_key(rows, step.by)
            if step.near_duplicates is not None or step.stratify:
                return grouped_split.assign(
                    rows,
                    share=step.share,
                    seed=step.seed,
                    key=key,
                    near_duplicates=step.near_duplicates,
                    by_task=step.stratify == "task",
                    tell=tell,
                    scratch=rows.path.parent,
                )
            return steps.assign_splits(rows, step.share, step.seed, key, tell)
        case Leakage():
            return steps.leaks(
                rows,
                tell,
                near_duplicates=step.near_duplicates,
                keep=step.keep,
                scratch=rows.path.parent,
            )
        case Drop():
            check = checks.get(step.check)
            options = checks.options_of(check, step.options)
            found = looking.annotate(workspace, rows, check, options, tell)
            return steps.drop(rows, found, step.kinds, step.keep)
        case Redact():
            check = checks.get(PERSONAL)
            options = checks.options_of(check, step.options)
            found = looking.annotate(workspace, rows, check, options, tell)
            return steps.redacted(rows, found, step.kinds, tell)
        case Remove():
            return steps.remove(rows, step.rows, step.reason, tell)
        case Edit():
            return steps.edit(rows, step.rows, tell)


def _measure(workspace: Workspace, model: str) -> documents.Measure:
    """How long a text is: in characters, or in the tokens of a base model with those around."""
    if not model:
        return len
    from workbench import base_models
    from workbench.data.template import ChatTemplate

    return ChatTemplate.load(base_models.prepare(workspace, model)).text_tokens
