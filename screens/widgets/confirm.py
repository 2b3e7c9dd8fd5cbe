"""A question that a key answers."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

_ENOUGH = 12
"""Lines of a screen in which a question has room for a frame, and for notices beside it."""


class Confirm(ModalScreen[bool]):
    """A question; `y` agrees, anything else that closes it does not."""

    DEFAULT_CSS = """
    Confirm {
        align: center middle;
        #question { width: 60; max-width: 90%; height: auto; padding: 1 2;
                    border: round $accent; background: $surface; }
        &.-few #question { padding: 0 1; max-height: 100%; border: none; }
    }
    """
    VERTICAL_BREAKPOINTS = [(0, "-few"), (_ENOUGH, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority, as what stands behind it in a burst may have.
        Binding("y", "dismiss(True)", "Yes", priority=True),
        Binding("n,escape,q", "dismiss(False)", "No", priority=True),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        yield Static(f"{self._question}\n\ny  yes      n  no", id="question", markup=False)

    def on_mount(self) -> None:
        if self.app.size.height < _ENOUGH:
            self.app.clear_notifications()
