"""From a held-out row that systems have answered to that row in Datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.base import WorkbenchScreen
from screens.learnt import open_in_datasets
from workbench.data.search import Search, Wanted
from workbench.errors import WorkbenchError
from workbench.evaluation.outputs import Answered, Outputs, held_out
from workbench.learning.learnt import OfRun

_HELD_OUT = "split:validation"


@dataclass
class Placed(Message):
    """Where the held-out rows are in a dataset version, and which one it is."""

    reference: str
    rows: list[int]
    row: int


class ToDatasetsScreen(WorkbenchScreen):
    """A screen with a row that systems have answered. A subclass says which."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("D", "to_datasets", "In Datasets", id="outputs.datasets"),
    ]

    def answered(self) -> tuple[Outputs, Answered] | None:
        """The row in view; None where there is none."""
        raise NotImplementedError

    def action_to_datasets(self) -> None:
        """The row in Datasets, among the held-out rows of the version that the run was of."""
        if (found := self.answered()) is not None:
            self._look_up(*found)

    @work(thread=True, exclusive=True, group="place", exit_on_error=False)
    def _look_up(self, outputs: Outputs, row: Answered) -> None:
        try:
            run, number = held_out(outputs, row)
            version = OfRun.read(run).version(self.workspace)
            wanted = Wanted(
                str(version.data_path),
                _HELD_OUT,
                workspace=str(self.workspace.root),
                version=version.reference,
            )
            rows = [place for found in Search(wanted).found() for place in found.rows]
            if number >= len(rows):
                raise WorkbenchError(
                    f"{version.reference} has {len(rows):,} held-out rows, and this is row "
                    f"{number + 1:,} of them: examples.jsonl was changed."
                )
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.post_message(Placed(version.reference, rows, rows[number]))

    @on(Placed)
    async def _show_placed(self, message: Placed) -> None:
        await open_in_datasets(self.shell, message.reference, _HELD_OUT, message.rows, message.row)
