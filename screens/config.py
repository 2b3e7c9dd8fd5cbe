"""Config: a run's config as a form, with what an expert would say of it beside the fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from screens import config_rows, config_text
from screens.config_advice import ConfigAdvice
from screens.config_rows import Heading, Line
from screens.widgets.row_table import Column, RowTable
from workbench.config import draft, loading
from workbench.config.draft import Draft
from workbench.config.fields import ConfigField
from workbench.config.loading import ConfigError
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.text import visible

_COLUMNS = (
    Column("", 2),
    Column("field", 24, grow=1),
    Column("value", 19, grow=2),
    Column("it comes to", 18, grow=2),
    Column("compared", 10, grow=1),
)
_ADVICE = (Column("", 2), Column("field", 16, grow=1), Column("advice", 14, grow=3))
_DATASET = "data.dataset"
_LISTED = 8
"""Lines of advice that are in view at once."""


class ConfigScreen(ConfigAdvice):
    """Every field with its value, what it comes to and what is advised of it. Left and right make
    a value smaller or larger; f does what is advised of the field, n goes to the next one that
    something is said of, a to all that is said. Memory, time and advice follow each key."""

    NAME = "config"
    FILTER = "fields by name or help"
    CSS_PATH = "config.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "step(1, True)", "Next", show=False, id="config.choice"),
        Binding("right,l", "step(1)", "More", show=False, id="config.more"),
        Binding("left,h", "step(-1)", "Less", show=False, id="config.less"),
        Binding("d", "default", "Default", show=False, id="config.default"),
        Binding("u", "undo", "Undo", id="config.undo"),
        Binding("U", "redo", "Redo", show=False, id="config.redo"),
        Binding("equals_sign", "only_changed", "Changed", show=False, id="config.changed"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._search = ""
        self._only_changed = False
        self._lines: list[Line] = []
        self._take: Callable[[str], None] | None = None
        """What becomes of the text in the line at the bottom."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Static(id="summary", markup=False)
        with Container(id="panes"):
            yield RowTable(_COLUMNS, id="fields")
            yield from self.compose_panel()
        with Vertical(id="about"):
            yield Static(id="help", markup=False)
            yield Input(id="value")

    def on_mount(self) -> None:
        self.query_one("#value").display = False
        self.changed()

    def on_screen_resume(self) -> None:
        if wanted := self.shell.config_path:
            self.shell.config_path = None
            self.open_file(Path(wanted))
        settings = []
        if dataset := self.shell.chosen_dataset:
            self.shell.chosen_dataset = None
            settings.append(f"{_DATASET}={dataset}")
            if cutoff := self.shell.chosen_max_length:
                self.shell.chosen_max_length = None
                settings.append(f"data.max_length={cutoff}")
        elif self.draft.untouched and (found := versions.list_versions(self.workspace)):
            self.draft = Draft(loading.default_config([f"{_DATASET}={found[0].reference}"]))
        self.apply(settings)
        self.changed()
        # Versions, runs and what is free may be others by now.
        self.judge(again=True)
        self.focus_body()

    def focus_body(self) -> None:
        advised = self.has_class("-advised")
        self.set_focus(self.listed if advised else self.fields)

    def apply_filter(self, text: str) -> None:
        self._search = text
        self.fields.cursor = 0
        self._show_fields()
        self._show_about()

    def changed(self) -> None:
        """Show the config anew and have it judged."""
        config = self.draft.config
        self.shell.base = config.model.base
        self.shell.max_length = config.data.max_length
        self._show_state()
        self._show_fields()
        self._show_about()
        self.judge()

    def _show_state(self) -> None:
        state = self.draft
        saved = "saved" if state.is_saved else "not saved"
        compared = f"  ·  compared with {state.other.name}" if state.other else ""
        only = "  ·  only what differs (=)" if self._only_changed else ""
        keys = "" if compared or only else "  ·  enter edits, left and right change a value"
        text = f"{state.config.name}  ·  {saved}{compared}{only}{keys}"
        self.query_one("#state", Static).update(visible(text, one_line=True))

    def _show_fields(self) -> None:
        keep = self.draft.differs if self._only_changed else lambda field: True
        self._lines = config_rows.lines(self._search, keep)
        self.fields.show_rows(len(self._lines), self._cells)

    def _cells(self, row: int) -> tuple[str, ...]:
        line = self._lines[row]
        if isinstance(line, Heading):
            return ("", line.name.upper(), "", "", "")
        value = loading.value_at(self.draft.config, line.path)
        differs = self.draft.differs(line)
        found = self.notes(line)
        mark = config_text.MARKS[found[0].severity] if found else ""
        name = line.path if self._search else f"  {line.path.rpartition('.')[2]}"
        other = f"{draft.as_text(self.draft.compared(line)) or '–'}" if differs else ""
        judged = self.judgement
        comes_to = judged.comes_to.get(line.path, "") if judged else ""
        shown = draft.as_text(value) or "–"
        return (mark, name, f"{'* ' if differs else ''}{shown}", comes_to or line.unit, other)

    def places(self) -> list[tuple[int, ConfigField]]:
        return [(row, of) for row, of in enumerate(self._lines) if isinstance(of, ConfigField)]

    def show_judgement(self) -> None:
        self._show_fields()
        self._show_about()

    @property
    def field(self) -> ConfigField | None:
        cursor = self.fields.cursor
        line = self._lines[cursor] if cursor < len(self._lines) else None
        return None if isinstance(line, Heading) else line

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_about()

    def _show_about(self) -> None:
        """Help of the field under the cursor, or the advice that is."""
        if self._take is not None:
            return
        help = self.query_one("#help", Static)
        found = self.marked_advice
        if found is not None:
            help.update(config_text.about_advice(found))
        elif (field := self.field) is not None:
            help.update(config_text.about_field(field, self._choices(field), self.notes(field)))
        else:
            cursor = self.fields.cursor
            line = self._lines[cursor] if cursor < len(self._lines) else None
            help.update(line.about if isinstance(line, Heading) else "No field matches.")

    @on(RowTable.Chosen, "#fields")
    def _edit_value(self) -> None:
        """Edit the value in the line at the bottom."""
        if field := self.field:
            value = draft.as_text(loading.value_at(self.draft.config, field.path))
            self.ask(field.path, value, lambda text: self._set(field.path, text))
            choices = self._choices(field)
            line = self.query_one("#value", Input)
            line.suggester = SuggestFromList(choices, case_sensitive=False) if choices else None

    def action_step(self, by: int, or_edit: bool = False) -> None:
        """The next value up or down: a choice, twice or half, 1, 2, 5, 10 and so on."""
        if (field := self.field) is None:
            return
        value = loading.value_at(self.draft.config, field.path)
        choices = self._choices(field)
        if choices and not field.choices and field.kind != "bool":
            place = choices.index(value) if value in choices else -1
            text: str | None = choices[(place + by) % len(choices)]
        else:
            text = draft.stepped(field, value, by)
        if text is None or (or_edit and not choices):
            self._edit_value()
        else:
            self._try_set(field.path, text)

    def action_default(self) -> None:
        """Set the field back to its default."""
        if field := self.field:
            self._try_set(field.path, draft.as_text(field.default))

    def action_undo(self) -> None:
        """Take the last change back."""
        if self.draft.undo():
            self.changed()
        else:
            self.notify("There is no change to take back.")

    def action_redo(self) -> None:
        """Make the change again that was taken back last."""
        if self.draft.redo():
            self.changed()
        else:
            self.notify("There is no change to make again.")

    def action_only_changed(self) -> None:
        """Only the fields that differ from what is compared with, or all."""
        self._only_changed = not self._only_changed
        self.changed()

    def _set(self, path: str, text: str) -> None:
        self.draft.set([f"{path}={text}"])

    def _try_set(self, path: str, text: str) -> None:
        self.apply([f"{path}={text}"])

    def apply(self, settings: list[str]) -> bool:
        """Apply settings together; what can't be is said, and nothing changes."""
        try:
            changed = self.draft.set(settings)
        except WorkbenchError as error:
            self.complain(error)
            return False
        if changed:
            self.changed()
        return changed

    def complain(self, error: WorkbenchError) -> None:
        if isinstance(error, ConfigError):
            text = "\n".join(f"{problem.path}: {problem.text}" for problem in error.problems[:4])
            self.notify(visible(text), severity="error", markup=False)
        else:
            super().complain(error)

    def _choices(self, field: ConfigField) -> tuple[str, ...]:
        if field.path == _DATASET:
            return tuple(v.reference for v in versions.list_versions(self.workspace))
        return ("true", "false") if field.kind == "bool" else field.choices

    def ask(self, what: str, text: str, take: Callable[[str], None]) -> None:
        self._take = take
        box = self.query_one("#value", Input)
        box.suggester = None
        self.query_one("#help", Static).update(
            visible(f"{what}: enter takes it, escape leaves it as it was")
        )
        box.display, box.value = True, text
        self.set_focus(box)

    @on(Input.Submitted, "#value")
    def _submitted(self, event: Input.Submitted) -> None:
        """Take the text; one that can't be used stays in the line, to be mended."""
        if self._take is None:
            return
        try:
            self._take(event.value.strip())
        except WorkbenchError as error:
            self.complain(error)
            return
        self._close_line()
        self.changed()

    def key_escape(self) -> None:
        if self._take is not None:
            self._close_line()
        elif self.query_one("#filter").display:
            super().key_escape()
        elif self.has_class("-advised"):
            self.action_advice()
        self._show_about()

    def _close_line(self) -> None:
        self._take = None
        self.query_one("#value").display = False
        self.focus_body()

    def question(self, how: str) -> str:
        config, judged = self.draft.config, self.judgement
        kind = config_text.method(config)
        asked = [f"{how} {config.name}: {kind} of {config.model.base}"]
        asked.append(f"on {config.data.dataset or 'no dataset yet'}.")
        if judged is not None:
            asked.append(f"{config_text.summary(judged).plain}.")
            errors = [a.text for a in judged.advice if a.severity == "error"]
            asked += [f"! {text}" for text in errors[:2]]
        return "\n".join(asked)
