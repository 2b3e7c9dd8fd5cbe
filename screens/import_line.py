"""The line in which a file to import is named."""

from __future__ import annotations

import shlex
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.base import WorkbenchScreen
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.tracking.finding import job_reference


class ImportScreen(WorkbenchScreen):
    """A screen from which a file can be imported."""

    LINES = ("import_file",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "import_file", "Import", id="datasets.import", priority=True),
    ]

    def import_line(self) -> Input:
        """The line that `i` opens, for `compose_body`."""
        line = Input(id="import", placeholder="FILE, or FILE NAME: enter imports, escape leaves")
        line.display = False
        return line

    def action_import_file(self) -> None:
        """Make a dataset version of a file, as a job; Jobs shows how far it is."""
        line = self.query_one("#import", Input)
        line.display = True
        self.set_focus(line)

    @on(Input.Submitted, "#import")
    def _submit_import(self, event: Input.Submitted) -> None:
        text = event.value
        self._close_import()
        if text.strip():
            self._import(text)

    @work(thread=True, group="import", exit_on_error=False)
    def _import(self, text: str) -> None:
        # Here: the first frame need not wait for what reads files.
        from workbench.data import import_job
        from workbench.data.importing import Options

        try:
            file, name = _file_and_name(text)
            folder = import_job.start(self.workspace, [user_path(file)], name, Options())
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.app.call_from_thread(self._show_job, job_reference(self.workspace, folder))

    def _show_job(self, reference: str) -> None:
        self.shell.job = reference
        self.shell.action_go("jobs")

    def _close_import(self) -> None:
        line = self.query_one("#import", Input)
        if line.display:
            line.value, line.display = "", False
            self.focus_body()


def _file_and_name(text: str) -> tuple[str, str]:
    """The two words of a text; the name is the file's where there is one word."""
    try:
        file, *rest = shlex.split(text)
    except ValueError as error:
        raise WorkbenchError(f"{text} can't be read: {error}.") from error
    if len(rest) > 1:
        raise WorkbenchError(
            "Write the file, then the name.", "Put a path that has spaces in quotes."
        )
    return file, rest[0] if rest else user_path(file).name.partition(".")[0]
