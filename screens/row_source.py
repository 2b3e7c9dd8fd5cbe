"""Rows of a file as a screen shows them: those that were found, with what was decided."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from workbench.data import browse, versions
from workbench.data.browse import Looked
from workbench.data.draft import Draft
from workbench.data.example import Example
from workbench.data.rows import RowFile, open_rows
from workbench.data.steps import rewritten
from workbench.data.versions import Version
from workbench.workspace import Workspace


class RowSource:
    """A file, the rows of it that are in view, and the draft of the version that it is of."""

    def __init__(self, workspace: Workspace, reference: str) -> None:
        """Open `NAME`, `NAME@VERSION` or a file. Raises WorkbenchError when it can't be read."""
        path = browse.locate(workspace, reference)
        self.file: RowFile = open_rows(path)
        self.version: Version | None = None
        """None for a file that is no dataset version."""
        if path.is_relative_to(workspace.datasets):
            name = f"{path.parent.parent.name}@{path.parent.name}"
            self.version = versions.resolve(workspace, name)
        self.reference = self.version.reference if self.version else str(path)
        self.draft = Draft(self.version.folder) if self.version else None
        self.found: list[int] | None = None
        """Numbers of the rows that a search found; None where there is none."""

    def __len__(self) -> int:
        """Rows in view."""
        return len(self.file) if self.found is None else len(self.found)

    def number(self, row: int) -> int | None:
        """The number in the file of a row in view; None where there is none."""
        if not 0 <= row < len(self):
            return None
        return row if self.found is None else self.found[row]

    def place(self, number: int) -> int | None:
        """Where in view a row of the file is; None where it isn't."""
        if self.found is None:
            return number
        return self.found.index(number) if number in self.found else None

    @property
    def whole(self) -> str:
        """How many rows the file has, as far as it is known."""
        return f"{len(self.file):,}{'' if self.file.complete else '+'}"

    def look(self, number: int) -> Looked | None:
        """A row of the file, as it will be once the draft is written; None where it isn't read
        yet, or there is none."""
        try:
            looked = browse.look(self.file, number)
        except IndexError:
            return None
        decision = self.draft.edited.get(number) if self.draft else None
        if decision is None or not looked.examples:
            return looked
        return replace(looked, examples=(rewritten(looked.examples[0], decision.fields),))

    def original(self, number: int) -> Example | None:
        """A row as the version has it; None where it isn't read yet, or is none."""
        try:
            return next(iter(browse.look(self.file, number).examples), None)
        except IndexError:
            return None

    def beside(self) -> RowSource:
        """The same file and draft, with all rows in view."""
        other = copy(self)
        other.found = None
        return other

    def mark(self, number: int) -> str:
        """What was decided about a row of the file: `x` out, `e` rewritten, or nothing."""
        return _MARKS.get(self.draft.state_of(number), "") if self.draft else ""


_MARKS = {"remove": "x", "edit": "e"}
