"""A person's own settings: `$XDG_CONFIG_HOME/workbench/settings.toml`.

on_end = ["notify-send", "{run} {status}"]
on_alarm = ["notify-send", "{run} {alarm}", "{text}"]
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

PLACES = {
    "on_end": ("run", "status", "cause", "text", "folder"),
    "on_alarm": ("run", "alarm", "severity", "text", "next_step", "folder"),
}
"""What is filled in in the words of each command."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person has set; an absent file sets nothing."""

    on_end: tuple[str, ...] = ()
    """The command that is run, without a shell, when a run has ended. `{run}`, `{status}`,
    `{cause}`, `{text}` and `{folder}` in its words are filled in."""
    on_alarm: tuple[str, ...] = ()
    """The command that is run, without a shell, when an alarm of a run begins. `{run}`, `{alarm}`,
    `{severity}`, `{text}`, `{next_step}` and `{folder}` in its words are filled in."""


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
    if unknown := sorted(body.keys() - PLACES.keys()):
        raise WorkbenchError(
            f"{place}: there is no setting {unknown[0]}.", f"There are: {', '.join(PLACES)}."
        )
    return Settings(**{name: _words(place, name, body.get(name, [])) for name in PLACES})


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
