"""Text for a person: what data, models and files say, made safe to show; sizes."""

from __future__ import annotations

_SHORT = {"\n": "⏎", "\t": "⇥"}


def visible(text: str, *, one_line: bool = False) -> str:
    """`text` with its control characters shown, not executed, by a terminal.

    `one_line` shows line ends and tabs, too, for a cell of a table.
    """
    if text.isprintable():
        return text
    kept = "" if one_line else "\n\t"
    return "".join(
        c if c.isprintable() or c in kept else _SHORT.get(c) or c.encode("unicode_escape").decode()
        for c in text
    )


def beginning(text: str, longest: int, how: str = "") -> str:
    """`text`, or so many characters of it and how many more there are; `how` says behind that
    where the rest is."""
    more = len(text) - longest
    return text if more <= 0 else f"{text[:longest]}\n… and {more:,} characters more{how}"


def size(amount: int) -> str:
    """Bytes for a person: `12.3 GiB`, `96 MiB`."""
    return f"{amount / 2**30:.1f} GiB" if amount >= 1 << 30 else f"{amount / 2**20:.0f} MiB"
