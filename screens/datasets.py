"""Datasets: every version, and how it was made; enter opens its rows."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.data_screen import DataScreen
from screens.import_line import ImportScreen
from screens.widgets.row_table import Column, RowTable
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.text import visible

_EMPTY = """\
There is no dataset here yet.

    workbench data import FILE --name NAME      your own JSONL, JSON, CSV or Parquet; or press i
    workbench data build-default                pairs from Python's own documentation

`workbench --dataset FILE` looks at any JSONL file as it is.
"""


class DatasetsScreen(DataScreen, ImportScreen):
    """The dataset versions, the newest first, with what they were made of. Enter opens the rows
    of one."""

    FILTER = "datasets by name or task"
    COLUMNS = (
        Column("dataset", 34, grow=1),
        Column("rows", 10, right=True),
        Column("train", 10, right=True),
        Column("validation", 10, right=True),
        Column("tasks", 8, grow=3),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "configure", "Configure", id="datasets.configure"),
        Binding("w", "steps", "Steps", id="datasets.steps"),
        Binding("R", "runs", "Its runs", show=False, id="datasets.runs"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._versions: list[versions.Version] = []
        self._filter = ""

    def compose_lines(self) -> ComposeResult:
        yield self.import_line()

    def on_screen_resume(self) -> None:
        self._show_versions()
        self.focus_body()
        if wanted := self.shell.dataset:
            self.shell.dataset = None
            self._open(wanted)

    def leave(self) -> None:
        """There is nothing before the list."""

    def apply_filter(self, text: str) -> None:
        self._filter = text
        self._show_versions()

    def _show_versions(self) -> None:
        known, wanted = versions.list_versions(self.workspace), self._filter
        self._versions = [v for v in known if wanted.casefold() in _searched(v).casefold()]
        self.table.show_rows(len(self._versions), self._cells)
        count = f"{len(self._versions)} of {len(known)}" if wanted else str(len(known))
        self.say(f"{count} dataset version{'s' * (len(known) != 1)}: enter opens one")
        if not self._versions:
            self.show_beside(
                "Nothing matches." if self.query_one("#filter", Input).value else _EMPTY
            )
        else:
            self._show_version(self.table.cursor)

    def _cells(self, row: int) -> tuple[str, ...]:
        version = self._versions[row]
        counts = (version.splits.get(split, 0) for split in versions.SPLITS)
        tasks = ", ".join(f"{n:,} {task}" for task, n in version.tasks.items() if task)
        return (version.reference, f"{version.rows:,}", *(f"{n:,}" for n in counts), tasks)

    @on(RowTable.Moved)
    def _show_moved(self, event: RowTable.Moved) -> None:
        self._show_version(event.row)

    def _show_version(self, row: int) -> None:
        if row >= len(self._versions):
            return
        version = self._versions[row]
        try:
            about = versions.describe(version)
        except WorkbenchError as error:
            self.show_beside(visible(str(error)))
            return
        lines = [version.reference, f"SHA-256 {version.sha256}", ""]
        lines += [f"{s['name']}: {s['before']:,} -> {s['after']:,} rows" for s in about["steps"]]
        lines += ["", *(f"from {source}" for source in map(_source, about["sources"]))]
        self.show_beside(visible("\n".join(lines)))

    @on(RowTable.Chosen)
    def _open_chosen(self, event: RowTable.Chosen) -> None:
        if event.row < len(self._versions):
            self._open(self._versions[event.row].reference)

    def _open(self, reference: str) -> None:
        from screens.row_source import RowSource
        from screens.rows import RowsScreen

        try:
            screen = RowsScreen(RowSource(self.workspace, reference))
        except WorkbenchError as error:
            self.complain(error)
        else:
            self.app.push_screen(screen)

    @property
    def _version(self) -> versions.Version | None:
        cursor = self.table.cursor
        return self._versions[cursor] if cursor < len(self._versions) else None

    def action_steps(self) -> None:
        """What was done to the rows of the version under the cursor, step by step."""
        from screens.steps import StepsScreen

        if (version := self._version) is not None:
            self.app.push_screen(StepsScreen(version))

    def action_runs(self) -> None:
        """The runs that used the version under the cursor."""
        from screens.using import UsingScreen

        if (version := self._version) is not None:
            self.app.push_screen(UsingScreen(version.reference))

    def action_configure(self) -> None:
        """Open the Config screen on the dataset under the cursor."""
        if (version := self._version) is not None:
            self.shell.chosen_dataset = version.reference
        self.shell.go("config")


def _searched(version: versions.Version) -> str:
    return " ".join((version.reference, *version.tasks))


def _source(source: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value}" for name, value in source.items())
