"""The runs that used a dataset version, or a row of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.message import Message

from screens.data_screen import Pushed
from screens.widgets.row_table import Column, RowTable
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import using
from workbench.tracking.using import Row, RowUse, Use


@dataclass
class Found(Message):
    """The runs, or why they can't be told."""

    uses: Sequence[Use | RowUse]
    row: Row | None = None
    gone: Sequence[str] = ()
    """Versions of runs that are not in the workspace any more."""
    problem: str = ""


class UsingScreen(Pushed):
    """The runs that used this version, directly, as a share of a mixture, or through data made of
    it; or those whose data have this very row, whichever version that is in, with the steps that
    took it. Enter watches a run."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("run", 20, grow=1),
        Column("state", 10),
        Column("how", 24),
        Column("version", 24, grow=1),
    )

    def __init__(self, reference: str, row: int | None = None) -> None:
        """`row` is a line of the version, from 1; None: all of it."""
        super().__init__()
        self._reference, self._row = reference, row
        self._found = Found(())

    def on_mount(self) -> None:
        what = self._reference if self._row is None else f"row {self._row:,} of {self._reference}"
        self.say(f"{what}: its runs are looked for …")
        self._look()

    @work(thread=True, exclusive=True, group="using", exit_on_error=False)
    def _look(self) -> None:
        try:
            if self._row is None:
                found = Found(using.of_dataset(self.workspace, self._reference))
            else:
                row = using.find_row(self.workspace, self._reference, self._row)
                uses, gone = using.of_row(self.workspace, row)
                found = Found(uses, row, gone)
        except WorkbenchError as error:
            found = Found((), problem=str(error))
        self.post_message(found)

    @on(Found)
    def _take(self, message: Found) -> None:
        self._found = message
        count = f"{len(message.uses):,} run{'s' * (len(message.uses) != 1)}"
        if message.row is None:
            self.say(f"{count} used {self._reference}: enter watches one")
        else:
            place = f"row {message.row.row:,} of {self._reference}"
            self.say(f"{count} have {place} in their data: enter watches one")
        self.table.show_rows(len(message.uses), self._cells)
        self._show(0)

    def _cells(self, place: int) -> tuple[str, ...]:
        use = self._found.uses[place]
        if isinstance(use, Use):
            share = "" if use.share is None else f", {use.share:.0%}"
            return use.run, use.status, using.WORDS[use.how] + share, use.used
        return use.run, use.status, _how(use), use.dataset

    @on(RowTable.Moved)
    def _moved(self, event: RowTable.Moved) -> None:
        self._show(event.row)

    def _show(self, place: int) -> None:
        """What is known of one run's use, and the row that is meant."""
        found = self._found
        out = Text()
        if found.problem:
            out.append(visible(found.problem), "bold red")
        elif not found.uses:
            out.append("No run has used it.")
        if place < len(found.uses):
            out.append(visible("\n".join(_about(found.uses[place]))))
        if found.row is not None:
            example = found.row.example
            out.append("\n\nThe row\n", "bold")
            text = example.text or "\n".join(f"{m.role}: {m.written}" for m in example.messages)
            out.append(visible(text))
        if found.gone:
            gone = ", ".join(found.gone)
            out.append(visible(f"\n\nNot here any more, so not looked into: {gone}."), "italic")
        self.show_beside(out)

    @on(RowTable.Chosen)
    async def _watch(self, event: RowTable.Chosen) -> None:
        self.shell.run_id = self._found.uses[event.row].run
        await self.shell.go("monitor")


def _how(use: RowUse) -> str:
    if use.split != "train":
        return use.split
    if use.learnt is None:
        return "train; which, not kept"
    times = len(use.steps)
    return f"learnt {times} time{'s' * (times != 1)}" if times else "train, not taken"


def _about(use: Use | RowUse) -> list[str]:
    if isinstance(use, Use):
        share = "" if use.share is None else f" ({use.share:.0%})"
        return [use.run, f"{using.WORDS[use.how]}{share}: {use.used}", f"trained on {use.dataset}"]
    lines = [use.run, f"line {use.row:,} of {use.dataset}, {use.split}", _how(use)]
    for step, loss in zip(use.steps, use.losses, strict=True):
        lines.append(f"step {step:,}: loss {'none' if loss is None else f'{loss:.4f}'}")
    return lines
