"""What presets are made of: settings with their sources, notes, and what others publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One setting of a preset."""

    value: Any
    source: str
    """Who publishes it, or why it is so here."""
    others: str = ""
    """What other sources say, with their figures."""


@dataclass(frozen=True, slots=True)
class Note:
    """What an expert knows of a base, or of these rows, that no setting says."""

    text: str
    source: str = ""
    quantised_only: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a published recipe sets for one model."""

    source: str
    """Who, and the file."""
    model: str
    """The name of a member of the family."""
    quantised: bool
    rank: int
    alpha: int | None
    """None where the recipe doesn't say."""
    learning_rate: float
    modules: str
    """Where it puts adapters, in words."""

    @property
    def who(self) -> str:
        return self.source.partition(",")[0]


@dataclass(frozen=True, slots=True)
class Preset:
    """A starting point for one base, method and task."""

    name: str
    """Such as `qwen3-8b-qlora`."""
    title: str
    settings: Mapping[str, Figure]
    """By the path of a field, in the order of the schema's sections."""
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "settings": {path: asdict(figure) for path, figure in self.settings.items()},
            "notes": [{"text": note.text, "source": note.source} for note in self.notes],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a config that has another value than a preset's."""

    path: str
    now: Any
    preset: Any
    source: str


def plain(value: Any) -> str:
    """A setting's value as a person reads it: `2e-4`, `[q_proj, v_proj]`, `none` for nothing."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value >= 0.01 or value == 0 else scientific(value)
    if isinstance(value, list):
        return f"[{', '.join(str(item) for item in value)}]"
    return str(value)


def scientific(value: float) -> str:
    """`2e-4`, as learning rates are written."""
    digits, _, exponent = f"{value:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"
