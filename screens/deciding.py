"""Decisions about rows, the same on every screen that shows some: out, rewritten, taken back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType

from screens.data_screen import Pushed
from screens.row_source import RowSource
from screens.widgets.confirm import Confirm
from workbench.data.draft import Decision, Do, Draft
from workbench.errors import WorkbenchError


class DecidingScreen(Pushed):
    """A screen with a row under its cursor. A subclass says which, and shows what was decided."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit", id="rows.edit"),
        Binding("x", "remove", "Take out", id="rows.remove"),
        Binding("u", "undo", "Undo", show=False, id="rows.undo"),
        Binding("W", "write", "Write a version", show=False, id="rows.write"),
    ]
    CHECK = ""
    """The check whose findings the decisions are about."""

    def __init__(self, source: RowSource) -> None:
        super().__init__()
        self.source = source

    def number(self) -> int | None:
        """The number in the file, from 0, of the row under the cursor; None where there is none."""
        raise NotImplementedError

    def show_decisions(self) -> None:
        """Something was decided, or taken back."""
        raise NotImplementedError

    def go_to(self, number: int) -> None:
        """Put the cursor on a row of the file, if it is in view."""
        raise NotImplementedError

    def after_decision(self) -> None:
        """Go on to the next row."""
        self.table.action_move(1)

    def show_version(self, reference: str) -> None:
        """Another version was made."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("edit", "remove", "undo", "write", "keep"):
            return self.source.version is not None
        return super().check_action(action, parameters)

    def action_remove(self) -> None:
        """Have the row left out of the next version, or keep it after all."""
        number, draft = self.number(), self.source.draft
        if number is not None and draft is not None:
            going = draft.state_of(number) == "remove"
            self.decide("keep" if going else "remove", "" if going else self.CHECK)

    def decide(self, do: Do, check: str) -> None:
        """Write down what is to become of the row under the cursor, and go on."""
        number, draft = self.number(), self.source.draft
        if number is None or draft is None or self.refuse_at_work():
            return
        example = self.source.original(number)
        if example is None:
            self.notify("It is no row, or not read yet.")
        elif self._tried(lambda: draft.decide(do, number, example, check)):
            self.after_decision()

    def action_edit(self) -> None:
        """Rewrite the row, here or in $EDITOR; it waits in the draft."""
        from screens.edit import EditScreen

        number, draft = self.number(), self.source.draft
        if number is None or draft is None or self.refuse_at_work():
            return
        example, looked = self.source.original(number), self.source.look(number)
        if example is None or looked is None:
            self.notify("It is no row, or not read yet.")
            return

        def edited(fields: dict[str, Any] | None) -> None:
            if fields is not None:
                self._tried(lambda: draft.decide("edit", number, example, self.CHECK, fields))

        self.app.push_screen(EditScreen(looked.examples[0], number), edited)

    def action_undo(self) -> None:
        """Take the last decision back."""
        draft = self.source.draft
        if draft is None or self.refuse_at_work():
            return
        taken: list[Decision] = []
        if self._tried(lambda: taken.extend(filter(None, [draft.undo()]))):
            for decision in taken:
                self.go_to(decision.row)
            if not taken:
                self.notify("There is no decision to take back. In w, u takes a whole step back.")

    def _tried(self, decide: Callable[[], object]) -> bool:
        """Whether it could be written down."""
        try:
            decide()
        except WorkbenchError as error:
            self.complain(error)
            return False
        self.show_decisions()
        return True

    @on(events.ScreenResume)
    def _see_decisions(self) -> None:
        """Another screen, or another window, may have decided meanwhile."""
        self.see_decisions()
        if self.table.count:
            # A screen over this one decides in the same draft.
            self.show_decisions()

    def see_decisions(self) -> None:
        """Show what was decided elsewhere."""
        draft = self.source.draft
        try:
            if draft is not None and draft.refresh():
                self.show_decisions()
        except WorkbenchError as error:
            self.complain(error)

    def action_write(self) -> None:
        """Make another version with all that was decided about rows."""
        draft = self.source.draft
        if draft is None or self.refuse_at_work():
            return
        self.see_decisions()
        if not len(draft):
            self.notify("Nothing was decided yet: x takes a row out, e rewrites it.")
            return
        gone, new = len(draft.removed), len(draft.edited.keys() - draft.removed.keys())
        question = f"Make another version? Rows left out: {gone}; rewritten: {new}."
        self.app.push_screen(Confirm(question), self._write)

    def _write(self, agreed: bool | None) -> None:
        from workbench.data import replay_job, revising

        version, draft = self.source.version, self.source.draft
        if not agreed or version is None or draft is None:
            return
        try:
            recipe = revising.drafted(version, draft)
        except WorkbenchError as error:
            self.complain(error)
            return
        keys = [decision.key for decision in draft.waiting]
        self.have_done(
            "making a version",
            lambda: replay_job.start(self.workspace, recipe),
            partial(self._take_made, draft, keys),
            must_stay=True,
        )

    def _take_made(self, draft: Draft, keys: list[str], folder: Path) -> None:
        from workbench.jobs import tasks

        reference = tasks.result(folder)
        try:
            draft.written(reference, keys)
        except WorkbenchError as error:
            self.complain(error)
        self.show_version(reference)
