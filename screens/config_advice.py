"""What is said of a config while it is made, and the keys that follow what is said."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from screens import config_text
from screens.config_compare import ConfigCompare
from screens.widgets.in_order import PriorTable
from screens.widgets.row_table import Column, RowTable
from workbench.config.advice import Advice
from workbench.config.circumstances import Circumstances
from workbench.config.fields import ConfigField
from workbench.config.schema import RunConfig
from workbench.planning import judging, known
from workbench.planning.judging import Judgement
from workbench.text import visible

_ADVICE = (Column("", 2), Column("field", 16, grow=1), Column("advice", 14, grow=3))
_LISTED = 8
"""Lines of advice that are in view at once."""


@dataclass
class Known(Message):
    """What the config is judged by, gathered anew."""

    key: tuple[object, ...]
    known: Circumstances


@dataclass
class Judged(Message):
    """What is to be said of the config."""

    judgement: Judgement


class ConfigAdvice(ConfigCompare):
    """Advice and forecast, in a panel beside the fields or, where that has no room, in their
    place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "fix", "Fix", id="config.fix", priority=True),
        Binding(
            "n",
            "advised(1)",
            "Next advice",
            show=False,
            id="config.next_advice",
            priority=True,
        ),
        Binding(
            "N",
            "advised(-1)",
            "Advice before",
            show=False,
            id="config.advice_before",
            priority=True,
        ),
        Binding("a", "advice", "Advice", id="config.advice", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known: Circumstances | None = None
        self._key: tuple[object, ...] = ()
        """What `_known` is, or is being, gathered for."""
        self.judgement: Judgement | None = None

    def compose_panel(self) -> ComposeResult:
        """The panel."""
        with Vertical(id="beside"):
            yield PriorTable(_ADVICE, id="advice")
            with VerticalScroll(can_focus=False):
                yield Static(id="forecast", markup=False)

    @property
    def circumstances(self) -> Circumstances | None:
        return self._known

    def places(self) -> list[tuple[int, ConfigField]]:
        """The fields in view, each with its line."""
        raise NotImplementedError

    @property
    def fields(self) -> RowTable:
        """The table of the fields."""
        return self.query_one("#fields", RowTable)

    @property
    def listed(self) -> RowTable:
        """The list of all that is advised."""
        return self.query_one("#advice", RowTable)

    def show_judgement(self) -> None:
        """Show at the fields what is said of them now."""
        raise NotImplementedError

    def judge(self, *, again: bool = False) -> None:
        """Have the config judged; what it is judged by is gathered first where it is another
        base's or dataset's, or `again`."""
        config = self.draft.config
        key = known.key(config)
        if key != self._key and self.judgement is not None:
            # Nothing of another base or other rows stays in view.
            self._known = self.judgement = None
            self.show_forecast()
            self.show_judgement()
        if again or key != self._key:
            self._key = key
            self._gather(config, key)
        if self._known is not None:
            self._judge(config, self._known)

    @work(thread=True, exclusive=True, group="known", exit_on_error=False)
    def _gather(self, config: RunConfig, key: tuple[object, ...]) -> None:
        found = known.gather(self.workspace, config, self.say_from_thread)
        self.post_message(Known(key, found))

    @on(Known)
    def _take_known(self, message: Known) -> None:
        if message.key == self._key:
            self._known = message.known
            self._judge(self.draft.config, message.known)

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _judge(self, config: RunConfig, circumstances: Circumstances) -> None:
        self.post_message(Judged(judging.judge(config, circumstances)))

    @on(Judged)
    def _take_judged(self, message: Judged) -> None:
        if message.judgement.config != self.draft.config:
            # One that is newer is under way.
            return
        if self.judgement is None:
            # What is loaded by now stays. Else the collector looks through it between two keys:
            # 50 ms, and 6 without.
            gc.freeze()
        self.judgement = message.judgement
        advice = message.judgement.advice
        self.listed.styles.height = min(_LISTED, len(advice)) + 1
        self.listed.show_rows(len(advice), self._advice_cells)
        self.show_forecast()
        self.show_judgement()

    def show_forecast(self) -> None:
        """Draw the line above and the panel for the widths that they have."""
        line = self.query_one("#summary", Static)
        line.update(config_text.summary(self.judgement, line.content_size.width))
        width = self.query_one("#beside").size.width - 4
        self.query_one("#forecast", Static).update(config_text.beside(self.judgement, width))

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.show_forecast)

    def notes(self, field: ConfigField) -> list[Advice]:
        """What is advised of a field."""
        advice = self.judgement.advice if self.judgement else ()
        return [found for found in advice if found.path == field.path]

    @property
    def marked_advice(self) -> Advice | None:
        """The advice under the cursor of its list, while that has the keys."""
        if self.judgement is None or not self.listed.has_focus:
            return None
        advice, cursor = self.judgement.advice, self.listed.cursor
        return advice[cursor] if cursor < len(advice) else None

    def _advice_cells(self, row: int) -> tuple[str, ...]:
        if self.judgement is None:
            return ()
        advice = self.judgement.advice[row]
        return (config_text.MARKS[advice.severity], advice.path, advice.text)

    def action_advice(self) -> None:
        """To all that is advised, and back to the fields."""
        self.toggle_class("-advised")
        self.app.clear_notifications()
        self.focus_body()
        self.call_after_refresh(self.show_forecast)
        self.call_after_refresh(self.show_judgement)

    def action_advised(self, by: int) -> None:
        """To the next field that something is said of."""
        places = [row for row, field in self.places() if self.notes(field)]
        if not places:
            self.notify("Nothing is advised of the fields in view.")
            return
        beyond = [row for row in places if (row - self.fields.cursor) * by > 0] or places
        self.fields.cursor = beyond[0 if by > 0 else -1]

    def action_fix(self) -> None:
        """Do what is advised of the field, or the advice that is marked."""
        found = self.marked_advice
        if found is None and (field := self.field) is not None:
            notes = self.notes(field)
            found = next((note for note in notes if note.fix), notes[0] if notes else None)
        if found is None:
            self.notify("Nothing is advised of this field; n goes to one.")
        elif not found.fix:
            self.notify(visible(found.do or "No setting mends that."), markup=False)
        elif self.apply(list(found.fix)):
            self.notify(visible(f"Set {', '.join(found.fix)}; u takes it back."), markup=False)
