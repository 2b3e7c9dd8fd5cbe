"""A bar for a share of a whole, as text."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int, *, ascii: bool = False) -> str:
    """A bar `width` cells wide, filled to `share` (0 to 1; cut to that)."""
    share = min(1.0, max(0.0, share))
    if ascii:
        full = round(share * width)
        return "#" * full + "." * (width - full)
    full, rest = divmod(round(share * width * 8), 8)
    part = _EIGHTHS[rest] if rest else ""
    return ("█" * full + part).ljust(width, "░")


def size(count: int | None) -> str:
    """Bytes for a person: `12.3 GiB`; `N/A` for None."""
    if count is None:
        return "N/A"
    for unit, step in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << step:
            return f"{count / (1 << step):.1f} {unit}"
    return f"{count} B"
