"""Metrics of a person's own: a Python function, imported only where a person names it.

It is called as `function(output, references)`, a text and a list of texts, and returns a number, a
truth value, or None where it says nothing of the output. A config can't name one: what a file
from elsewhere says runs no code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation.measures import Measure, Sums, mean
from workbench.evaluation.names import NAMES
from workbench.evaluation.problems import Problems
from workbench.evaluation.rows import Row
from workbench.text import visible

GROUP = "workbench.metrics"
"""Of entry points: installed packages may register functions by a name."""


def check(text: str) -> None:
    """Raises WorkbenchError for `[TASK=]NAME` where there is no such metric, or where it is one of
    a person's own that can't be loaded."""
    name = text.rpartition("=")[2]
    if name not in NAMES:
        load(name)


def load(name: str) -> Callable[..., Any]:
    """The function that `MODULE:FUNCTION` or an entry point's name stands for.

    Raises WorkbenchError when there is none, when it can't be imported, and when it is no function.
    """
    registered = list(metadata.entry_points(group=GROUP, name=name))
    if ":" not in name and not registered:
        raise WorkbenchError(
            f"There is no metric {name!r}.",
            f"There are {', '.join(NAMES)}; one of your own is MODULE:FUNCTION.",
        )
    try:
        found = registered[0].load() if registered else _imported(name)
    except Exception as error:
        raise WorkbenchError(
            f"The metric {name} can't be loaded: {_told(error)}.",
            "MODULE must be installed, or in a folder that PYTHONPATH names.",
        ) from error
    if not callable(found):
        raise WorkbenchError(f"The metric {name} is no function.")
    function: Callable[..., Any] = found
    return function


def _imported(name: str) -> Any:
    module, _, attributes = name.partition(":")
    found: Any = import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def measure(name: str, problems: Problems) -> Measure:
    """The mean of a metric of one's own. Raises WorkbenchError as `load` does."""
    function = load(name)
    what = (function.__doc__ or "").strip().partition("\n")[0] or "a metric of your own"
    return guarded(name, visible(what, one_line=True), function, problems)


def guarded(
    name: str,
    what: str,
    function: Callable[..., Any],
    problems: Problems,
    *,
    share: bool = False,
    nothing: str = "",
) -> Measure:
    """The mean of what may raise, or return what is no number: then that output isn't counted, and
    is noted among the problems. `nothing` is what None means, where that is a problem."""

    def sums(row: Row, system: str) -> Sums | None:
        text = row.outputs.get(system)
        if text is None:
            return None
        try:
            found = function(text, list(row.references))
            value = None if found is None else float(found)
        except Exception as error:
            problems.add(name, f"raised {_told(error)}", row.key, system)
            return None
        if value is None:
            if nothing:
                problems.add(name, nothing, row.key, system)
            return None
        if not math.isfinite(value):
            problems.add(name, f"returned {value}", row.key, system)
            return None
        return (value, 1.0)

    unit = "0 to 1" if share else "its own"
    return Measure(name, what, sums, mean, unit=unit, share=share)


def _told(error: Exception) -> str:
    text = visible(str(error), one_line=True)
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
