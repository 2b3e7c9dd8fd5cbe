"""Config: a run's config as a form; save it as YAML, start it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from screens.base import WorkbenchScreen
from screens.widgets.confirm import Confirm
from screens.widgets.row_table import Column, RowTable
from workbench.config import loading, saving
from workbench.config.loading import ConfigError, ConfigField
from workbench.config.schema import RunConfig
from workbench.config.section import weights_in_words
from workbench.config.steps import StepSize
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import runs

_COLUMNS = (Column("field", 32), Column("value", 14, grow=1), Column("unit", 8))
_DATASET = "data.dataset"
_CUTOFF = "data.max_length"


class ConfigScreen(WorkbenchScreen):
    """Every field with its value; the help of the one under the cursor below."""

    NAME = "config"
    FILTER = "fields by name or help"
    CSS_PATH = "config.tcss"
    LINES = ("save", "open")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "next_choice", "Next", id="config.choice"),
        Binding("d", "default", "Default", id="config.default"),
        Binding("u", "undo", "Undo", id="config.undo"),
        Binding("s", "save", "Save", id="config.save", priority=True),
        Binding("o", "open", "Open", id="config.open", priority=True),
        Binding("x", "start", "Start", id="config.start"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._config = loading.default_config()
        self._before: list[RunConfig] = []
        self._fields = loading.fields()
        self._shown = self._fields
        self._saved: RunConfig | None = None
        """The config as it was saved or opened last."""
        self._asking = ""
        """What the line at the bottom is for: a field's path, `save` or `open`."""

    def compose_body(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        yield RowTable(_COLUMNS, id="fields")
        with Vertical(id="about"):
            yield Static(id="help", markup=False)
            yield Input(id="value")

    def on_mount(self) -> None:
        self.query_one("#value").display = False
        self._refresh()

    def on_screen_resume(self) -> None:
        if wanted := self.shell.config_path:
            self.shell.config_path = None
            self._load(Path(wanted))
        if dataset := self.shell.chosen_dataset:
            self.shell.chosen_dataset = None
            self._set(_DATASET, dataset)
            if cutoff := self.shell.chosen_max_length:
                self.shell.chosen_max_length = None
                self._set(_CUTOFF, str(cutoff))
        elif self._names_no_rows and (known := versions.list_versions(self.workspace)):
            self._config = loading.changed(self._config, _DATASET, known[0].reference)
        self._refresh()
        self.focus_body()

    @property
    def _names_no_rows(self) -> bool:
        return not self._config.data.dataset and not self._config.data.mixture

    def focus_body(self) -> None:
        self.set_focus(self.query_one(RowTable))

    def apply_filter(self, text: str) -> None:
        wanted = text.casefold()
        by_name = [f for f in self._fields if wanted in f.path]
        self._shown = by_name or [f for f in self._fields if wanted in f.help.casefold()]
        self._refresh()

    @on(RowTable.Moved)
    def _show_moved(self) -> None:
        self._show_help()

    @on(RowTable.Chosen)
    def _edit(self) -> None:
        """Edit the value in the line at the bottom."""
        if field := self._field:
            self._ask(field.path, _shown(loading.value_at(self._config, field.path)))

    def action_next_choice(self) -> None:
        """The next of a field's choices."""
        if (field := self._field) is None:
            return
        choices = self._choices(field)
        if not choices:
            self._edit()
            return
        now = str(loading.value_at(self._config, field.path)).lower()
        place = [c.lower() for c in choices].index(now) if now in map(str.lower, choices) else -1
        self._set(field.path, choices[(place + 1) % len(choices)])

    def action_default(self) -> None:
        """Set the field back to its default."""
        if field := self._field:
            self._set(field.path, "" if field.default is None else str(field.default))

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._before:
            self._config = self._before.pop()
            self._refresh()
        else:
            self.notify("There is no change to take back.")

    def action_save(self) -> None:
        """Save as YAML, under a name."""
        self._ask("save", self._config.name)

    def action_open(self) -> None:
        """Open a config by its name or path."""
        names = ", ".join(sorted(p.stem for p in self.workspace.configs.glob("*.yaml")))
        self.notify(f"There are: {visible(names)}" if names else "None is saved yet.", markup=False)
        self._ask("open", "")

    def action_start(self) -> None:
        """Start a run with this config; asks first."""
        config = self._config
        step = StepSize.of(config.training).in_words()
        method = "LoRA" if config.model.quantization == "none" else "QLoRA"
        question = (
            f"Start {config.name}: {method} of rank {config.lora.rank} on {config.model.base},\n"
            f"trained on {_rows_of(config)},\n"
            f"{step}?"
        )
        self.app.push_screen(Confirm(visible(question)), self._start_agreed)

    def _start_agreed(self, agreed: bool | None) -> None:
        if agreed:
            self.notify("Preparing the run; a base model may have to be fetched first.")
            self._start(self._config)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start(self, config: RunConfig) -> None:
        def say(text: str) -> None:
            self.app.call_from_thread(self.notify, visible(text), markup=False)

        try:
            run = runs.create(self.workspace, config, command=None, say=say)
            runs.start(run)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
            return
        self.shell.run_id = run.name
        self.app.call_from_thread(self.shell.action_go, "monitor")

    @on(Input.Submitted, "#value")
    def _take(self, event: Input.Submitted) -> None:
        asking, value = self._asking, event.value.strip()
        self._close_line()
        if asking == "save":
            self._save(value)
        elif asking == "open":
            if value:
                self._open(value)
        else:
            self._set(asking, value)

    def key_escape(self) -> None:
        super().key_escape()
        self._close_line()

    def _ask(self, asking: str, value: str) -> None:
        self._asking = asking
        box = self.query_one("#value", Input)
        what = {"save": "Save under the name", "open": "Open the name or path"}.get(asking, asking)
        self.query_one("#help", Static).update(f"{what}: enter takes it, escape leaves")
        box.display = True
        box.value = value
        self.set_focus(box)

    def _close_line(self) -> None:
        self._asking = ""
        self.query_one("#value").display = False
        self._show_help()
        self.focus_body()

    def _set(self, path: str, text: str) -> None:
        try:
            changed = loading.changed(self._config, path, text)
        except WorkbenchError as error:
            self._complain(error)
            return
        if changed != self._config:
            self._before.append(self._config)
            self._config = changed
        self._refresh()

    def _save(self, name: str) -> None:
        """Save under a name; asks before it replaces what was saved by somebody else."""
        try:
            config = loading.changed(self._config, "name", name)
        except WorkbenchError as error:
            self._complain(error)
            return
        path = self.workspace.configs / f"{config.name}.yaml"
        if path.exists() and (self._saved is None or self._saved.name != config.name):
            question = f"There is a config {config.name} already. Replace it?"
            self.app.push_screen(Confirm(question), partial(self._write, config, path))
        else:
            self._write(config, path, True)

    def _write(self, config: RunConfig, path: Path, agreed: bool | None) -> None:
        if not agreed:
            return
        try:
            self.workspace.ensure()
            saving.save_over(path, config)
        except WorkbenchError as error:
            self._complain(error)
            return
        self._config = self._saved = config
        self.notify(f"Saved to {visible(str(path))}", markup=False)
        self._refresh()

    def _open(self, reference: str) -> None:
        try:
            self._load(loading.config_path(self.workspace, reference))
        except WorkbenchError as error:
            self._complain(error)

    def _load(self, path: Path) -> None:
        try:
            config = loading.load(path)
        except WorkbenchError as error:
            self._complain(error)
            return
        self._before.append(self._config)
        self._config = self._saved = config
        self._refresh()

    def _complain(self, error: WorkbenchError) -> None:
        first = error.problems[0] if isinstance(error, ConfigError) else None
        text = f"{first.path}: {first.text}" if first else str(error)
        self.notify(visible(text), severity="error", markup=False)

    @property
    def _field(self) -> ConfigField | None:
        cursor = self.query_one(RowTable).cursor
        return self._shown[cursor] if cursor < len(self._shown) else None

    def _choices(self, field: ConfigField) -> tuple[str, ...]:
        if field.path == _DATASET:
            return tuple(v.reference for v in versions.list_versions(self.workspace))
        return ("true", "false") if field.kind == "bool" else field.choices

    def _refresh(self) -> None:
        self.shell.base = self._config.model.base
        self.shell.max_length = self._config.data.max_length
        state = "saved" if self._saved == self._config else "not saved"
        text = f"{self._config.name}  ·  {state}  ·  enter edits, space takes the next choice"
        self.query_one("#state", Static).update(visible(text))
        self.query_one(RowTable).show_rows(len(self._shown), self._cells)
        self._show_help()

    def _cells(self, row: int) -> tuple[str, ...]:
        field = self._shown[row]
        value = loading.value_at(self._config, field.path)
        mark = "" if value == field.default else "* "
        return (field.path, f"{mark}{_shown(value) or '–'}", field.unit)

    def _show_help(self) -> None:
        field = self._field
        text = "No field matches." if field is None else field.help
        if field is not None:
            if choices := self._choices(field):
                text += f"\nchoices: {', '.join(choices[:6])}"
            if field.source:
                text += f"\nsource: {field.source}"
        self.query_one("#help", Static).update(visible(text))


def _rows_of(config: RunConfig) -> str:
    if config.data.mixture:
        return f"a mixture, {weights_in_words(config.data.mixture)}"
    return config.data.dataset or "no dataset yet"


def _shown(value: object) -> str:
    """A value as one writes it in the form."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return weights_in_words(value)
    return "" if value is None else str(value)
