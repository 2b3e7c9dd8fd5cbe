"""The keys that can be pressed, on a screen's last line."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Footer


class Keys(Footer):
    """Textual's footer, made anew only where it comes to show something else.

    By itself it is made anew whenever a binding may have changed, as with every move of the
    focus: a dozen widgets, and the styles and the layout of each.
    """

    _shown: list[tuple[Binding, bool, str]] | None = None

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)

    async def recompose(self) -> None:
        if not self.is_attached:
            return
        bindings = self.screen.active_bindings.values()
        shown = [(b, enabled, tip) for _, b, enabled, tip in bindings if b.show]
        if shown != self._shown:
            self._shown = shown
            await super().recompose()
