"""One of several things, chosen from a list that is narrowed by typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from screens.widgets.in_order import Line
from screens.widgets.row_table import Column, RowTable
from workbench.text import visible

_FEW = 16
"""Lines of a screen from which on a frame and several lines of what is said have room."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A line of the list."""

    name: str
    about: str = ""
    more: str = ""
    """What is shown below while it is under the cursor."""


@dataclass
class _Found(Message):
    """What there is to choose from."""

    choices: Sequence[Choice]


class Pick(ModalScreen[str | None]):
    """Type to narrow the list, up and down move in it, page down reads on in what is said of the
    marked line, enter takes it, escape leaves."""

    DEFAULT_CSS = """
    Pick {
        align: center middle;
        #picking { width: 100; max-width: 95%; height: 90%; max-height: 30;
                   border: round $accent; background: $surface; }
        #wanted { height: 1; border: none; padding: 0 1; background: $boost; }
        #below { height: auto; max-height: 9; border-top: solid $foreground 40%; }
        #more { height: auto; padding: 0 1; }
        &.-few #picking { height: 100%; max-height: 100%; border: none; }
        &.-few #below { max-height: 2; border-top: none; background: $panel; }
    }
    """
    VERTICAL_BREAKPOINTS = [(0, "-few"), (_FEW, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "scroll(1)", "Read on", show=False, priority=True),
        Binding("pageup", "scroll(-1)", "Read back", show=False, priority=True),
        Binding("escape", "dismiss(None)", "Leave", priority=True),
    ]

    def __init__(self, title: str, find: Callable[[], Sequence[Choice]]) -> None:
        """`find` is called in a thread: the list is there at once, and what is typed narrows it
        when it comes."""
        super().__init__()
        self._title = title
        self._find = find
        self._choices: Sequence[Choice] = ()
        self._found = self._taken = False
        self._shown: list[Choice] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="picking") as box:
            box.border_title = visible(self._title, one_line=True)
            box.border_subtitle = "enter takes it, page down reads on, escape leaves"
            yield Line(id="wanted", placeholder="type to narrow the list")
            table = RowTable(())
            table.can_focus = False
            yield table
            with VerticalScroll(id="below", can_focus=False):
                yield Static(id="more", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))
        self._narrow("")
        self._look()

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        self.post_message(_Found(self._find()))

    @on(_Found)
    def _show(self, message: _Found) -> None:
        self._choices, self._found = message.choices, True
        widest = max((len(choice.name) for choice in self._choices), default=0)
        table = self.query_one(RowTable)
        table.columns = (Column("", min(40, max(12, widest)), grow=1), Column("", 20, grow=2))
        self._narrow(self.query_one(Input).value)
        if self._taken:
            self._take()

    def action_move(self, by: int) -> None:
        self.query_one(RowTable).action_move(by)

    def action_scroll(self, pages: int) -> None:
        below = self.query_one("#below")
        below.scroll_relative(y=pages * max(1, below.size.height - 1), animate=False)

    @on(Input.Changed, "#wanted")
    def _changed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def _narrow(self, text: str) -> None:
        words = text.casefold().split()
        self._shown = [c for c in self._choices if _has(c, words)]
        table = self.query_one(RowTable)
        table.cursor = 0
        table.show_rows(
            len(self._shown), lambda row: (self._shown[row].name, self._shown[row].about)
        )
        self._tell()

    @on(RowTable.Moved)
    def _tell(self) -> None:
        choice = self._marked
        text = "looking …"
        if self._found:
            text = "Nothing matches." if self._choices else "There is none yet."
        if choice is not None:
            text = choice.more or choice.about
        self.query_one("#more", Static).update(visible(text))
        self.query_one("#below").scroll_home(animate=False)

    @on(Input.Submitted, "#wanted")
    def _take(self) -> None:
        self._taken = not self._found
        if (choice := self._marked) is not None:
            self.dismiss(choice.name)

    @property
    def _marked(self) -> Choice | None:
        cursor = self.query_one(RowTable).cursor
        return self._shown[cursor] if cursor < len(self._shown) else None


def _has(choice: Choice, words: Sequence[str]) -> bool:
    text = f"{choice.name} {choice.about}".casefold()
    return all(word in text for word in words)
