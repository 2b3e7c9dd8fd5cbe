"""From a version's recipe to the recipe of the next one: a step more, a step off, a row back."""

from __future__ import annotations

from workbench.data import editing, versions
from workbench.data.draft import Draft
from workbench.data.example import Example
from workbench.data.mapping import Mapping
from workbench.data.recipe import (
    DatasetSource,
    Drop,
    Edit,
    ExactDuplicates,
    Leakage,
    Mix,
    Recipe,
    Remove,
    Step,
    parse,
)
from workbench.data.table import Table
from workbench.data.versions import Removed, Version
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


def recipe_of(version: Version) -> Recipe:
    """How a version was made. Raises WorkbenchError for one that has no recipe."""
    body = versions.describe(version).get("recipe")
    if body is None:
        raise WorkbenchError(
            f"{version.reference} was made without a recipe.",
            "`workbench data import` and the verbs that change a version make one with it.",
        )
    return parse(body, f"the recipe of {version.reference}")


def mapping_of(version: Version) -> Mapping:
    """Which fields were what when a version was imported. Raises WorkbenchError when nobody said
    so."""
    for source in recipe_of(version).sources:
        if not isinstance(source, DatasetSource) and source.mapping:
            return source.mapping
    raise WorkbenchError(f"{version.reference} was imported without --map.")


def with_step(version: Version, step: Step) -> Recipe:
    """A recipe that does one thing more.

    What was imported stays as it is: steps after an import begin with its version, and can all
    be switched off without reading the files again. A mixture stays the last step: the rows that
    it repeats are changed, and looked through for duplicates, once.
    """
    source = DatasetSource(dataset=version.reference)
    fresh = Recipe(name=version.name, sources=(source,))
    recipe = fresh
    if versions.describe(version).get("recipe") is not None:
        own = recipe_of(version)
        recipe = own if all(isinstance(s, DatasetSource) for s in own.sources) else fresh
    before = len(recipe.steps)
    while before and isinstance(recipe.steps[before - 1], Mix):
        before -= 1
    steps = (*recipe.steps[:before], step, *recipe.steps[before:])
    return recipe.model_copy(update={"steps": steps})


def drafted(version: Version, draft: Draft) -> Recipe:
    """The recipe with all that a person decided about rows: edits first, then what is to go, a
    step for each check that it was about.

    Raises WorkbenchError where nothing was decided.
    """
    if not len(draft):
        raise WorkbenchError(
            f"Nothing was decided about rows of {version.reference} that would change it."
        )
    edits = {d.id: d.fields for row, d in draft.edited.items() if row not in draft.removed}
    steps: list[Step] = [Edit(rows=edits)] if edits else []
    gone: dict[str, list[str]] = {}
    for decision in draft.removed.values():
        gone.setdefault(decision.check, []).append(decision.id)
    for check, ids in gone.items():
        rows = tuple(dict.fromkeys(ids))
        steps.append(Remove(rows=rows, reason=f"reviewed: {check}") if check else Remove(rows=rows))
    first, *others = steps
    recipe = with_step(version, first)
    return recipe.model_copy(update={"steps": (*recipe.steps, *others)})


def whole_recipe(workspace: Workspace, recipe: Recipe) -> Recipe:
    """All that is done since the rows were read from files: a recipe after those of the versions
    that it begins with.

    Raises WorkbenchError where one of them is gone or has no recipe.
    """
    parent = parent_of(workspace, recipe)
    if parent is None:
        return recipe
    before = whole_recipe(workspace, recipe_of(parent))
    return before.model_copy(update={"name": recipe.name, "steps": (*before.steps, *recipe.steps)})


def parent_of(workspace: Workspace, recipe: Recipe) -> Version | None:
    """The version that a recipe begins with; None where it begins with files, or with several
    versions. Raises WorkbenchError where it is gone."""
    match recipe.sources:
        case (DatasetSource(dataset=reference),):
            return versions.resolve(workspace, reference)
    return None


