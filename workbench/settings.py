"""A person's own settings: `$XDG_CONFIG_HOME/workbench/settings.toml`.

on_end = ["notify-send", "{run} {status}"]
on_alarm = ["notify-send", "{run} {alarm}", "{text}"]
theme = "textual-light"
animation = "off"
symbols = "block"
mouse = false
runs_columns = ["run", "state", "lora.rank", "rouge_l"]
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, write_text

PLACES = {
    "on_end": ("run", "status", "cause", "text", "folder"),
    "on_alarm": ("run", "alarm", "severity", "text", "next_step", "folder"),
}
"""What is filled in in the words of each command."""
CHOICES = {
    "animation": ("auto", "off", "on"),
    "symbols": ("auto", "braille", "block", "ascii"),
}
"""What may be written for those that are one of a few words."""
COLUMNS = "runs_columns"
NAMES = (*PLACES, "theme", *CHOICES, "mouse", COLUMNS)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person has set; an absent file sets nothing."""

    on_end: tuple[str, ...] = ()
    """The command that is run, without a shell, when a run has ended. `{run}`, `{status}`,
    `{cause}`, `{text}` and `{folder}` in its words are filled in."""
    on_alarm: tuple[str, ...] = ()
    """The command that is run, without a shell, when an alarm of a run begins. `{run}`, `{alarm}`,
    `{severity}`, `{text}`, `{next_step}` and `{folder}` in its words are filled in."""
    theme: str = "auto"
    """The app's colours, by the name of one of Textual's themes."""
    animation: str = "auto"
    """Whether what scrolls glides; `auto`: not over SSH and in tmux."""
    symbols: str = "auto"
    """What charts and bars are drawn with; `auto`: braille where the terminal has it."""
    mouse: bool = True
    """Whether the app takes the mouse."""
    runs_columns: tuple[str, ...] = ()
    """The columns of lists of runs, in their order; none: the usual ones."""


def path() -> Path:
    """Where the settings are."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "workbench" / "settings.toml"


def read() -> Settings:
    """The settings. Raises WorkbenchError that names the file and what is wrong in it."""
    place = path()
    try:
        body = tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise explain_os_error(error, f"read {place}") from error
    except ValueError as error:
        raise WorkbenchError(f"{place} is not valid TOML: {error}.") from error
    if unknown := sorted(body.keys() - set(NAMES)):
        raise WorkbenchError(
            f"{place}: there is no setting {unknown[0]}.", f"There are: {', '.join(NAMES)}."
        )
    return Settings(**{name: _read(place, name, value) for name, value in body.items()})


def _read(place: Path, name: str, value: Any) -> Any:
    if name in PLACES:
        return _words(place, name, value)
    if name == COLUMNS:
        return _texts(place, name, value)
    if name in CHOICES and value not in CHOICES[name]:
        raise WorkbenchError(
            f"{place}: {name} must be one of {', '.join(CHOICES[name])}.",
            f'For example: {name} = "{CHOICES[name][0]}"',
        )
    if name == "mouse" and not isinstance(value, bool):
        raise WorkbenchError(f"{place}: mouse must be true or false, without quotes.")
    if name == "theme" and not (isinstance(value, str) and value):
        raise WorkbenchError(
            f"{place}: theme must be the name of a theme.", 'For example: theme = "textual-light"'
        )
    return value


def _texts(place: Path, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise WorkbenchError(
            f"{place}: {name} must be a list of names.",
            f'For example: {name} = ["run", "state", "lora.rank"]',
        )
    return tuple(value)


def save_columns(names: Sequence[str]) -> Path:
    """Keep the columns of lists of runs, none for the usual ones; returns where.

    Everything else in the file stays as it is, comments too. Raises WorkbenchError where it can't
    be read or written.
    """
    place = path()
    read()  # what is wrong in it is said, and not written over
    lines = place.read_text(encoding="utf-8").splitlines() if place.exists() else []
    written = f"{COLUMNS} = {json.dumps(list(names), ensure_ascii=False)}"
    before, after = _around(lines)
    kept = [*before, *([written] if names else []), *after]
    write_text(place.resolve(), "".join(f"{line}\n" for line in kept))
    return place


def _around(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines before and after those of COLUMNS, whose list may stand on several."""
    for start, line in enumerate(lines):
        if not re.match(rf"\s*{COLUMNS}\s*=", line):
            continue
        for end in range(start + 1, len(lines) + 1):
            with suppress(ValueError):
                tomllib.loads("\n".join(lines[start:end]))
                return lines[:start], lines[end:]
    return lines, []


def _words(place: Path, name: str, value: Any) -> tuple[str, ...]:
    places = PLACES[name]
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise WorkbenchError(
            f"{place}: {name} must be a list of words.",
            f'It is run without a shell: {name} = ["notify-send", "{{run}} {{text}}"]',
        )
    for place_name in re.findall(r"\{(\w+)\}", " ".join(value)):
        # Braces may be an awk program's; what is nearly one of ours is a slip.
        near = difflib.get_close_matches(place_name, places, 1, 0.7)
        if place_name not in places and near:
            raise WorkbenchError(
                f"{place}: {name} has {{{place_name}}}, which nothing fills in.",
                f"Did you mean {{{near[0]}}}? There are {', '.join(places)}.",
            )
    return tuple(value)
