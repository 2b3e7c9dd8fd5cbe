"""A config in work: what was changed, taken back, saved, and what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.config import loading, rewriting, saving, yaml_reading
from workbench.config.fields import ConfigField, value_at
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import write_text

_MOST = 200
"""Changes that can be taken back."""
_APART = frozenset(", \t\n'\"[]{}:#")
"""With one of these in it, an item of a list is written as YAML."""


@dataclass(frozen=True, slots=True)
class Other:
    """A config that the one in work is compared with."""

    name: str
    config: RunConfig


@dataclass(slots=True)
class Origin:
    """The file that a config is of, or none yet."""

    path: Path | None = None
    saved: RunConfig | None = None
    """What stands in that file."""
    text: str | None = None
    """The YAML that its comments and order are of; None where there is none yet."""
    written: str | None = None
    """What stood in the file when it was read or written last."""


class Draft:
    """A config with its history. No config's file is written before `save`."""

    def __init__(self, config: RunConfig | None = None) -> None:
        self.config = config or loading.default_config()
        self.other: Other | None = None
        self._origin = Origin()
        self._before: list[tuple[RunConfig, Origin]] = []
        self._after: list[tuple[RunConfig, Origin]] = []

    @property
    def path(self) -> Path | None:
        """The file that it was opened from or saved to last."""
        return self._origin.path

    @property
    def saved(self) -> RunConfig | None:
        """What stands in that file."""
        return self._origin.saved

    @property
    def is_saved(self) -> bool:
        return self.saved == self.config and self._origin.text == self._origin.written

    @property
    def untouched(self) -> bool:
        """Whether nothing was changed or opened yet."""
        return self.path is None and not self._before and not self._after

    def put(self, config: RunConfig, origin: Origin | None = None) -> bool:
        """Make `config` the one in work, of another file where `origin` is given; whether it is
        another one."""
        origin = origin or self._origin
        if config == self.config and origin is self._origin:
            return False
        self._before = [*self._before, (self.config, self._origin)][-_MOST:]
        self._after.clear()
        self.config, self._origin = config, origin
        return True

    def set(self, settings: Iterable[str]) -> bool:
        """Apply `path=value` settings, all of them or none; whether anything changed.

        Raises ConfigError.
        """
        return self.put(loading.parse(self.config.model_dump(), settings, origin="The config"))

    def set_value(self, path: str, value: Any) -> bool:
        """Set a field to a plain value; whether it was another one. Raises ConfigError."""
        return self.put(loading.with_values(self.config, {path: value}))

    def undo(self) -> bool:
        """Take the last change back, the opening of another file too; whether there was one."""
        return self._step(self._before, self._after)

    def redo(self) -> bool:
        """Make the change again that was taken back last; whether there was one."""
        return self._step(self._after, self._before)

    def _step(
        self, source: list[tuple[RunConfig, Origin]], target: list[tuple[RunConfig, Origin]]
    ) -> bool:
        if not source:
            return False
        target.append((self.config, self._origin))
        self.config, self._origin = source.pop()
        return True

    def open(self, path: Path) -> None:
        """Go on with the config in a file. Raises as `loading.load` does, with nothing changed."""
        text = yaml_reading.file_text(path)
        config = _parsed(text, str(path))
        self.put(config, Origin(path, config, text, text))

    def copy(self, path: Path) -> None:
        """Go on with the values of a file that isn't to be written: that of a run."""
        self.put(loading.load(path), Origin())

    @property
    def text(self) -> str:
        """The config as YAML: with the comments and the order of what was opened or edited."""
        if self._origin.text is None:
            return saving.new_text(self.config)
        return rewriting.rewrite(self._origin.text, self.config)

    def take(self, text: str) -> None:
        """Make the config of an edited text the one in work. Raises as `loading.load` does."""
        config = _parsed(text, "What was edited")
        if text != self._origin.text:
            self.put(config, replace(self._origin, text=text))

    @property
    def sweep(self) -> dict[str, Any] | None:
        """The fields that a `sweep:` in its text varies, each with what it says of them; None
        without one. Whether it is right is for `config.sweep` to say."""
        text = self._origin.text
        body = yaml_reading.read(text, origin="The config")[0] if text else {}
        if loading.SWEEP not in body:
            return None
        section = body[loading.SWEEP]
        varied = section.get("fields") if isinstance(section, dict) else None
        return varied if isinstance(varied, dict) else {}

    def changed_outside(self, path: Path) -> bool:
        """Whether there is a file that isn't as this draft read or wrote it last."""
        return path.exists() and (
            path != self.path or yaml_reading.file_text(path) != self._origin.written
        )

    def save(self, path: Path) -> None:
        """Write the config to a file. Raises WorkbenchError when it can't be written."""
        text = self.text
        write_text(path, text)
        saving.keep_schema_for(path, text)
        origin = self._origin
        origin.path, origin.saved = path, self.config
        origin.text = origin.written = text

    def keep(self, path: Path) -> None:
        """Write what isn't saved to a file of its own, for `restore`; with nothing to lose there
        is no such file. Raises WorkbenchError when it can't be written."""
        if self.is_saved or self.untouched:
            path.unlink(missing_ok=True)
            return
        origin = self._origin
        kept = {"path": str(origin.path or ""), "text": self.text, "written": origin.written}
        write_text(path, json.dumps(kept))

    def restore(self, path: Path) -> bool:
        """Go on with what `keep` has kept; whether there was anything that can be used."""
        try:
            kept = json.loads(yaml_reading.file_text(path))
            text, of, written = kept["text"], kept["path"], kept["written"]
            saved = _parsed(written, of) if of and written is not None else None
            config = _parsed(text, str(path))
        except (WorkbenchError, ValueError, KeyError, TypeError):
            return False
        own = None if saved is None else Path(of)
        if saved is not None:
            self.put(saved, Origin(own, saved, written, written))
        return self.put(config, Origin(own, saved, text, written))

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
        text = ", ".join(map(str, value))
        # A name with a comma in it would be two.
        apart = any(isinstance(item, str) and (not item or set(item) & _APART) for item in value)
        return loading.value_text(value) if apart else text
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
