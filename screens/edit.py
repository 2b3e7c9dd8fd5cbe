"""A row as YAML, to be rewritten here or in $EDITOR."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static, TextArea

from workbench.data import editing
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.text import visible

_EDITORS = ("VISUAL", "EDITOR")
_OTHERWISE = "vi"
_NAMED = "EDITOR names the program."
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
            yield Footer(compact=True, show_command_palette=False)

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
            text = self._edited_outside(self._long or area.text)
            if self._long:
                self._long = text
            else:
                area.text = text
        except WorkbenchError as error:
            self.query_one("#problem", Static).update(visible(str(error)))
        else:
            self.query_one("#problem", Static).update("")

    def _edited_outside(self, text: str) -> str:
        """The text as the program leaves it. Raises WorkbenchError when it can't be run, and for
        signs that a terminal would follow."""
        name = next((os.environ[n] for n in _EDITORS if os.environ.get(n, "").strip()), _OTHERWISE)
        try:
            # As a list: what the variable holds is never given to a shell.
            command = shlex.split(name)
        except ValueError as error:
            raise WorkbenchError(f"{name} can't be run: {error}.", _NAMED) from error
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "row.yaml")
            path.write_text(text, encoding="utf-8")
            status = self._run([*command, str(path)])
            if isinstance(status, OSError):
                raise WorkbenchError(f"{name} can't be run: {status}.", _NAMED) from status
            if status:
                raise WorkbenchError(f"{name} ended with status {status}: nothing was taken.")
            try:
                return _shown(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise WorkbenchError(f"What {name} left can't be read: {error}.") from error

    def _run(self, command: list[str]) -> int | OSError:
        """Lend the terminal to a program; returns its status, or why it can't be run. Nothing may
        be raised while the terminal is lent: it would not be taken back."""
        try:
            with self.app.suspend():
                try:
                    return subprocess.run(command, check=False).returncode
                except OSError as error:
                    return error
        except SuspendNotSupported as error:
            raise WorkbenchError("This terminal can't be lent to another program.") from error


def _shown(text: str) -> str:
    """The text, if every sign of it can be shown. Raises WorkbenchError."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not all(c.isprintable() or c == "\t" for c in line):
            raise WorkbenchError(
                f"Line {number} has signs that can't be shown.",
                "Write them as \\x1b or \\u202e, in quotes.",
            )
    return text
