"""A task's flag and note: what is written down with the verdict on it."""

from __future__ import annotations

import time

from textual import on
from textual.message import Message
from textual.widgets import Input, Static

from screens.base import WorkbenchScreen
from screens.review_panes import Outputs
from screens.widgets.in_order import Line
from workbench.review.attention import Attention
from workbench.text import visible


class NoteLine(Line):
    """The line that `n` opens."""

    alone = False
    """Whether every key is its own: no sooner than the keys before `n` are acted on."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return self.alone and super().check_consume_key(key, character)


class NotedScreen(WorkbenchScreen):
    """A screen with a task, and a line `#note-input` to write in.

    Keys may come in a burst. Those behind `n` are text, so its binding has priority; those before
    it may still be on their way through the widgets, and are acted on all the same.
    """

    class Noting(Message):
        """Comes behind the keys that were pressed before `n`."""

    def __init__(self) -> None:
        super().__init__()
        self._attention = Attention(time.monotonic())
        self._note = ""
        self._flag = False
        # Here: keys are asked about before the screen is composed.
        self._note_line = NoteLine(id="note-input", placeholder="why, in a few words")

    def action_flag(self) -> None:
        """Mark the task, as when an output says who it is; kept with the verdict."""
        self._flag = not self._flag
        self._attention.touch(time.monotonic())
        self._show_note()

    def action_note(self) -> None:
        """Write why; it is kept with the verdict on this item."""
        self._attention.touch(time.monotonic())
        box, before = self._note_line, self.focused or self
        box.display = True
        box.value = self._note
        # Not box.focus(), which waits a turn.
        self.set_focus(box)
        before.post_message(self.Noting())

    @on(Noting)
    def _begin_note(self) -> None:
        # The keys before it are in the app's queue now, which acts on them.
        self.app.call_later(self._set_writing)

    def _set_writing(self) -> None:
        self._note_line.alone = self._noting
        self.refresh_bindings()

    @property
    def _noting(self) -> bool:
        """Whether what is typed is a note's text."""
        return self.focused is self._note_line

    @property
    def _writing(self) -> bool:
        """Whether no other key is acted on."""
        return self._note_line.alone

    @on(Input.Submitted, "#note-input")
    def _take_note(self, event: Input.Submitted) -> None:
        self._note = event.value.strip()
        self._close_note()

    def _take_over(self, note: str, *, flag: bool) -> None:
        """Have another task's note and flag. Where `n` came right behind the key that led to it,
        what was written since is of this task."""
        box = self._note_line
        if self._noting:
            box.value = note + box.value.removeprefix(self._note)
            box.cursor_position = len(box.value)
        self._note, self._flag = note, flag

    def _close_note(self) -> None:
        self._hide_note()
        self._show_note()
        self.query_one(Outputs).focus()

    def _hide_note(self) -> None:
        self._note_line.alone = self._note_line.display = False

    def _show_note(self) -> None:
        shown = self.query_one("#note", Static)
        parts = ["flagged"] * self._flag + [f"note:  {self._note}"] * bool(self._note)
        shown.update(visible("   ".join(parts)))
        shown.display = bool(parts)
