"""What repairs would make of the rows that an import left out, and the recipe that does it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from workbench.data import repairs, versions
from workbench.data.example import Example
from workbench.data.formats import RowError, convert
from workbench.data.mapping import Mapping
from workbench.data.recipe import DatasetSource, Recipe, Repair
from workbench.data.revising import recipe_of
from workbench.data.versions import Removed, Version
from workbench.errors import WorkbenchError


@dataclass(frozen=True, slots=True)
class Mended:
    """A row that was left out, and what repairs would make of it."""

    row: Removed
    """As it was: before."""
    repairs: tuple[str, ...]
    """What it takes; empty where it can't be mended."""
    examples: tuple[Example, ...]
    """What it would be: after. None where it can't be mended."""

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.row.source,
            "reason": self.row.reason,
            "repairs": list(self.repairs),
            "before": self.row.row,
            "after": [example.to_json() for example in self.examples],
        }


def look(version: Version, kinds: Collection[str] = repairs.NAMES) -> Iterator[Mended]:
    """Each row that could not be read as an example, with what the repairs `kinds` would make of
    it, in the order in which they stood."""
    ways = mappings(version)
    for removed in versions.read_removed(version):
        if removed.step == "read":
            yield mended(removed, kinds, ways)


def mended(
    removed: Removed, kinds: Collection[str], ways: Collection[Mapping | None] = (None,)
) -> Mended:
    """What the repairs `kinds` would make of one row, by the first of the mappings that fits."""
    for mapping in ways if removed.repairs else ():
        try:
            made = convert(removed.row, source=removed.source, mapping=mapping, kinds=kinds)
        except RowError:
            continue
        return Mended(removed, made.repairs, tuple(made.examples))
    return Mended(removed, (), ())


def with_repair(version: Version, kinds: tuple[str, ...]) -> Recipe:
    """The recipe of an import with rows mended as they are read, by `kinds` and by those that it
    has already; all else is done as before.

    Raises WorkbenchError when none of the rows left out would be mended so, and for a version
    that was made from another one.
    """
    recipe = recipe_of(version)
    for source in recipe.sources:
        if isinstance(source, DatasetSource):
            raise WorkbenchError(
                f"{version.reference} was made from {source.dataset}: its rows were read before.",
                f"Mend them where they were read: `workbench data repair {source.dataset}`.",
            )
    if not any(row.repairs for row in look(version, kinds)):
        raise WorkbenchError(
            f"None of the rows that {version.reference} left out is mended by {', '.join(kinds)}.",
            f"`workbench data repair {version.reference} --show` says which would be, and how.",
        )
    return added(recipe, kinds)


def added(recipe: Recipe, kinds: Collection[str]) -> Recipe:
    """A recipe that begins with files, with rows mended by `kinds` and by those that it has."""
    before = [step for step in recipe.steps if isinstance(step, Repair)]
    known = {kind for step in before if not step.off for kind in step.kinds}
    step = Repair(kinds=tuple(name for name in repairs.NAMES if name in {*known, *kinds}))
    return recipe.model_copy(update={"steps": (step, *recipe.steps[len(before) :])})


def mappings(version: Version) -> list[Mapping | None]:
    """The ways in which the fields of a version's sources are read."""
    ways: list[Mapping | None] = []
    for source in recipe_of(version).sources:
        mapping = None if isinstance(source, DatasetSource) else source.mapping
        if mapping not in ways:
            ways.append(mapping)
    return ways
