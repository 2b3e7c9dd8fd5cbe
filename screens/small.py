"""What stands in a terminal that has no room for a screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Static

COLUMNS, LINES = 40, 6
"""What the screens need at the least: the Monitor's compact form has lines for a chart then."""


def is_small(size: Size) -> bool:
    return size.width < COLUMNS or size.height < LINES


class TooSmall(ModalScreen[None]):
    """A sentence, until there is room again."""

    DEFAULT_CSS = """
    TooSmall { background: $background; #sentence { width: 1fr; height: 1fr; } }
    """

    # Of the app's own keys a modal screen passes on those with priority alone.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,ctrl+c", "app.detach", "Detach")]

    def compose(self) -> ComposeResult:
        yield Static(id="sentence", markup=False)

    def on_mount(self) -> None:
        self._tell(self.app.size)

    def on_resize(self) -> None:
        self._tell(self.app.size)

    def on_screen_resume(self) -> None:
        """What was asked meanwhile is answered; there may be room by now."""
        self._tell(self.app.size)

    def _tell(self, size: Size) -> None:
        if not is_small(size):
            if self.is_current:
                self.dismiss()
            return
        self.query_one("#sentence", Static).update(
            f"Too small: {size.width}x{size.height}, and {COLUMNS}x{LINES} is needed. "
            "Make it larger; q leaves, and runs go on."
        )
