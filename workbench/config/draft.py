"""A config in work: what was changed, taken back, saved, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config import loading, rewriting, saving, yaml_reading
from workbench.config.fields import ConfigField, value_at
from workbench.config.schema import RunConfig
from workbench.files import write_text

_MOST = 200
"""Changes that can be taken back."""


@dataclass(frozen=True, slots=True)
class Other:
    """A config that the one in work is compared with."""

    name: str
    config: RunConfig


class Draft:
    """A config with its history. Nothing is written before `save`."""

    def __init__(self, config: RunConfig | None = None) -> None:
        self.config = config or loading.default_config()
        self.path: Path | None = None
        """The file that it was opened from or saved to last."""
        self.saved: RunConfig | None = None
        """What stands in that file."""
        self.other: Other | None = None
        self._text: str | None = None
        """The YAML that its comments and order are of; None where there is none yet."""
        self._written: str | None = None
        """What stood in the file when it was read or written last."""
        self._before: list[RunConfig] = []
        self._after: list[RunConfig] = []

    @property
    def is_saved(self) -> bool:
        return self.saved == self.config

    @property
    def untouched(self) -> bool:
        """Whether nothing was changed or opened yet."""
        return self.path is None and not self._before and not self._after

    def put(self, config: RunConfig) -> bool:
        """Make `config` the one in work; whether it is another one."""
        if config == self.config:
            return False
        self._before = [*self._before, self.config][-_MOST:]
        self._after.clear()
        self.config = config
        return True

    def set(self, settings: Iterable[str]) -> bool:
        """Apply `path=value` settings, all of them or none; whether anything changed.

        Raises ConfigError.
        """
        return self.put(loading.parse(self.config.model_dump(), settings, origin="The config"))

    def undo(self) -> bool:
        """Take the last change back; whether there was one."""
        return self._step(self._before, self._after)

    def redo(self) -> bool:
        """Make the change again that was taken back last; whether there was one."""
        return self._step(self._after, self._before)

    def _step(self, source: list[RunConfig], target: list[RunConfig]) -> bool:
        if not source:
            return False
        target.append(self.config)
        self.config = source.pop()
        return True

    def open(self, path: Path) -> None:
        """Go on with the config in a file. Raises as `loading.load` does, with nothing changed."""
        text = yaml_reading.file_text(path)
        config = _parsed(text, str(path))
        self.put(config)
        self.path, self.saved = path, config
        self._text = self._written = text

    def copy(self, path: Path) -> None:
        """Go on with the values of a file that isn't to be written: that of a run."""
        self.put(loading.load(path))
        self.path = self.saved = self._written = None
        self._text = None

    @property
    def text(self) -> str:
        """The config as YAML: with the comments and the order of what was opened or edited."""
        if self._text is None:
            return saving.new_text(self.config)
        return rewriting.rewrite(self._text, self.config)

    def take(self, text: str) -> None:
        """Make the config of an edited text the one in work. Raises as `loading.load` does."""
        self.put(_parsed(text, "What was edited"))
        self._text = text

    def changed_outside(self, path: Path) -> bool:
        """Whether there is a file that isn't as this draft read or wrote it last."""
        return path.exists() and (
            path != self.path or yaml_reading.file_text(path) != self._written
        )

    def save(self, path: Path) -> None:
        """Write the config to a file. Raises WorkbenchError when it can't be written."""
        text = self.text
        write_text(path, text)
        saving.keep_schema_for(path, text)
        self.path, self.saved = path, self.config
        self._text = self._written = text

    def differs(self, field: ConfigField) -> bool:
        """Whether the field has another value than in the config it is compared with; without
        one, than the default."""
        return bool(value_at(self.config, field.path) != self.compared(field))

    def compared(self, field: ConfigField) -> Any:
        """What the field is in the config that it is compared with; without one, the default."""
        if self.other is None:
            return field.default
        return value_at(self.other.config, field.path)


def _parsed(text: str, origin: str) -> RunConfig:
    """The config of a YAML text; a sweep in it stays in the text, and is none of its fields."""
    body, keys = yaml_reading.read(text, origin=origin)
    own = {name: value for name, value in body.items() if name not in loading.BESIDE}
    return loading.parse(own, origin=origin, keys=keys)


def as_text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={as_text(of)}" for name, of in value.items())
    return "" if value is None else str(value)


def stepped(field: ConfigField, value: Any, by: int) -> str | None:
    """The next value up (`by` 1) or down (-1), as text: twice or half a whole number, the next of
    1, 2, 5, 10, … for others, the next choice; None where there is no such thing."""
    choices = (
        field.choices
        if field.kind == "choice"
        else ("false", "true")
        if field.kind == "bool"
        else ()
    )
    if choices:
        now = as_text(value)
        place = choices.index(now) if now in choices else -1 if by > 0 else 0
        return choices[(place + by) % len(choices)]
    if field.kind == "int" and isinstance(value, int):
        return str(_whole(value, by))
    if field.kind == "float" and isinstance(value, int | float):
        return as_text(_ladder(float(value), by))
    return None


def _whole(value: int, by: int) -> int:
    if by > 0:
        return value * 2 if value else 1
    return value // 2


def _ladder(value: float, by: int) -> float:
    """The next of 1, 2, 5, 10, 20, …"""
    if value <= 0:
        return 0.01 if by > 0 else value
    exponent = 0
    while value >= 10:
        value, exponent = value / 10, exponent + 1
    while value < 1:
        value, exponent = value * 10, exponent - 1
    rungs = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    near = 1e-9
    if by > 0:
        rung = next(r for r in rungs if r > value + near)
    else:
        rung = next(r for r in reversed(rungs) if r < value - near)
    # As written: 2 * 1e-4 is 0.0002, and 0.2 * 1e-3 is not quite.
    return float(f"{rung:g}e{exponent}")
