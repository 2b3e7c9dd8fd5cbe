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

    def compose(self) -> ComposeResult:
        with Vertical(id="editing") as box:
            box.border_title = f"Row {self._number + 1:,}: ctrl+s saves, escape leaves it as it was"
            yield TextArea(self._text, tab_behavior="indent", id="yaml")
            yield Static(id="problem", markup=False)
            yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    def action_save(self) -> None:
        """Take the text, if it makes a row."""
        text = self.query_one(TextArea).text
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
            area.text = self._edited_outside(area.text)
        except WorkbenchError as error:
            self.query_one("#problem", Static).update(visible(str(error)))
        else:
            self.query_one("#problem", Static).update("")

    def _edited_outside(self, text: str) -> str:
        """The text as the program leaves it. Raises WorkbenchError when it can't be run."""
        name = next((os.environ[n] for n in _EDITORS if os.environ.get(n)), _OTHERWISE)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "row.yaml")
            path.write_text(text, encoding="utf-8")
            try:
                with self.app.suspend():
                    # As a list: what the variable holds is never given to a shell.
                    status = subprocess.run([*shlex.split(name), str(path)], check=False).returncode
                if status:
                    raise WorkbenchError(f"{name} ended with status {status}: nothing was taken.")
                return path.read_text(encoding="utf-8")
            except SuspendNotSupported as error:
                raise WorkbenchError("This terminal can't be lent to another program.") from error
            except (OSError, ValueError) as error:
                raise WorkbenchError(
                    f"{name} can't be run: {error}.", "EDITOR names the program."
                ) from error
