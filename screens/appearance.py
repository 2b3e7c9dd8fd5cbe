"""How the app is drawn on this terminal: its colours, its symbols, and whether anything glides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from textual.theme import BUILTIN_THEMES
from textual.types import AnimationLevel

from workbench.errors import WorkbenchError
from workbench.settings import Settings
from workbench.terminal import DUMB, colours, shows_braille

Symbols = Literal["braille", "block", "ascii"]

_DARK, _OWN_COLOURS = "textual-dark", "ansi-dark"


@dataclass(frozen=True, slots=True)
class Appearance:
    """What was chosen."""

    theme: str
    animation: AnimationLevel
    symbols: Symbols
    colourless: bool = False
    """Whether not one colour is written."""


PLAIN = Appearance(_DARK, "full", "braille")
"""On a terminal that can do everything."""


def choose(
    settings: Settings, symbols: str | None, environ: Mapping[str, str], encoding: str
) -> Appearance:
    """What the command line (`symbols`), the environment and the settings ask for, in this order,
    as far as the terminal can show it; `encoding` is that of the output.

    Raises WorkbenchError for a terminal that can't place a cursor, and for an unknown theme.
    """
    if colours(environ) == DUMB:
        raise WorkbenchError(
            f"A terminal of the type {environ.get('TERM') or 'unknown'} can't show the app: it has "
            "no cursor to move.",
            "Set TERM to what it is (xterm-256color, say), or use a verb: workbench attach --plain "
            "follows a run, workbench --help lists the others.",
        )
    colourless = bool(environ.get("NO_COLOR"))
    return Appearance(
        theme=_theme(settings, environ, colourless),
        animation=_animation(settings, environ),
        symbols=_symbols(symbols or settings.symbols, environ, encoding),
        colourless=colourless,
    )


def _theme(settings: Settings, environ: Mapping[str, str], colourless: bool) -> str:
    wanted = environ.get("TEXTUAL_THEME") or settings.theme
    if wanted != "auto" and wanted not in BUILTIN_THEMES:
        near = difflib.get_close_matches(wanted, BUILTIN_THEMES, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise WorkbenchError(
            f"There is no theme {wanted}.", f"{hint}There are {', '.join(sorted(BUILTIN_THEMES))}."
        )
    # Of sixteen colours only the terminal's own are sure to differ from its background.
    if colourless or (wanted == "auto" and colours(environ) == "16"):
        return _OWN_COLOURS
    return _DARK if wanted == "auto" else wanted


def _animation(settings: Settings, environ: Mapping[str, str]) -> AnimationLevel:
    asked: dict[str, AnimationLevel] = {"none": "none", "basic": "basic", "full": "full"}
    if (level := environ.get("TEXTUAL_ANIMATIONS", "").lower()) in asked:
        return asked[level]
    if settings.animation != "auto":
        return "full" if settings.animation == "on" else "none"
    # A page that glides writes 250 KB, else 10 KB.
    far = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "TMUX", "STY"))
    return "none" if far else "full"


def _symbols(wanted: str, environ: Mapping[str, str], encoding: str) -> Symbols:
    if not encoding.lower().startswith("utf"):
        return "ascii"  # nothing else can be written
    if wanted == "auto":
        return "braille" if shows_braille(environ) else "ascii"
    return cast(Symbols, wanted)
