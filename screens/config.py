"""Config: a run's config as a form, with what an expert would say of it beside the fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from screens import config_rows, config_text
from screens.config_advice import ConfigAdvice
from screens.config_rows import Heading, Row
from screens.widgets.in_order import Line, PriorTable
from screens.widgets.row_table import Column, RowTable
from workbench.config import draft, loading
from workbench.config.advice import Advice
from workbench.config.draft import Draft
from workbench.config.fields import ConfigField
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
_DATASET = "data.dataset"
_FEW = 18
"""Lines of a screen from which on help has room for all that it says."""


class ConfigScreen(ConfigAdvice):
    """Every field with its value, what it comes to and what is advised of it. Left and right make
    a value smaller or larger; f does what is advised of the field, n goes to the next one that
    something is said of, a to all that is said. Memory, time and advice follow each key."""

    NAME = "config"
    FILTER = "fields by name or help"
    CSS_PATH = "config.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-few"), (_FEW, "-enough")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "edit", "Edit", show=False, id="config.edit", priority=True),
        Binding("space", "step(1, True)", "Next", show=False, id="config.choice", priority=True),
        Binding("right,l", "step(1)", "More", show=False, id="config.more", priority=True),
        Binding("left,h", "step(-1)", "Less", show=False, id="config.less", priority=True),
        Binding("d", "default", "Default", show=False, id="config.default", priority=True),
        Binding("u", "undo", "Undo", show=False, id="config.undo", priority=True),
        Binding("U", "redo", "Redo", show=False, id="config.redo", priority=True),
        Binding(
            "equals_sign",
            "only_changed",
            "Changed",
            show=False,
            id="config.changed",
            priority=True,
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._search = ""
        self._only_changed = False
        self._lines: list[Row] = []
        self._swept: dict[str, Any] = {}
        self._take: Callable[[str], None] | None = None
        """What becomes of the text in the line at the bottom."""
        self._asked: Text = Text()
        """What is said above that line."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield Static(id="summary", markup=False)
        with Container(id="panes"):
            yield PriorTable(_COLUMNS, id="fields")
            yield from self.compose_panel()
        with Vertical(id="about"):
            yield Static(id="help", markup=False)
            yield Line(id="value")

    def on_mount(self) -> None:
        self.query_one("#value").display = False
        self.restore()
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if isinstance(self.focused, Input) and action in _ACTIONS:
            # The keys are text.
            return False
        return super().check_action(action, parameters)

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
        self.keep_soon()

    def _show_state(self) -> None:
        state = self.draft
        saved = "saved" if state.is_saved else "not saved"
        compared = f"  ·  compared with {state.other.name}" if state.other else ""
        only = "  ·  only what differs (=)" if self._only_changed else ""
        sweep = "  ·  with a sweep" if state.sweep is not None else ""
        known = compared or only or sweep
        keys = "" if known else "  ·  enter edits, left and right change a value"
        name = state.config.name
        if state.path is not None and state.path.stem != name:
            name = f"{name} in {state.path.name}"
        text = f"{name}  ·  {saved}{sweep}{compared}{only}{keys}"
        self.query_one("#state", Static).update(visible(text, one_line=True))

    def _show_fields(self) -> None:
        keep = self.draft.differs if self._only_changed else lambda field: True
        self._lines = config_rows.lines(self._search, keep)
        self._swept = self.draft.sweep or {}
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
        if line.path in self._swept:
            comes_to = f"sweep: {config_text.swept(self._swept[line.path])}"
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
            help.update(self._about(field, self.notes(field)))
        else:
            cursor = self.fields.cursor
            line = self._lines[cursor] if cursor < len(self._lines) else None
            help.update(line.about if isinstance(line, Heading) else "No field matches.")

    def _about(self, field: ConfigField, notes: list[Advice]) -> Text:
        value = draft.as_text(loading.value_at(self.draft.config, field.path))
        return config_text.about_field(field, value, self._choices(field), notes)

    def action_edit(self) -> None:
        """Edit the value in the line at the bottom; in the list of advice, do what is advised."""
        if self.marked_advice is not None:
            self.action_fix()
        elif field := self.field:
            value = draft.as_text(loading.value_at(self.draft.config, field.path))
            self.ask(field.path, value, lambda text: self._set(field.path, value, text))
            choices = self._choices(field)
            line = self.query_one("#value", Input)
            line.suggester = SuggestFromList(choices, case_sensitive=False) if choices else None
            self._asked.append("\n").append_text(self._about(field, []))
            self._show_asked()

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
            self.action_edit()
        else:
            self._try_set(field.path, text)

    def action_default(self) -> None:
        """Set the field back to its default."""
        if field := self.field:
            self.put_value(field.path, field.default)

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

    def _set(self, path: str, before: str, text: str) -> None:
        if text != before:
            self.draft.set([f"{path}={text}"])

    def _try_set(self, path: str, text: str) -> None:
        self.apply([f"{path}={text}"])

    def apply(self, settings: list[str]) -> bool:
        """Apply settings together; what can't be is said, and nothing changes."""
        return self._change(lambda: self.draft.set(settings))

    def put_value(self, path: str, value: Any) -> bool:
        """Set a field to a plain value; what can't be is said, and nothing changes."""
        return self._change(lambda: self.draft.set_value(path, value))

    def _change(self, change: Callable[[], bool]) -> bool:
        try:
            changed = change()
        except WorkbenchError as error:
            self.complain(error)
            return False
        if changed:
            self.changed()
        return changed

    def complain(self, error: WorkbenchError) -> None:
        self.notify(visible(config_text.problems(error)), severity="error", markup=False)

    def _choices(self, field: ConfigField) -> tuple[str, ...]:
        if field.path == _DATASET:
            return tuple(v.reference for v in versions.list_versions(self.workspace))
        return ("true", "false") if field.kind == "bool" else field.choices

    def ask(self, what: str, text: str, take: Callable[[str], None]) -> None:
        self._take = take
        # A notice would lie on the line.
        self.app.clear_notifications()
        box = self.query_one("#value", Input)
        box.suggester = None
        self._asked = Text.assemble(
            (visible(what), "bold"), "  enter takes it, escape leaves it as it was"
        )
        self._show_asked()
        box.display, box.value = True, text
        self.set_focus(box)

    def _show_asked(self, error: WorkbenchError | None = None) -> None:
        """What is asked for, after what is wrong with what was written: near the line, since a
        notice would lie on it."""
        wrong = Text(f"! {visible(config_text.problems(error))}\n", "bold red") if error else Text()
        self.query_one("#help", Static).update(wrong.append_text(self._asked))

    @on(Input.Submitted, "#value")
    def _submitted(self, event: Input.Submitted) -> None:
        """Take the text; one that can't be used stays in the line, to be mended."""
        if self._take is None:
            return
        try:
            self._take(event.value.strip())
        except WorkbenchError as error:
            self._show_asked(error)
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
        from workbench.planning import company

        config, judged = self.draft.config, self.judgement
        kind = config_text.method(config)
        asked = [f"{how} {config.name}: {kind} of {config.model.base}"]
        asked.append(f"on {config.data.dataset or 'no dataset yet'}.")
        if judged is not None:
            asked.append(f"{config_text.words(judged).plain}.")
            errors = [a.text for a in judged.advice if a.severity == "error"]
            asked += [f"! {text}" for text in errors[:2]]
        if self.draft.sweep is not None:
            asked.append("It is one run, of the values shown; Q queues the sweep.")
        # The queue takes GPUs that are free. The driver was opened when the facts were gathered.
        warned = company.warnings(config) if how == "Start" else []
        asked += [f"! {text}" for text in warned[:2]]
        return "\n".join(asked)


_ACTIONS = frozenset(
    binding.action.partition("(")[0]
    for kind in ConfigScreen.__mro__
    for binding in vars(kind).get("BINDINGS", ())
    if isinstance(binding, Binding) and (binding.id or "").startswith("config.")
)
"""What the form's own keys do."""