def switched(version: Version, number: int, *, off: bool) -> Recipe:
    """The recipe with step `number`, counted from 1, off or on.

    Raises WorkbenchError when there is no such step.
    """
    return with_changed(recipe_of(version), number, off=off)


def without_last(version: Version) -> Recipe:
    """The recipe without its last step. Raises WorkbenchError when it has none."""
    recipe = recipe_of(version)
    if not recipe.steps:
        raise WorkbenchError(f"The recipe of {version.reference} has no step.")
    return recipe.model_copy(update={"steps": recipe.steps[:-1]})


def with_row_back(version: Version, id: str) -> Recipe:
    """The recipe with a removed row restored: excepted from the step that removed it.

    Raises WorkbenchError when no row of that id was removed, and for a step that has no
    exceptions.
    """
    removed = find_removed(version, id)
    recipe = recipe_of(version)
    found = False
    for number, step in enumerate(recipe.steps, start=1):
        # Of several steps of one name nobody knows which it was: it is excepted from all of them.
        if step.title == removed.step and not step.off and _excepts(step, id):
            recipe, found = with_exception(recipe, number, id), True
    if not found:
        raise _without_exceptions(removed.step)
    return recipe


def with_exception(recipe: Recipe, number: int, id: str) -> Recipe:
    """The recipe with a row excepted from step `number`, counted from 1.

    Raises WorkbenchError for a step that has no exceptions.
    """
    step = recipe.steps[number - 1]
    if isinstance(step, Remove) and id in step.rows:
        return with_changed(recipe, number, rows=tuple(row for row in step.rows if row != id))
    if isinstance(step, Drop | ExactDuplicates | Leakage):
        return with_changed(recipe, number, keep=tuple(sorted({*step.keep, id})))
    raise _without_exceptions(step.title)


def _excepts(step: Step, id: str) -> bool:
    if isinstance(step, Remove):
        return id in step.rows
    return isinstance(step, Drop | ExactDuplicates | Leakage)


def _without_exceptions(title: str) -> WorkbenchError:
    return WorkbenchError(
        f"The step {title} takes no exceptions.",
        "Switch it off with `workbench data switch`, or edit the row so that it stays.",
    )


def find_removed(version: Version, id: str) -> Removed:
    """The removed row of that id. Raises WorkbenchError when there is none."""
    for removed in versions.read_removed(version):
        if removed_id(removed) == id:
            return removed
    raise WorkbenchError(
        f"No row {id} was removed from {version.reference}.",
        f"`workbench data removed {version.reference}` lists them with their ids.",
    )


def removed_id(removed: Removed) -> str:
    """The id of a removed row; empty for what could not be read as one."""
    if removed.step == "read":
        return ""
    return Example.from_json(removed.row).id


def ids_of(version: Version, numbers: list[int]) -> tuple[str, ...]:
    """The ids of rows by their numbers, from 1. Raises WorkbenchError for one that isn't there."""
    rows = Table(version.data_path)
    for number in numbers:
        if not 1 <= number <= len(rows):
            raise WorkbenchError(
                f"{version.reference} has {len(rows):,} rows; there is no {number}."
            )
    return tuple(rows[number - 1].id for number in numbers)


def edit_step(version: Version, number: int, fields: dict[str, object]) -> Edit:
    """The step that puts `fields` in place of row `number`, counted from 1.

    Raises WorkbenchError when there is no such row, and for fields that make no row.
    """
    editing.check(fields)
    (id,) = ids_of(version, [number])
    return Edit(rows={id: fields})


def with_changed(recipe: Recipe, number: int, **fields: object) -> Recipe:
    """The recipe with fields of step `number`, counted from 1, as they are given.

    Raises WorkbenchError when there is no such step.
    """
    if not 1 <= number <= len(recipe.steps):
        count = len(recipe.steps)
        raise WorkbenchError(f"The recipe has {count} steps; there is no step {number}.")
    steps = list(recipe.steps)
    steps[number - 1] = steps[number - 1].model_copy(update=fields)
    return recipe.model_copy(update={"steps": tuple(steps)})
