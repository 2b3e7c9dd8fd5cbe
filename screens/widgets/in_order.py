"""A table and a line whose keys are acted on in the order in which they come.

A key is looked at by the whole app first if its binding has priority, else once it has gone through
the focused widget's queue. Where both kinds meet in a burst, pasted or over a slow connection, one
with priority overtakes those before it; so a screen takes one kind for all of its keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from screens.widgets.row_table import RowTable


class PriorTable(RowTable, inherit_bindings=False):
    """Its keys have priority."""

    BINDINGS: ClassVar[list[BindingType]] = [
        replace(binding, priority=True)
        for binding in RowTable.BINDINGS
        if isinstance(binding, Binding)
    ]


class Line(Input):
    """Enter takes the text as it is then, without the keys behind it."""

    async def key_enter(self, event: events.Key) -> None:
        event.stop()
        await self.action_submit()
