"""Notes and tags of a run: a line to write in, with the tags that are used already."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from screens.base import WorkbenchScreen
from screens.editor import check_signs, edited_outside
from screens.widgets.in_order import Line
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import notes
from workbench.workspace import Workspace

_FEW = 14
"""Lines of a screen from which on a frame has room."""
_SHOWN = 3
"""Notes that are shown above the line."""


class NotingScreen(WorkbenchScreen):
    """A screen on which a run can be noted something."""

    LINES: ClassVar[tuple[str, ...]] = ("note", "tags")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("N", "note", "Note", show=False, id="run.note", priority=True),
        Binding("T", "tags", "Tags", show=False, id="run.tags", priority=True),
    ]

    def run_to_note(self) -> Path | None:
        """The folder of the run in view, or under the cursor."""
        raise NotImplementedError

    def noted(self) -> None:
        """Called when a run's notes have changed."""

    def action_note(self) -> None:
        """Write a note on the run, with its time."""
        if (run := self.run_to_note()) is None:
            self.notify("There is no run to note something on.")
            return

        def write(text: str | None) -> None:
            if text:
                self._write(run, text)

        self.app.push_screen(NoteLine(run), write)

    def action_tags(self) -> None:
        """Give the run tags, or take some away."""
        if (run := self.run_to_note()) is None:
            self.notify("There is no run to tag.")
            return

        def write(text: str | None) -> None:
            if text:
                self._tag(run, text)

        self.app.push_screen(TagLine(run), write)

    @work(thread=True, group="note", exit_on_error=False)
    def _write(self, run: Path, text: str) -> None:
        try:
            notes.add(run, text)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.app.call_from_thread(self._tell, f"Noted on {run.name}.")

    @work(thread=True, group="note", exit_on_error=False)
    def _tag(self, run: Path, text: str) -> None:
        try:
            tags = notes.tag(run, *notes.split(text.split())).tags
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            said = " ".join(f"#{tag}" for tag in tags) or "no tags"
            self.app.call_from_thread(self._tell, f"{run.name} has {said}.")

    def _tell(self, text: str) -> None:
        self.notify(visible(text, one_line=True), markup=False)
        self.noted()


class _Known(Message):
    """What there is: of the run, and the tags of all runs."""

    def __init__(self, of_run: notes.Notes, used: dict[str, int]) -> None:
        super().__init__()
        self.of_run, self.used = of_run, used


class _LineScreen(ModalScreen[str | None]):
    """A line in a frame, below what there is already."""

    DEFAULT_CSS = """
    _LineScreen {
        align: center middle;
        #noting { width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1;
                  border: round $accent; background: $surface; }
        #there { height: auto; max-height: 8; }
        #line { height: 1; border: none; padding: 0; background: $boost; }
        #how { height: auto; color: $text-muted; }
        &.-few #noting { width: 100%; max-width: 100%; border: none; }
        &.-few #there { max-height: 2; }
    }
    """
    VERTICAL_BREAKPOINTS = [(0, "-few"), (_FEW, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Leave", priority=True),
    ]
    TITLE_OF = ""
    HOW = ""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run

    def compose(self) -> ComposeResult:
        with Vertical(id="noting") as box:
            box.border_title = visible(f"{self.TITLE_OF} {self.run.name}", one_line=True)
            yield Static(id="there", markup=False)
            yield Line(id="line", suggester=self.suggester())
            yield Static(self.HOW, id="how", markup=False)

    def suggester(self) -> Suggester | None:
        return None

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))
        self._look()

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        workspace = Workspace(self.run.absolute().parent.parent)
        self.post_message(_Known(notes.look(self.run), notes.used(workspace)))

    @on(Input.Submitted, "#line")
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class NoteLine(_LineScreen):
    """A note on a run: enter keeps it with its time, ctrl+e writes it in $EDITOR."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "editor", "In $EDITOR", id="note.editor", priority=True),
    ]
    TITLE_OF = "A note on"
    HOW = "enter keeps it, ctrl+e opens $EDITOR for a longer one, escape leaves"

    @on(_Known)
    def _show(self, message: _Known) -> None:
        told = message.of_run
        last = [f"{_at(n.time)}  {n.text}" for n in told.notes[-_SHOWN:]]
        text = "\n".join(visible(line, one_line=True) for line in [*last, told.problem] if line)
        self.query_one("#there", Static).update(text or "There is no note yet.")

    def action_editor(self) -> None:
        """Write the note in the program that $VISUAL or $EDITOR names."""
        try:
            text = check_signs(edited_outside(self.app, self.query_one(Input).value, "note.txt"))
        except WorkbenchError as error:
            self.query_one("#there", Static).update(visible(str(error)))
        else:
            self.dismiss(text.strip() or None)


class TagLine(_LineScreen):
    """Tags of a run: `good -bad` gives it the one and takes the other away; tab completes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", id="tags.complete", priority=True),
    ]
    TITLE_OF = "Tags of"
    HOW = "good -bad: adds one, takes the other away; tab completes, enter keeps, escape leaves"

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._completion = _Completion()

    def suggester(self) -> Suggester:
        return self._completion

    @on(_Known)
    def _show(self, message: _Known) -> None:
        own, used = message.of_run, message.used
        self._completion.own, self._completion.used = own.tags, tuple(used)
        lines = [f"has: {' '.join(own.tags) or 'none'}"]
        others = [f"{tag} ({count})" for tag, count in used.items()]
        lines += [f"used here: {' '.join(others)}"] if others else []
        text = "\n".join(visible(line, one_line=True) for line in [*lines, own.problem] if line)
        self.query_one("#there", Static).update(text)

    def action_complete(self) -> None:
        """Complete the word before the cursor."""
        line = self.query_one(Input)
        if (value := self._completion.complete(line.value)) is not None:
            line.value = value
            line.cursor_position = len(value)


class _Completion(Suggester):
    """Completes the last word: tags of the run after `-`, else those used in the workspace."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.own: tuple[str, ...] = ()
        self.used: tuple[str, ...] = ()

    def complete(self, value: str) -> str | None:
        """The whole line with its last word completed; None where no tag begins like it."""
        before, space, word = value.rpartition(" ")
        sign = word[:1] if word[:1] in ("+", "-") else ""
        begun = word[len(sign) :]
        known = self.own if sign == "-" else [tag for tag in self.used if tag not in self.own]
        for tag in known:
            if begun and tag.startswith(begun) and tag != begun:
                return f"{before}{space}{sign}{tag}"
        return None

    async def get_suggestion(self, value: str) -> str | None:
        return self.complete(value)


def _at(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
