"""What all six screens share: the line of tabs, the filter, the footer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from screens.widgets.in_order import Line
from screens.widgets.keys import Keys
from workbench import faults
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from screens.app import WorkbenchApp

TABS = ("datasets", "config", "monitor", "review", "runs", "jobs")

FEW = 15
"""Lines of a terminal up to which tabs and keys make way for what a screen shows."""


class WorkbenchScreen(Screen[Any]):
    """One of the six screens. A subclass gives `compose_body`, and `apply_filter` if it
    has something to filter."""

    AUTO_FOCUS = ""
    NAME: ClassVar[str] = ""
    FILTER: ClassVar[str] = ""
    """What `/` filters, in words; empty where there is nothing to."""
    LINES: ClassVar[tuple[str, ...]] = ()
    """Actions that open a line to write in, besides the filter. Their bindings must have
    priority: they are then acted on before the next key is looked at, so that a text which
    is pasted, or comes in a burst over a slow connection, goes into the line."""
    DEFAULT_CSS = """
    WorkbenchScreen {
        #tabs { height: 1; background: $panel; padding: 0 1; }
        #body { height: 1fr; }
        #filter, #interval, #import, #sort, #options { height: 1; border: none; padding: 0 1; }
        #task { height: 1; padding: 0 1; background: $boost; text-wrap: nowrap; }
        Footer { scrollbar-size: 0 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="base.filter", key_display="/", priority=True),
    ]

    def compose(self) -> ComposeResult:
        yield Static(self._tabs(), id="tabs")
        with Vertical(id="body"):
            yield from self.compose_body()
        placeholder = f"filter {self.FILTER}: enter applies, escape shows all"
        line = Line(id="filter", placeholder=placeholder)
        line.display = False
        yield line
        yield Keys()

    def compose_body(self) -> ComposeResult:
        """The screen's own widgets."""
        raise NotImplementedError

    @property
    def workspace(self) -> Workspace:
        return cast(Any, self.app).workspace  # type: ignore[no-any-return]

    @property
    def shell(self) -> WorkbenchApp:
        """The app with what it was opened for."""
        return cast("WorkbenchApp", self.app)

    def _tabs(self) -> Content:
        parts: list[Content] = []
        for number, name in enumerate(TABS, start=1):
            title = f"{number} {name.capitalize()}"
            if name == self.NAME:
                parts.append(Content.styled(f"[{title}]", "bold reverse"))
            else:
                parts.append(Content.styled(f" {title} ", "$foreground 80%"))
        return Content(" ").join(parts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter" and not self.FILTER:
            return False
        opens_line = action == "filter" or action in self.LINES
        return not (opens_line and isinstance(self.focused, Input))

    def action_filter(self) -> None:
        """Open the filter's line."""
        box = self.query_one("#filter", Input)
        box.display = True
        # Not box.focus(), which waits a turn.
        self.set_focus(box)

    def open_filter(self, text: str) -> None:
        """Show only what matches, as if the text had been written in the filter's line."""
        self.show_filter(text)
        self.apply_filter(text)

    def show_filter(self, text: str) -> None:
        """Have the text in the filter's line, of what is in view already."""
        box = self.query_one("#filter", Input)
        box.display, box.value = True, text

    def reset_filter(self) -> bool:
        """Empty and close the filter's line; whether it was open."""
        box = self.query_one("#filter", Input)
        was_open = box.display
        box.value, box.display = "", False
        return was_open

    def apply_filter(self, text: str) -> None:
        """Show only what matches; an empty text shows all."""

    @on(Input.Submitted, "#filter")
    def _submit_filter(self, event: Input.Submitted) -> None:
        # A filter that is on stays in view.
        event.input.display = bool(event.value.strip())
        self.focus_body()
        self.apply_filter(event.value.strip())

    def complain(self, error: WorkbenchError) -> None:
        """Show what is wrong and what to do."""
        self.notify(visible(str(error)), severity="error", markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What goes wrong in a thread is said, too."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            text = visible(faults.tell(event.worker.error))
            self.notify(text, severity="error", markup=False)

    def key_escape(self) -> None:
        if self.reset_filter():
            self.focus_body()
            self.apply_filter("")

    def focus_body(self) -> None:
        """Give the keys back to the screen's main widget, or to the screen itself."""
        self.set_focus(None)
