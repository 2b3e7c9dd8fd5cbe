"""What was done to the rows, step by step: how many there were before and after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import yaml
from textual import on
from textual.binding import Binding, BindingType

from screens.data_screen import Pushed
from screens.removed import Back
from screens.widgets.row_table import Column, RowTable
from workbench.data import repairing, revising, versions
from workbench.data.recipe import Recipe, Step
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.text import visible

_SHOWN = 20
"""Rows of a step that are named."""


@dataclass(frozen=True, slots=True)
class Line:
    """A step, and what it did."""

    version: Version
    """The one that it was a step to."""
    name: str
    step: Step | None
    """None for the reading that all begins with."""
    number: int
    """Of the step in the version's recipe, from 1; 0 for the reading."""
    did: dict[str, Any]
    """Rows before, after and changed; empty for a step that is off."""
    own: bool = True
    """Whether it is among the recipe's own steps, and not those of a version before."""


class StepsScreen(Pushed):
    """The steps from the files to these rows. Space switches one off, or on again, which makes
    another version; enter shows the rows that it left out; u takes the last step back."""

    COLUMNS = (
        Column("step", 22, grow=2),
        Column("before", 10, right=True),
        Column("after", 10, right=True),
        Column("gone", 9, right=True),
        Column("changed", 9, right=True),
        Column("version", 12, grow=1),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "switch", "Off/on", id="steps.switch"),
        Binding("enter", "removed", "Rows left out", show=False, id="steps.removed"),
        Binding("u", "undo", "Undo last", id="steps.undo"),
    ]

    def __init__(self, version: Version) -> None:
        super().__init__()
        self._version = version
        self._opened = version
        self._recipe: Recipe | None = None
        self._lines: list[Line] = []

    def on_mount(self) -> None:
        self._show_version(self._version)

    def _show_version(self, version: Version) -> None:
        """The steps that a version was first made by."""
        recipe = None
        try:
            if versions.describe(version).get("recipe") is not None:
                recipe = revising.recipe_of(version)
            self._show_steps(version, recipe, versions.describe(version)["steps"])
        except WorkbenchError as error:
            self.complain(error)

    def _show_steps(
        self, version: Version, recipe: Recipe | None, did: list[dict[str, Any]]
    ) -> None:
        """The steps to a version: those of the versions that it was made of, then its own, which
        need not be those that it was first made by."""
        self._version, self._recipe = version, recipe
        before: list[Line] = []
        parent = None if recipe is None else revising.parent_of(self.workspace, recipe)
        while parent is not None:
            own = None
            if versions.describe(parent).get("recipe") is not None:
                own = revising.recipe_of(parent)
            did_before = versions.describe(parent)["steps"]
            before = _lines(parent, own, did_before, own=False) + before
            parent = None if own is None else revising.parent_of(self.workspace, own)
        lines = _lines(version, recipe, did)
        # What a version was made of is not read again before its own steps.
        self._lines = before + (lines[1:] if before else lines)
        self.table.show_rows(len(self._lines), self._cells)
        splits = ", ".join(f"{count:,} {name}" for name, count in version.splits.items())
        self.say(f"{version.rows:,} rows ({splits})  ·  {version.reference}")
        self._show(self.table.cursor)

    def _cells(self, row: int) -> tuple[str, ...]:
        line = self._lines[row]
        if not line.did:
            off = "(off) " if line.step is not None and line.step.off else ""
            return (f"{off}{line.name}", "", "", "", "", line.version.version)
        before, after = line.did["before"], line.did["after"]
        gone, changed = before - after, line.did.get("changed", 0)
        figures = (f"{before:,}", f"{after:,}", *(f"{n:,}" if n else "" for n in (gone, changed)))
        return (line.name, *figures, line.version.version)

    @on(RowTable.Moved)
    def _moved(self, event: RowTable.Moved) -> None:
        self._show(event.row)

    def _show(self, row: int) -> None:
        if row < len(self._lines):
            try:
                text = "\n".join(_about(self._lines[row]))
            except WorkbenchError as error:
                text = str(error)
            self.show_beside(visible(text))

    @property
    def _line(self) -> Line | None:
        cursor = self.table.cursor
        return self._lines[cursor] if cursor < len(self._lines) else None

    def action_switch(self) -> None:
        """Pass the step over, or do it again, and make the version that comes of it."""
        line, recipe = self._line, self._recipe
        if line is None or line.step is None or recipe is None:
            self.notify("The reading can't be switched off: all begins with it.")
            return
        if not line.own:
            # From the files on: what was made of that version has to be made again.
            self._make(lambda: self._switched_before(line, recipe))
        else:
            off = not line.step.off
            self._make(lambda: revising.with_changed(recipe, line.number, off=off))

    def _switched_before(self, line: Line, recipe: Recipe) -> Recipe:
        whole = revising.whole_recipe(self.workspace, recipe)
        off = line.step is not None and not line.step.off
        return revising.with_changed(whole, self._place(line) + 1, off=off)

    def _place(self, line: Line) -> int:
        """The place of a step, from 0, among all since the files."""
        return [each for each in self._lines if each.step is not None].index(line)

    def action_undo(self) -> None:
        """Take the last step back."""
        if self._recipe is None or not self._recipe.steps:
            self.notify("There is no step to take back.")
        else:
            recipe = self._recipe
            self._make(lambda: recipe.model_copy(update={"steps": recipe.steps[:-1]}))

    def _make(self, recipe: Callable[[], Recipe]) -> None:
        from workbench.data import replay_job

        def start() -> Path:
            return replay_job.start(self.workspace, recipe())

        self.have_done("making a version", start, self._take_made, must_stay=True)

    def _take_made(self, folder: Path) -> None:
        from workbench.data import replay_job
        from workbench.jobs import tasks

        try:
            made = versions.resolve(self.workspace, tasks.result(folder))
            self._show_steps(made, replay_job.recipe_of(folder), replay_job.steps_of(folder))
        except WorkbenchError as error:
            self.complain(error)
        else:
            self.notify(f"{made.reference} has {made.rows:,} rows.", markup=False)

    def _bring_back(self, line: Line, back: Back | None) -> None:
        """Have rows that a step left out be there again."""
        if back is not None and self._recipe is not None:
            recipe = self._recipe
            self._make(lambda: self._with_back(line, recipe, back))

    def _with_back(self, line: Line, recipe: Recipe, back: Back) -> Recipe:
        if back.repairs:
            return repairing.added(revising.whole_recipe(self.workspace, recipe), back.repairs)
        if line.own:
            return revising.with_exception(recipe, line.number, back.id)
        whole = revising.whole_recipe(self.workspace, recipe)
        return revising.with_exception(whole, self._place(line) + 1, back.id)

    @on(RowTable.Chosen)
    def _choose(self) -> None:
        self.action_removed()

    def action_removed(self) -> None:
        """The rows that the step left out, each with its reason."""
        from screens.removed import RemovedScreen

        line = self._line
        if line is None or not line.did:
            return
        if line.step is not None and line.did["before"] == line.did["after"]:
            self.notify(f"{line.name} left no row out.", markup=False)
            return
        self.app.push_screen(
            RemovedScreen(line.version, line.name), partial(self._bring_back, line)
        )

    def leave(self) -> None:
        if self.must_stay and self.refuse_at_work():
            return
        changed = self._version.reference != self._opened.reference
        self.dismiss(self._version.reference if changed else None)


