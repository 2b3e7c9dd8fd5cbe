"""The lines of the form: a heading for each section, and its fields under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.config import loading
from workbench.config.fields import ConfigField
from workbench.config.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Heading:
    """Where a section begins."""

    name: str
    about: str


Row = Heading | ConfigField

_FIRST = Heading("run", "What the run is called, and what it may start with all the same.")


def section_of(field: ConfigField) -> str:
    """The section's name; empty for fields of none."""
    return field.path.rpartition(".")[0]


def lines(text: str = "", keep: Callable[[ConfigField], bool] = lambda field: True) -> list[Row]:
    """Every field that `keep` keeps, each section under its heading; with a `text` those alone
    whose path has it, else those whose help has it, without headings."""
    fields = [field for field in loading.fields() if keep(field)]
    if text:
        return list(_found(fields, text.casefold()))
    found: list[Row] = []
    before = None
    for field in fields:
        if (section := section_of(field)) != before:
            before = section
            found.append(_heading(section))
        found.append(field)
    return found


def _found(fields: Sequence[ConfigField], wanted: str) -> Sequence[ConfigField]:
    by_name = [field for field in fields if wanted in field.path]
    return by_name or [field for field in fields if wanted in field.help.casefold()]


def _heading(section: str) -> Heading:
    if not section:
        return _FIRST
    about = RunConfig.model_fields[section].annotation
    return Heading(section, (about.__doc__ or "").partition("\n")[0])
