"""What was taken over of a config, and what wasn't: every key of it in one list."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.config.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of theirs."""

    key: str
    value: Any
    line: int | None = None
    file: str = ""
    """Where it isn't in the file itself."""
    sets: dict[str, Any] = field(default_factory=dict)
    """Fields of ours, with their values."""
    text: str = ""
    """How it is here, or what to do about it."""


@dataclass(slots=True)
class Report:
    """What became of every key."""

    taken: list[Entry] = field(default_factory=list)
    defaults: list[Entry] = field(default_factory=list)
    """Keys that aren't in the file, with what the trainer takes then."""
    differently: list[Entry] = field(default_factory=list)
    no_counterpart: list[Entry] = field(default_factory=list)
    nothing_to_do: list[Entry] = field(default_factory=list)
    """Empty or off there, so that there is nothing to take over."""
    problems: list[Entry] = field(default_factory=list)
    """What a person should decide before a run is started."""

    def in_order(self) -> None:
        """By their lines."""
        for _, entries in self.lists():
            entries.sort(key=lambda entry: (entry.file, entry.line or 0))

    def to_json(self) -> dict[str, Any]:
        """Each list by its name, as plain values."""
        return {name: [asdict(entry) for entry in entries] for name, entries in self.lists()}

    def lists(self) -> list[tuple[str, list[Entry]]]:
        """Each list with its name."""
        return [(name, getattr(self, name)) for name in self.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class Imported:
    """A config of ours that was another trainer's."""

    trainer: str
    title: str
    version: str
    config: RunConfig
    report: Report
    commands: tuple[str, ...]
    """What to run next, for its data and base."""
