"""The line in which a file to import is named."""

from __future__ import annotations

import argparse
import shlex
from typing import ClassVar, NoReturn

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.base import WorkbenchScreen
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.tracking.finding import job_reference

_PLACEHOLDER = "FILE NAME --skip-bad --repair --map prompt=Q --task T …: enter imports"


class ImportScreen(WorkbenchScreen):
    """A screen from which a file can be imported."""

    LINES = ("import_file",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "import_file", "Import", id="datasets.import", priority=True),
    ]

    def import_line(self) -> Input:
        """The line that `i` opens, for `compose_body`."""
        line = Input(id="import", placeholder=_PLACEHOLDER)
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
        from workbench.verbs import import_options

        try:
            asked = import_options.request(_asked(text), self.workspace)
            folder = import_job.start(self.workspace, *asked)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.app.call_from_thread(self._show_job, job_reference(self.workspace, folder))

    def _show_job(self, reference: str) -> None:
        self.shell.job = reference
        self.shell.go("jobs")

    def _close_import(self) -> None:
        line = self.query_one("#import", Input)
        if line.display:
            line.value, line.display = "", False
            self.focus_body()


class _Line(argparse.ArgumentParser):
    """Reads a line as the command line would be; what is wrong with it is raised."""

    def error(self, message: str) -> NoReturn:
        raise WorkbenchError(
            f"It can't be read: {message}.", "Its options are those of `workbench data import`."
        )


def _asked(text: str) -> argparse.Namespace:
    """What the line says; a second word that is no file is the dataset's name. Raises
    WorkbenchError."""
    from workbench.verbs import import_options

    parser = _Line(add_help=False, prog="")
    import_options.add(parser)
    try:
        asked = parser.parse_args(shlex.split(text))
    except ValueError as error:
        raise WorkbenchError(f"{text} can't be read: {error}.") from error
    if asked.name is None and len(asked.files) == 2 and not user_path(asked.files[1]).exists():
        asked.name = asked.files.pop()
    return asked
