"""The checks that there are, by the name that verbs, recipes and findings know them by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any, Protocol, cast

from workbench.data.curate.findings import Finding
from workbench.data.example import Example
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell

_MODULES = {
    "near-duplicates": "duplicates",
    "near-duplicates-across-splits": "across",
    "quality": "quality",
    "content": "content",
    "personal-data": "pii",
    "contamination": "contamination",
}


class Check(Protocol):
    """What each of the modules is."""

    NAME: str
    VERSION: int
    KINDS: Collection[str]
    Options: type[Any]

    def annotate(
        self, rows: Sequence[Example], options: Any, *, tell: Tell
    ) -> Iterator[Finding]: ...


def names() -> tuple[str, ...]:
    """The checks' names."""
    return tuple(_MODULES)


def flags() -> frozenset[str]:
    """What rows can be flagged as: the checks' names, and the kinds of their findings."""
    return frozenset(names()).union(*(get(name).KINDS for name in names()))


def get(name: str) -> Check:
    """The check of that name. Raises WorkbenchError when there is none."""
    try:
        module = import_module(f"workbench.data.curate.{_MODULES[name]}")
    except KeyError:
        raise WorkbenchError(
            f"There is no check {name}.", f"There are {', '.join(names())}."
        ) from None
    return cast(Check, module)


def check_kinds(check: Check, kinds: Iterable[str]) -> None:
    """Raises WorkbenchError for a kind that no finding of the check has."""
    if unknown := sorted(set(kinds) - set(check.KINDS)):
        raise WorkbenchError(
            f"There is no kind {unknown[0]} of {check.NAME}.",
            f"There are {', '.join(check.KINDS)}."
            if len(check.KINDS) > 1
            else f"There is only {', '.join(check.KINDS)}.",
        )


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
    return check.Options(**{n: _as(check, n, value, known[n]) for n, value in values.items()})


def _as(check: Check, name: str, value: Any, default: Any) -> Any:
    """A value as the option has it by default: a number, text, true or false, or several texts.

    Raises WorkbenchError for another kind.
    """
    if isinstance(default, tuple | list):
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            return tuple(value)
        wanted = "a list of texts"
    elif isinstance(default, bool):
        if isinstance(value, bool):
            return value
        wanted = "true or false"
    elif isinstance(default, str):
        if isinstance(value, str):
            return value
        wanted = "text"
    else:
        # None by default is a number that isn't given.
        if not isinstance(value, bool) and isinstance(value, int | float):
            return value
        if value is None and default is None:
            return value
        wanted = "a number"
    raise WorkbenchError(f"The option {name} of {check.NAME} is {wanted}, not {value!r}.")
