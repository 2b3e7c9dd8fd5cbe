"""A person's own settings: `$XDG_CONFIG_HOME/workbench/settings.toml`.

on_end = ["notify-send", "{run} {status}"]
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

PLACES = ("run", "status", "cause", "text", "folder")
"""What is filled in in the words of `on_end`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person has set; an absent file sets nothing."""

    on_end: tuple[str, ...] = ()
    """The command that is run, without a shell, when a run has ended. `{run}`, `{status}`,
    `{cause}`, `{text}` and `{folder}` in its words are filled in."""


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
    unknown = sorted(body.keys() - {"on_end"})
    if unknown:
        raise WorkbenchError(f"{place}: there is no setting {unknown[0]}.", "There is: on_end.")
    return Settings(on_end=_words(place, body.get("on_end", [])))


def _words(place: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise WorkbenchError(
            f"{place}: on_end must be a list of words.",
            'It is run without a shell: on_end = ["notify-send", "{run} {status}"]',
        )
    for place_name in re.findall(r"\{(\w+)\}", " ".join(value)):
        # Braces may be an awk program's; what is nearly one of ours is a slip.
        near = difflib.get_close_matches(place_name, PLACES, 1, 0.7)
        if place_name not in PLACES and near:
            raise WorkbenchError(
                f"{place}: on_end has {{{place_name}}}, which nothing fills in.",
                f"Did you mean {{{near[0]}}}? There are {', '.join(PLACES)}.",
            )
    return tuple(value)
