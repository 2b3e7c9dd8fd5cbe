"""A row as YAML, to be rewritten here or in $EDITOR."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from screens.editor import check_signs, edited_outside
from screens.widgets.keys import Keys
from workbench.data import editing
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.text import visible

_TOO_LONG = "The row is too long to be edited here: ctrl+e opens it in $EDITOR, ctrl+s saves."
_LONGEST = 100_000
"""Characters that are edited here: with more, a key takes seconds."""


class EditScreen(ModalScreen[dict[str, Any] | None]):
    """The row as YAML: a turn's text stands after its role. What is saved waits in the draft."""

    DEFAULT_CSS = """
    EditScreen {
        align: center middle;
        #editing { width: 95%; height: 90%; border: round $accent; background: $surface; }
        #problem { height: auto; max-height: 5; color: $error; padding: 0 1; }
        TextArea { height: 1fr; border: none; padding: 0 1; &:focus { border: none; } }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="edit.save", priority=True),
        Binding("ctrl+e", "editor", "In $EDITOR", id="edit.editor", priority=True),
        Binding("escape", "leave", "Leave", id="edit.leave", priority=True),
    ]

    def __init__(self, example: Example, number: int) -> None:
        super().__init__()
        self._text = editing.to_text(example)
        self._number = number
        self._long = self._text if len(self._text) > _LONGEST else ""
        """The text of a row that is too long to be edited here; empty otherwise."""

    def compose(self) -> ComposeResult:
        with Vertical(id="editing") as box:
            box.border_title = f"Row {self._number + 1:,}: ctrl+s saves, escape leaves it as it was"
            yield TextArea(
                _TOO_LONG if self._long else self._text,
                tab_behavior="indent",
                read_only=bool(self._long),
                id="yaml",
            )
            yield Static(id="problem", markup=False)
            yield Keys()

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    def action_save(self) -> None:
        """Take the text, if it makes a row."""
        text = self._long or self.query_one(TextArea).text
        if text == self._text:
            self.dismiss(None)
            return
        try:
            fields = editing.from_text(text)
        except WorkbenchError as error:
            self.query_one("#problem", Static).update(visible(str(error)))
        else:
            self.dismiss(fields)

    def action_leave(self) -> None:
        """Leave the row as it was."""
        self.dismiss(None)

    def action_editor(self) -> None:
        """Rewrite the text in the program that $VISUAL or $EDITOR names."""
        area = self.query_one(TextArea)
        try:
            text = check_signs(edited_outside(self.app, self._long or area.text, "row.yaml"))
            if self._long:
                self._long = text
            else:
                area.text = text
        except WorkbenchError as error:
            self.query_one("#problem", Static).update(visible(str(error)))
        else:
            self.query_one("#problem", Static).update("")
