"""How the parts of a word diff are drawn: in colours, in strokes, and in signs."""

from __future__ import annotations

from rich.style import Style

STYLES = {
    "=": Style(),
    "-": Style(color="red", strike=True),
    "+": Style(color="green", underline=True, bold=True),
}
SIGNS = {"=": ("", ""), "-": ("[-", "-]"), "+": ("{+", "+}")}
"""Before and after a part, as git's plain word diff has them: a terminal may show neither colours
nor strokes."""
