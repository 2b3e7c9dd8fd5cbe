"""A mixture of dataset versions: its recipe, and what will be in it before it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data import mix, split, tokens, versions
from workbench.data.curate.duplicates import THRESHOLD
from workbench.data.recipe import DatasetSource, ExactDuplicates, Leakage, Mix, Recipe, parse
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold


def recipe_of(name: str, found: Sequence[Version], step: Mix) -> Recipe:
    """The recipe of the mixture `name` of versions.

    What one says that another has said before, or holds out, is left out first: of several,
    near-duplicates of validation rows, too. Raises WorkbenchError for a name that can't be, and
    for a version that is named twice.
    """
    references = [version.reference for version in found]
    if twice := [reference for reference, times in Counter(references).items() if times > 1]:
        raise WorkbenchError(
            f"{twice[0]} is named twice.", "Its share is its weight: write it once, as REF=WEIGHT."
        )
    leakage = Leakage(near_duplicates=THRESHOLD if len(found) > 1 else None)
    recipe = Recipe(
        name=name,
        sources=tuple(DatasetSource(dataset=reference) for reference in references),
        steps=(ExactDuplicates(), leakage, step),
    )
    return parse(recipe.to_json(), "the mixture")


@dataclass(frozen=True, slots=True)
class Planned:
    """A part of a mixture that isn't made yet."""

    part: mix.Part
    share: float
    """Of the rows of the mixture."""
    tokens: int | None
    """Of the rows that are taken, by the mean of all; None where no tokenizer was given."""

    def to_json(self) -> dict[str, Any]:
        return {**self.part.to_json(), "share": round(self.share, 4), "tokens": self.tokens}


def preview(
    found: Sequence[Version], step: Mix, template: ChatTemplate | None, tell: Tell = untold
) -> list[Planned]:
    """What a mixture takes of each part, by the different training rows of the versions as they
    are: rows that two of them share, and leaks, are still counted.

    Raises WorkbenchError as `mix.plan` does, and when a version can't be read.
    """
    sizes, counted, long = Counter[str](), Counter[str](), Counter[str]()
    for version in found:
        for part in versions.figures(version)["parts"]:
            if part["split"] == split.TRAIN:
                name = part["task"] if step.by == "task" else version.reference
                sizes[name] += part["different_rows"]
        if template is not None:
            rows = versions.read(version, split.TRAIN)
            total = version.splits.get(split.TRAIN, 0)
            for task, figures in tokens.count(rows, total, template, tell)["tasks"].items():
                name = task if step.by == "task" else version.reference
                counted[name] += figures["rows"] - figures["refused"]
                long[name] += figures["tokens"]
    parts = mix.plan(sizes, step)
    whole = sum(part.taken for part in parts)
    return [
        Planned(
            part,
            part.taken / whole,
            None
            if template is None
            else round(part.taken * long[part.name] / max(1, counted[part.name])),
        )
        for part in parts
    ]
