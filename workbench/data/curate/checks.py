"""The checks that there are, by the name that verbs, recipes and findings know them by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any, Protocol, cast

from workbench.data.curate.findings import Finding
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell

_MODULES = {
    "near-duplicates": "duplicates",
    "quality": "quality",
    "content": "content",
    "personal-data": "pii",
    "contamination": "contamination",
}


class Check(Protocol):
    """What each of the modules is."""

    NAME: str
    VERSION: int
    Options: type[Any]

    def annotate(
        self, rows: Sequence[Example], options: Any, *, tell: Tell
    ) -> Iterator[Finding]: ...


def names() -> tuple[str, ...]:
    """The checks' names."""
    return tuple(_MODULES)


def get(name: str) -> Check:
    """The check of that name. Raises WorkbenchError when there is none."""
    try:
        module = import_module(f"workbench.data.curate.{_MODULES[name]}")
    except KeyError:
        raise WorkbenchError(
            f"There is no check {name}.", f"There are {', '.join(names())}."
        ) from None
    return cast(Check, module)


def options_of(check: Check, values: dict[str, Any]) -> Any:
    """The options of a check with these values, the others as they are by default.

    Raises WorkbenchError for an option that it hasn't, and for a value that it can't be.
    """
    known = asdict(check.Options())
    if unknown := sorted(values.keys() - known.keys()):
        listed = ", ".join(known) or "none"
        raise WorkbenchError(
            f"The check {check.NAME} has no option {unknown[0]}.", f"It has {listed}."
        )
    lists = {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
    return check.Options(**{**values, **lists})
