"""One row with what systems answered to it, side by side, and what differs word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static

from screens.base import FEW
from screens.outputs_text import about, head
from screens.samples_text import drawn
from screens.to_datasets import ToDatasetsScreen
from screens.widgets.texts import Texts
from workbench.data.word_diff import Piece, word_diff
from workbench.evaluation.outputs import Answered, Outputs
from workbench.text import visible

if TYPE_CHECKING:
    from screens.outputs import View

REFERENCE = "reference"
_WIDE = 120
"""Columns from which texts stand beside each other."""
_PROMPT = 20_000
"""Characters of a prompt that are laid out."""
_Pair = tuple[int, str, str]
"""A row's number, and the two whose texts are compared."""


@dataclass
class Compared(Message):
    """What differs between two texts of a row."""

    pair: _Pair
    pieces: list[Piece]


class OutputRowScreen(ToDatasetsScreen):
    """What was asked, and what each system answered. Down and up go to the next row and the one
    before; d shows what others have besides the first text, {+so+}, or of two what only the first
    has, [-so-]. Right and left choose one system beside the first, or all; H and L which the first
    is: the reference, too. r shows the reference, w the whole prompt."""

    NAME = "runs"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-few"), (FEW + 1, "-enough")]  # noqa: RUF012
    DEFAULT_CSS = """
    OutputRowScreen {
        #state { height: 1; padding: 0 1; text-style: bold; text-wrap: nowrap;
                 text-overflow: ellipsis; }
        #prompt { height: auto; max-height: 3; padding: 0 1; background: $boost; }
        #heads { height: auto; max-height: 4; layout: horizontal; }
        #heads Static { width: 1fr; height: auto; padding: 0 1; }
        #texts { height: 1fr; }
        #sides { height: auto; layout: horizontal; }
        #sides Static { width: 1fr; height: auto; padding: 0 1; }
        &.-narrow #sides { layout: vertical; }
        &.-narrow #heads { display: none; }
        &.-narrow #sides Static { width: 100%; margin-bottom: 1; }
        &.-few #tabs, &.-few Footer { display: none; }
        &.-whole #prompt { max-height: 50%; overflow-y: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "row(1)", "Row", id="output.next"),
        Binding("up,k", "row(-1)", "Row before", show=False, id="output.before"),
        Binding("right,l", "other(1)", "Beside", id="output.other"),
        Binding("left,h", "other(-1)", "Beside", show=False, id="output.other_before"),
        Binding("L", "first(1)", "First", show=False, id="output.first"),
        Binding("H", "first(-1)", "First", show=False, id="output.first_before"),
        Binding("d", "diff", "Diff", id="output.diff"),
        Binding("r", "reference", "Reference", id="output.reference"),
        Binding("w", "whole", "Whole prompt", id="output.whole"),
        Binding("escape,o,backspace", "leave", "Back", id="output.leave"),
    ]

    def __init__(self, view: View, place: int) -> None:
        """Begin with the row at a place of those in view."""
        super().__init__()
        self._view = view
        self._places = list(view.places)
        self._place = place
        self._first = self._outputs.systems[0]
        self._other = ""
        """The one beside the first; empty: all."""
        self._diff = True
        self._reference = False
        self._pieces: dict[_Pair, list[Piece]] = {}
        self._comparing: set[_Pair] = set()

    @property
    def _outputs(self) -> Outputs:
        return self._view.outputs

    @property
    def _row(self) -> Answered:
        return self._outputs.rows[self._places[self._place]]

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Static(id="prompt", markup=False)
        count = len(self._outputs.systems) + 1
        with Container(id="heads"):
            for number in range(count):
                yield Static(id=f"head-{number}", markup=False)
        with Texts(id="texts"), Container(id="sides"):
            for number in range(count):
                yield Static(id=f"side-{number}", markup=False)

    def on_mount(self) -> None:
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show)

    def on_screen_resume(self) -> None:
        self.focus_body()

    def focus_body(self) -> None:
        self.set_focus(self.query_one(Texts))

    def answered(self) -> tuple[Outputs, Answered]:
        return self._outputs, self._row

    def action_row(self, by: int) -> None:
        """Read the next row of those in view, or the one before."""
        self._place = max(0, min(self._place + by, len(self._places) - 1))
        self._pieces.clear()
        self._show_from_top()

    def action_other(self, by: int) -> None:
        """Read one system beside the first, or all."""
        self._other = _turned(["", *self._others()], self._other, by)
        self._show_from_top()

    def action_first(self, by: int) -> None:
        """Hold the others against another system, or against the reference."""
        self._first = _turned([*self._outputs.systems, REFERENCE], self._first, by)
        self._other = "" if self._other == self._first else self._other
        self._show_from_top()

    def action_diff(self) -> None:
        """Show what differs word by word, or the texts as they are."""
        self._diff = not self._diff
        self._show()

    def action_reference(self) -> None:
        """Show the dataset's own answer, or don't."""
        self._reference = not self._reference
        self._show()

    def action_whole(self) -> None:
        """Show the prompt whole, or its beginning."""
        self.toggle_class("-whole")

    def action_leave(self) -> None:
        """Go back to the rows."""
        self.dismiss(self._place)

    def _others(self) -> list[str]:
        return [system for system in self._outputs.systems if system != self._first]

    def _show_from_top(self) -> None:
        self.query_one(Texts).scroll_home(animate=False)
        self.query_one("#prompt").scroll_home(animate=False)
        self._show()

    def _show(self) -> None:
        view, row = self._view, self._row
        told = about(row, self._place, len(self._places), view.query)
        self.query_one("#state", Static).update(told)
        whole = row.prompt[:_PROMPT]
        self.query_one("#prompt", Static).update(visible(whole) or "(no prompt)")
        others = [self._other] if self._other else self._others()
        shown = [self._first, *others]
        shown += [REFERENCE] if self._reference and REFERENCE not in shown else []
        for number in range(len(self._outputs.systems) + 1):
            name = shown[number] if number < len(shown) else None
            self._show_side(number, name, others)

    def _show_side(self, number: int, name: str | None, others: Sequence[str]) -> None:
        side = self.query_one(f"#side-{number}", Static)
        over = self.query_one(f"#head-{number}", Static)
        side.display = over.display = name is not None
        if name is None:
            return
        title = self._head(name)
        over.update(title)
        text = self._text(name)
        if text is None:
            body = Text("(no output)", "dim")
        elif name == self._first:
            pieces = self._compared(others[0]) if len(others) == 1 else None
            body = drawn(text, pieces, "-")
        else:
            body = drawn(text, self._compared(name) if name in others else None, "+")
        side.update(body if self.has_class("-wide") else _under(title, body))

    def _head(self, name: str) -> Text:
        if name == REFERENCE:
            return Text("reference", "bold cyan")
        letters = {system: letter for letter, system in self._outputs.letters.items()}
        return head(letters[name], name, self._row.said.get(name), self._view.metric)

    def _text(self, name: str) -> str | None:
        if name == REFERENCE:
            return "\n\n".join(self._row.references)
        said = self._row.said.get(name)
        return None if said is None else said.text

    def _compared(self, other: str) -> list[Piece] | None:
        """What differs from the first, if that is wanted and known; else it is looked for in a
        thread."""
        before, after = self._text(self._first), self._text(other)
        if not self._diff or before is None or after is None:
            return None
        pair = (self._row.number, self._first, other)
        if pair not in self._pieces and pair not in self._comparing:
            self._comparing.add(pair)
            self._compare(pair, before, after)
        return self._pieces.get(pair)

    @work(thread=True, group="compare", exit_on_error=False)
    def _compare(self, pair: _Pair, before: str, after: str) -> None:
        self.post_message(Compared(pair, word_diff(before, after)))

    @on(Compared)
    def _take_compared(self, message: Compared) -> None:
        self._comparing.discard(message.pair)
        if message.pair[0] == self._row.number:
            self._pieces[message.pair] = message.pieces
            self._show()


def _turned(names: Sequence[str], name: str, by: int) -> str:
    return names[(names.index(name) + by) % len(names)] if name in names else names[0]


def _under(title: Text, body: Text) -> Text:
    return Text().append_text(title).append("\n").append_text(body)