def _about(line: Line) -> list[str]:
    """What a step is, in some lines. Raises WorkbenchError where its version is gone."""
    lines = [line.name, "", "It is off."] if line.step and line.step.off else [line.name, ""]
    if line.step is not None:
        fields = line.step.model_dump(mode="json", exclude={"step", "off"})
        body = {"step": line.step.step, **{name: _first(value) for name, value in fields.items()}}
        lines.append(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))
    else:
        about = versions.describe(line.version)
        lines += [f"from {'  '.join(map(str, s.values()))}" for s in about["sources"]]
    return [*lines, "", f"a step to {line.version.reference}"]


def _first(value: Any) -> Any:
    """Of many rows the first ids, and how many there are: all of them would take seconds."""
    if isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values()):
        value = list(value)
    if isinstance(value, list) and len(value) > _SHOWN:
        return [*value[:_SHOWN], f"and {len(value) - _SHOWN:,} more"]
    return value


def _lines(
    version: Version, recipe: Recipe | None, did: list[dict[str, Any]], *, own: bool = True
) -> list[Line]:
    """The steps to a version, with what each did; those that are off did nothing."""
    done = iter(did)
    first = next(done, {})
    lines = [Line(version, first.get("name", "read"), None, 0, first, own)]
    for number, step in enumerate(recipe.steps if recipe else (), start=1):
        done_by_it = {} if step.off else next(done, {})
        lines.append(Line(version, step.title, step, number, done_by_it, own))
    return lines + [Line(version, step["name"], None, 0, step, own) for step in done]
