"""The form's comparisons: with a preset, a run, a saved config; and taking their values over."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from screens.config_files import ConfigFiles
from screens.widgets.pick import Choice, Pick
from workbench.config import draft, loading, presets
from workbench.config.circumstances import Circumstances
from workbench.config.draft import Other
from workbench.config.fields import ConfigField
from workbench.config.presets import Preset
from workbench.errors import WorkbenchError
from workbench.tracking import runs

_NOTHING = "the defaults"
_SAVED = "as it was saved"


class ConfigCompare(ConfigFiles):
    """What a config is held against."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "preset", "Preset", id="config.preset", priority=True),
        Binding("c", "compare", "Compare", show=False, id="config.compare", priority=True),
        Binding("t", "take", "Take theirs", show=False, id="config.take", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._presets: dict[str, Preset] = {}
        """By name, those that were offered last."""

    @property
    def field(self) -> ConfigField | None:
        """The field under the cursor."""
        raise NotImplementedError

    @property
    def circumstances(self) -> Circumstances | None:
        """What is known of base, rows and machine."""
        raise NotImplementedError

    def apply(self, settings: list[str]) -> bool:
        """Apply settings together."""
        raise NotImplementedError

    def put_value(self, path: str, value: Any) -> bool:
        """Set a field to a plain value."""
        raise NotImplementedError

    def action_preset(self) -> None:
        """Take a starting point for this base, and see what it changes."""
        if self.circumstances is None or self.circumstances.base is None:
            self.notify("Presets are made from the base's config.json, which isn't known here.")
            return
        title = "Start from a preset of this base"
        self.app.push_screen(Pick(title, self._preset_choices), self._take_preset)

    def _take_preset(self, name: str | None) -> None:
        preset = self._presets.get(name or "")
        if preset is None:
            return
        before = self.draft.config
        try:
            changed = self.draft.put(presets.apply(before, preset))
        except WorkbenchError as error:
            self.complain(error)
            return
        self.draft.other = Other("what it was before", before)
        self.changed()
        said = f"{preset.name}: = shows what it changed, u takes it back."
        self.notify(said if changed else f"{preset.name} changes nothing.", markup=False)

    def _preset_choices(self) -> list[Choice]:
        """LoRA and QLoRA for this base, in general and by task. It takes up to a second."""
        known = self.circumstances
        if known is None or known.base is None:
            return []
        found: dict[str, Preset] = {}
        for task in ("", *presets.TASKS):
            for quantised in (False, True):
                made = presets.preset(
                    known.base, quantised=quantised, task=task, circumstances=known
                )
                found[made.name] = made
        self._presets = found
        choices = []
        for name, preset in found.items():
            differ = [d.path for d in presets.differences(self.draft.config, preset)]
            short = ", ".join(path.rpartition(".")[2] for path in differ) or "nothing"
            choices.append(Choice(name, f"changes {short}", _about(preset, differ)))
        return choices

    def action_compare(self) -> None:
        """Show beside each field what it is in a preset, a run, a saved config."""
        self.app.push_screen(Pick("Compare with", self._comparable), self._compare_with)

    def _comparable(self) -> list[Choice]:
        choices = [Choice(_NOTHING, "each field's own")]
        if self.draft.saved is not None:
            choices.append(Choice(_SAVED, str(self.draft.path)))
        choices += self._preset_choices()
        choices += [Choice(name, "a run") for name in reversed(runs.ids(self.workspace))]
        for path in sorted(self.workspace.configs.glob("*.yaml")):
            choices.append(Choice(path.stem, "a saved config", str(path)))
        return choices

    def _compare_with(self, name: str | None) -> None:
        if name is None:
            return
        try:
            self.draft.other = self._other(name)
        except WorkbenchError as error:
            self.complain(error)
            return
        count = sum(map(self.draft.differs, loading.fields()))
        self.changed()
        self.notify(f"{count} fields differ; = shows them alone, t takes theirs.", markup=False)

    def _other(self, name: str) -> Other | None:
        if name == _NOTHING:
            return None
        if name == _SAVED and self.draft.saved is not None:
            return Other(name, self.draft.saved)
        if preset := self._presets.get(name):
            return Other(name, presets.apply(self.draft.config, preset))
        if name in runs.ids(self.workspace):
            return Other(name, runs.load_config(self.workspace.runs / name))
        return Other(name, loading.load_fields(loading.config_path(self.workspace, name)))

    def action_take(self) -> None:
        """Set the field to what it is in the config that is compared with."""
        if (field := self.field) is not None:
            self.put_value(field.path, self.draft.compared(field))


def _about(preset: Preset, differ: list[str]) -> str:
    """Its figures with their sources, those that change a config first and marked, and what is to
    be known of the family."""
    figures = []
    for path, figure in sorted(preset.settings.items(), key=lambda pair: pair[0] not in differ):
        mark = "* " if path in differ else "  "
        others = f"; others: {figure.others}" if figure.others else ""
        value = draft.as_text(figure.value) or "none"
        figures.append(f"{mark}{path} = {value}  ({figure.source}{others})")
    notes = [f"{note.text}  {f'({note.source})' if note.source else ''}" for note in preset.notes]
    return "\n".join([preset.title, *figures, *notes])
