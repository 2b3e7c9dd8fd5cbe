"""Which runs used a dataset version, or a row: by their manifests, and by what they learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from workbench.data import versions
from workbench.data.example import Example
from workbench.data.split import TRAIN
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.learning import log
from workbench.learning.learnt import family_of
from workbench.tracking.columns import at
from workbench.tracking.listing import Line, Listing
from workbench.workspace import Workspace

How = Literal["trained", "mixed", "derived", "against"]
WORDS: dict[How, str] = {
    "trained": "trained on it",
    "mixed": "a share of its mixture",
    "derived": "its data were made of it",
    "against": "its data were held against it",
}


@dataclass(frozen=True, slots=True)
class Use:
    """A run that used a dataset version."""

    run: str
    status: str
    how: How
    used: str
    """The version that is meant, of those that were asked for."""
    dataset: str
    """The version that the run was trained on."""
    share: float | None = None
    """Of the mixture."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RowUse:
    """A run whose dataset has a row."""

    run: str
    status: str
    dataset: str
    row: int
    """Its line there, from 1."""
    split: str
    learnt: bool | None
    """Whether a step has taken it; None where nobody kept which rows were."""
    steps: list[int] = field(default_factory=list)
    """Those that took it, by epoch."""
    losses: list[float | None] = field(default_factory=list)
    """Before each of these steps, in nats a trained token."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def of_dataset(workspace: Workspace, reference: str) -> list[Use]:
    """The runs that used a version, the newest first; of `NAME` alone any of its versions.

    The version needn't be there any more: runs say what they used. Raises WorkbenchError where
    neither a run nor the workspace knows it.
    """
    lines = _lines(workspace)
    ancestors: dict[str, list[str]] = {}
    found = []
    for line in lines:
        own = line.summary.dataset
        if own and own not in ancestors:
            made_of = family_of(workspace, own) - {own}
            ancestors[own] = [name for name in sorted(made_of) if _means(name, reference)]
        if (use := _use(line, reference, ancestors.get(own, []))) is not None:
            found.append(use)
    if not found:
        # Nobody used it; what there isn't is another thing.
        versions.resolve(workspace, reference)
    return found


def _use(line: Line, reference: str, ancestors: Sequence[str]) -> Use | None:
    run = line.summary

    def use(how: How, used: str, share: float | None = None) -> Use:
        return Use(run.id, run.status, how, used, run.dataset, share)

    if _means(run.dataset, reference):
        return use("trained", run.dataset)
    for name, share in run.mixture.items():
        if _means(name, reference):
            return use("mixed", name, share)
    if ancestors:
        return use("derived", ancestors[0])
    for name in at(line.config, "evaluation.against") or ():
        if _means(str(name), reference):
            return use("against", str(name))
    return None


def _means(known: str, asked: str) -> bool:
    """Whether `NAME@VERSION` is one of those that were asked for; of more digits than it has the
    first count."""
    name, _, version = known.partition("@")
    wanted, _, digits = asked.partition("@")
    return name == wanted and bool(name) and version.startswith(digits[: len(version)])


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a version."""

    version: Version
    row: int
    """Its line, from 1."""
    example: Example

    def to_json(self) -> dict[str, Any]:
        body = self.example.to_json()
        return {"dataset": self.version.reference, "row": self.row, "id": self.example.id, **body}


def find_row(workspace: Workspace, reference: str, row: int | str) -> Row:
    """A row of a version by its line, from 1, or its id. Raises WorkbenchError where there is
    none."""
    version = versions.resolve(workspace, reference)
    rows = Table(version.data_path)
    if isinstance(row, int):
        if not 1 <= row <= len(rows):
            raise WorkbenchError(
                f"{version.reference} has no row {row:,}.", f"It has rows 1 to {len(rows):,}."
            )
        return Row(version, row, rows[row - 1])
    for number, example in enumerate(rows, 1):
        if example.id == row:
            return Row(version, number, example)
    raise WorkbenchError(
        f"{version.reference} has no row with the id {row}.",
        "`workbench data find` tells the ids of rows.",
    )


def of_row(workspace: Workspace, wanted: Row) -> tuple[list[RowUse], list[str]]:
    """The runs whose dataset has the same row (`Example.id`: all that is learnt from it), in
    whichever version, the newest first; and the versions that are gone, so that nobody can tell.
    """
    lines = _lines(workspace)
    places: dict[str, list[tuple[int, str]]] = {}
    gone = []
    for reference in dict.fromkeys(line.summary.dataset for line in lines):
        if not reference:
            continue
        try:
            version = versions.resolve(workspace, reference)
            places[reference] = list(_places(version, wanted.example))
        except WorkbenchError:
            gone.append(reference)
    found = []
    for line in lines:
        for row, split in places.get(line.summary.dataset, ()):
            found.append(_row_use(line, row, split))
    return found, gone


def _row_use(line: Line, row: int, split: str) -> RowUse:
    run = line.summary
    learnt: bool | None = None
    losses: list[log.Loss] = []
    if split == TRAIN:
        try:
            losses = log.of_row(line.folder, row)
            learnt = bool(losses)
        except WorkbenchError:
            learnt = None
    else:
        learnt = False
    return RowUse(
        run=run.id,
        status=run.status,
        dataset=run.dataset,
        row=row,
        split=split,
        learnt=learnt,
        steps=[loss.step for loss in losses],
        losses=[loss.loss for loss in losses],
    )


def _places(version: Version, example: Example) -> Iterator[tuple[int, str]]:
    """Where a version has the row: lines from 1, each with its split."""
    # What is learnt from stands in a line as it is: a million lines are gone through in a second.
    body = example.to_json()
    part = {name: body[name] for name in ("messages", "text") if name in body}
    text = json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    needle = text[1:-1].encode("utf-8", "surrogatepass")
    try:
        with version.data_path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if needle in line:
                    other = Example.from_json(json.loads(line))
                    if other.id == example.id:
                        yield number, other.split
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbenchError(f"{version.data_path} can't be read: {error}.") from error


def _lines(workspace: Workspace) -> list[Line]:
    listing = Listing(workspace)
    lines = listing.look()
    listing.save()
    return lines
