"""What a list of runs can show of each: its own columns, any field of a config, any metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.alarms.standing import brief
from workbench.jobs.events import Alarm
from workbench.tracking.listing import Line
from workbench.tracking.view import ago, duration

Value = str | float | bool | None
"""What is compared and sorted by; None where a run has none."""
NOTHING = "–"
BASE = "base"
_MADE = ("adapter", "tuned")
"""What an evaluation of one run calls what that has made."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of each run."""

    name: str
    """What it is asked for by."""
    title: str
    about: str
    value: Callable[[Line], Value]
    text: Callable[[Line], str]
    """As a person reads it."""
    width: int = 10
    right: bool = False
    grow: int = 0


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _number(name: str, title: str, about: str, attribute: str, width: int) -> Column:
    def value(line: Line) -> Value:
        found: float | None = getattr(line.summary, attribute)
        return found

    def text(line: Line) -> str:
        return _figure(getattr(line.summary, attribute))

    return Column(name, title, about, value, text, width, right=True)


def _words(
    name: str, about: str, of: Callable[[Line], str], width: int, grow: int = 0, title: str = ""
) -> Column:
    return Column(name, title or name, about, lambda line: of(line) or None, of, width, grow=grow)


def _whole(name: str, about: str, of: Callable[[Line], int], width: int) -> Column:
    return Column(name, name, about, of, lambda line: f"{of(line):,}", width, right=True)


def _alarms(line: Line) -> str:
    return brief([Alarm(**alarm) for alarm in line.summary.alarms])


def _problems(line: Line) -> str:
    return " ".join(line.problems)


def _note(line: Line) -> str:
    return line.summary.notes[-1]["text"] if line.summary.notes else ""


OWN: dict[str, Column] = {
    column.name: column
    for column in (
        _words("run", "its id", lambda line: line.id, 16, 1),
        Column(
            "state",
            "state",
            "running, finished, failed …; ! where something is wrong with its files",
            lambda line: line.summary.status,
            lambda line: f"{line.summary.status}{' !' * bool(line.problems)}",
            11,
        ),
        Column(
            "step",
            "step",
            "steps taken, of all",
            lambda line: line.summary.step,
            lambda line: f"{line.summary.step}/{line.summary.total_steps}",
            11,
            right=True,
        ),
        _whole("steps", "steps in all", lambda line: line.summary.total_steps, 8),
        _number("loss", "loss", "training loss of the last step", "loss", 8),
        _number(
            "first_validation_loss",
            "val first",
            "validation loss before the first step",
            "first_validation_loss",
            9,
        ),
        _number("validation_loss", "val best", "lowest validation loss", "best_validation_loss", 8),
        _number(
            "last_validation_loss",
            "val last",
            "validation loss, the last one",
            "last_validation_loss",
            8,
        ),
        _words("dataset", "NAME@VERSION", lambda line: line.summary.dataset, 20, 1),
        _words("base", "base model", lambda line: line.summary.base, 12, 1),
        Column(
            "started",
            "started",
            "when it was made",
            lambda line: line.summary.created,
            lambda line: ago(line.summary.created),
            16,
        ),
        Column(
            "age",
            "age",
            "time since it was made",
            lambda line: time.time() - line.summary.created,
            lambda line: duration(time.time() - line.summary.created),
            12,
            right=True,
        ),
        _words("tags", "what people tagged it", lambda line: " ".join(line.summary.tags), 12, 1),
        _words("note", "its newest note", _note, 16, 2),
        _words("problems", "what is wrong with its files", _problems, 20, 2),
        _words("alarms", "the worst that went on", _alarms, 14),
        _words("sweep", "the sweep that made it", lambda line: line.summary.sweep, 14),
        _words("text", "its state in words", lambda line: line.summary.text, 20, 2, "how it is"),
        Column(
            "archived",
            "archived",
            "put away",
            lambda line: line.summary.archived,
            lambda line: "archived" if line.summary.archived else "",
            8,
        ),
    )
}


def metric_column(name: str) -> Column:
    """A metric of the newest evaluation: of what the run made, or of the `SYSTEM.` before it."""
    system, _, metric = name.rpartition(".")

    def value(line: Line) -> Value:
        return metric_of(line, metric, system)

    about = f"{metric} of {system or 'what it made'}, by its newest evaluation"
    width = max(7, len(name))
    return Column(
        name,
        name,
        about,
        value,
        lambda line: _figure(metric_of(line, metric, system)),
        width,
        right=True,
    )


def metric_of(line: Line, metric: str, system: str = "") -> float | None:
    """A metric of a run's newest evaluation; of what the run made, where no system is named. None
    where there is no number."""
    of = line.summary.harness if "/" in metric else line.summary.scores
    found = of.get(system or own_system(line.id, of), {}).get(metric)
    return float(found) if isinstance(found, int | float) else None


def own_system(run: str, systems: Iterable[str]) -> str:
    """The system of an evaluation that is what the run made: of one with several runs it has the
    run's name. Empty where there is none."""
    names = list(systems)
    known = [name for name in (run, *_MADE) if name in names]
    others = [name for name in names if name != BASE]
    return (known or others or [""])[0]


def config_column(path: str) -> Column:
    """A field of the config."""
    *_, last = path.split(".")
    return Column(
        path,
        path,
        f"{last} in the config",
        lambda line: _comparable(at(line.config, path)),
        lambda line: written(at(line.config, path)),
        max(8, len(path)),
        right=True,
    )


def at(config: Mapping[str, Any], path: str) -> Any:
    """The value of a field by its path; None where there is none."""
    found: Any = config
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def written(value: Any) -> str:
    """A value of a config for a person."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ",".join(map(written, value))
    if isinstance(value, Mapping):
        return ",".join(f"{name}={written(one)}" for name, one in value.items())
    return str(value)


def _comparable(value: Any) -> Value:
    if value is None or isinstance(value, bool | int | float):
        return value
    return written(value) if value not in ("", [], {}) else None


def paths(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Every field of a config; one that is a mapping with names of its own is one field."""
    for name, value in config.items():
        if isinstance(value, Mapping) and not before:
            yield from paths(value, f"{name}.")
        else:
            yield f"{before}{name}"


def order(lines: Sequence[Line], column: Column, *, descending: bool = False) -> list[Line]:
    """The runs by a column, those without a value last; alike ones stay as they were."""
    numbers: list[tuple[float, Line]] = []
    words: list[tuple[str, Line]] = []
    nothing: list[Line] = []
    for line in lines:
        value = column.value(line)
        if isinstance(value, int | float) and value == value:
            numbers.append((float(value), line))
        elif isinstance(value, str):
            words.append((value.casefold(), line))
        else:
            nothing.append(line)
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    words.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(line for _, line in numbers), *(line for _, line in words), *nothing]
