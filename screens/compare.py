"""Several runs held against each other: only what differs, figures with intervals, data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.message import Message
from textual.widgets import Static

from screens.base import WorkbenchScreen
from screens.own_verb import OwnVerb
from workbench.errors import WorkbenchError
from workbench.evaluation.telling import Told
from workbench.text import visible
from workbench.tracking import comparing, comparing_text

_MOST_CURVES = 7
"""Runs whose curves the Monitor lays over each other."""


@dataclass
class Compared(Message):
    """What is known of the runs' differences."""

    body: dict[str, Any]
    whole: bool
    """Whether that is all, with rows of data and tests."""
    problem: str = ""
    """Why there is no more."""


class Page(ScrollableContainer, can_focus=True):
    """Text that is moved in by the keys of a table."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Down", show=False, id="page.down"),
        Binding("k,up", "scroll_up", "Up", show=False, id="page.up"),
        Binding("l,right", "scroll_right", "Right", show=False, id="page.right"),
        Binding("h,left", "scroll_left", "Left", show=False, id="page.left"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, id="page.page_down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="page.page_up"),
        Binding("home,g", "scroll_home", "Top", show=False, id="page.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="page.bottom"),
    ]


class CompareScreen(WorkbenchScreen):
    """What differs between the marked runs: their configs, their figures with 95 % intervals, tests
    on the held-out rows that they have in common, their data, what they were made with. Other runs
    are held against the first; f makes the next one the first. o lays their curves over each
    other."""

    NAME = "runs"
    FILTER = "the lines by their first word: lora, rouge, torch …"
    DEFAULT_CSS = """
    CompareScreen {
        #state { height: 1; padding: 0 1; text-style: bold; }
        Page { height: 1fr; scrollbar-size: 1 1; }
        #text { width: auto; padding: 0 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "curves", "Curves", id="compare.curves"),
        Binding("f", "first", "Other first", id="compare.first"),
        Binding("d,backspace", "leave", "Back", id="compare.leave"),
    ]

    def __init__(self, runs: Sequence[Path]) -> None:
        super().__init__()
        self._runs = list(runs)
        self._body: dict[str, Any] | None = None
        self._whole = False
        self._problem = ""
        self._filter = ""
        self._verb: OwnVerb | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        with Page(id="page"):
            yield Static(id="text", markup=False)

    def on_mount(self) -> None:
        self._begin()

    def on_unmount(self) -> None:
        self._end()

    def on_screen_resume(self) -> None:
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.query_one(Page))

    def apply_filter(self, text: str) -> None:
        self._filter = text.casefold()
        self._show()

    def key_escape(self) -> None:
        if self.query_one("#filter").display:
            super().key_escape()
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Go back to the list."""
        self.dismiss(None)

    def action_first(self) -> None:
        """Hold the others against the next run."""
        self._runs = [*self._runs[1:], self._runs[0]]
        self._begin()

    async def action_curves(self) -> None:
        """The curves of all of them in the Monitor."""
        first, *others = [run.name for run in self._runs[:_MOST_CURVES]]
        self.shell.run_id, self.shell.laid_over = first, others
        await self.shell.go("monitor")
        if len(self._runs) > _MOST_CURVES:
            self.app.notify(f"The first {_MOST_CURVES} of them: more nobody tells apart.")

    def _begin(self) -> None:
        self._end()
        self._whole, self._problem = False, ""
        self._compare(list(self._runs))

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def _compare(self, runs: list[Path]) -> None:
        """What is quick at once; the rest in a process, which may import what takes long."""
        body = comparing.plain(runs)
        self.post_message(Compared(body, whole=False))
        self._verb = verb = OwnVerb(self.workspace, "runs", "compare", runs=runs)
        problem = ""
        try:
            body = verb.result()
        except WorkbenchError as error:
            problem = f"{error.message} {error.hint}"
        if self._verb is verb:  # else it was ended: others are compared by now
            self.post_message(Compared(body, whole=True, problem=problem))

    def _end(self) -> None:
        verb, self._verb = self._verb, None
        if verb is not None:
            verb.end()

    @on(Compared)
    def _take(self, message: Compared) -> None:
        if [run["id"] for run in message.body["runs"]] == [run.name for run in self._runs]:
            self._body, self._whole = message.body, message.whole
            self._problem = message.problem
            self._show()

    def _show(self) -> None:
        if self._body is None:
            return
        first, *others = (run.name for run in self._runs)
        more = "" if self._whole else "  ·  data and rows are compared …"
        said = f"{', '.join(others)} beside {first}{more}"
        self.query_one("#state", Static).update(visible(said, one_line=True))
        out = Text(no_wrap=True)
        if self._problem:
            out.append(f"{visible(self._problem, one_line=True)}\n\n", "bold red")
        for told in comparing_text.tables(self._body):
            _append(out, told, self._filter)
        self.query_one("#text", Static).update(out)


def _append(out: Text, told: Told, wanted: str) -> None:
    """A table; of a filtered one those lines alone whose first cell has the text."""
    rows = [row for row in told.rows if wanted in row[0].casefold()]
    if wanted and not rows:
        return
    if told.title:
        out.append(f"{visible(told.title, one_line=True)}\n", "bold")
    cells = [[visible(cell, one_line=True) for cell in row] for row in (told.headers, *rows)]
    if rows:
        widths = [max(cell_len(row[n]) for row in cells) for n in range(len(told.headers))]
        for place, row in enumerate(cells):
            padded = (c + " " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True))
            out.append("  ".join(padded).rstrip() + "\n", "" if place else "underline")
    if not wanted:
        for note in told.notes:
            out.append(f"{visible(note, one_line=True)}\n", "italic")
    out.append("\n")
