"""What a run learnt of the rows of a dataset version: its own, or another one with rows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.data import versions
from workbench.data.example import Example
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.learning.courses import Course, Courses
from workbench.learning.log import Losses
from workbench.tracking import finding
from workbench.workspace import Workspace

Find = Callable[[int, Callable[[], Example]], Course | None]
"""The course of a row by its number, from 0, and what makes an example of it where that is
needed."""


@dataclass(frozen=True, slots=True)
class OfRun:
    """The dataset version that a run is of, as its manifest names it."""

    run: Path
    reference: str
    sha256: str
    rows: int

    @classmethod
    def read(cls, run: Path) -> OfRun:
        """Raises WorkbenchError for a manifest that can't be read."""
        made = read_json_object(run / finding.MANIFEST)
        try:
            made = made["dataset"]
            name = f"{made['name']}@{made['version']}"
            return cls(run, name, str(made["sha256"]), int(made["rows"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WorkbenchError(
                f"{run / finding.MANIFEST} doesn't say which dataset version the run is of.",
                "It was changed; its rows can't be told by it.",
            ) from error

    def version(self, workspace: Workspace) -> Version:
        """Raises WorkbenchError when it is no longer there."""
        try:
            return versions.resolve(workspace, self.reference)
        except WorkbenchError as error:
            raise WorkbenchError(
                f"The run {self.run.name} was of {self.reference}, which is no longer there.",
                "Make it again by its recipe or import: the same rows are the same version.",
            ) from error

    def losses(self) -> Losses:
        """Nothing of them is read yet."""
        return Losses(self.run, self.rows)

    def courses(self) -> Courses:
        """Raises WorkbenchError where the run has no losses by row."""
        losses = self.losses()
        losses.read()
        return Courses(losses)


def finder(workspace: Workspace, run: str, version: Version) -> Find:
    """Finds the courses of a run's rows in a version.

    In the run's own version by their numbers. In another one of its name, or that has been made of
    rows that it was made of, too, a row is another's where all that is learnt from it is the same
    (`Example.id`); of several the hardest counts. Raises WorkbenchError for any other version,
    where numbers would name other rows, when the run's own is gone, and where the run has no losses
    by row.
    """
    folder = finding.find(workspace, run)
    made = OfRun.read(folder)
    if made.sha256 == version.sha256:
        courses = made.courses()
        return lambda row, example: courses.of(row)
    if made.reference not in (family := family_of(workspace, version.reference)):
        family = family & family_of(workspace, made.reference)
    if not family and made.reference.partition("@")[0] != version.name:
        raise WorkbenchError(
            f"The run {folder.name} was of {made.reference}, which has nothing to do with "
            f"{version.reference}: its row numbers mean other rows.",
            f"Look for them in {made.reference}.",
        )
    own = made.version(workspace)
    courses = made.courses()
    places = _by_id(Table(own.data_path), courses)

    def find(row: int, example: Callable[[], Example]) -> Course | None:
        place = places.get(example().id)
        return None if place is None else courses.of(place)

    return find


def _by_id(rows: Table, courses: Courses) -> dict[str, int]:
    """Where each row that was learnt stands, by what is learnt from it."""
    places: dict[str, int] = {}
    for place in courses.order:
        if place < len(rows):
            places.setdefault(rows[place].id, place)
    return places


def family_of(workspace: Workspace, reference: str) -> set[str]:
    """A version and all that it was made of, as far as they are there."""
    found: set[str] = set()
    waiting = [reference]
    while waiting:
        if (name := waiting.pop()) in found:
            continue
        found.add(name)
        try:
            about = versions.describe(versions.resolve(workspace, name))
        except WorkbenchError:
            continue
        waiting += [s["dataset"] for s in about.get("sources", ()) if "dataset" in s]
    return found
