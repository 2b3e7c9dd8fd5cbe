"""A text in the program that $VISUAL or $EDITOR names."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from workbench.errors import WorkbenchError

_EDITORS = ("VISUAL", "EDITOR")
_OTHERWISE = "vi"
_NAMED = "EDITOR names the program."


def edited_outside(app: App[Any], text: str, name: str) -> str:
    """The text as the program leaves it, in a file called `name`; `check_signs` is to look at it
    before it is used. Raises WorkbenchError when the program can't be run."""
    editor = next((os.environ[n] for n in _EDITORS if os.environ.get(n, "").strip()), _OTHERWISE)
    try:
        # As a list: what the variable holds is never given to a shell.
        command = shlex.split(editor)
    except ValueError as error:
        raise WorkbenchError(f"{editor} can't be run: {error}.", _NAMED) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(text, encoding="utf-8")
        status = _run(app, [*command, str(path)])
        if isinstance(status, OSError):
            raise WorkbenchError(f"{editor} can't be run: {status}.", _NAMED) from status
        if status:
            raise WorkbenchError(f"{editor} ended with status {status}: nothing was taken.")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"What {editor} left can't be read: {error}.") from error


def _run(app: App[Any], command: list[str]) -> int | OSError:
    """Lend the terminal to a program; returns its status, or why it can't be run. Nothing may
    be raised while the terminal is lent: it would not be taken back."""
    try:
        with app.suspend():
            try:
                return subprocess.run(command, check=False).returncode
            except OSError as error:
                return error
    except SuspendNotSupported as error:
        raise WorkbenchError("This terminal can't be lent to another program.") from error


def check_signs(text: str) -> str:
    """The text, if every sign of it can be shown, and none would be followed by a terminal.
    Raises WorkbenchError."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not all(c.isprintable() or c == "\t" for c in line):
            raise WorkbenchError(
                f"Line {number} has signs that can't be shown.",
                "Write them as \\x1b or \\u202e, in quotes.",
            )
    return text
