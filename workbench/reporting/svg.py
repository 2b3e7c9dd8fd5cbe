"""Charts as SVG: curves, and values with intervals. They need nothing from elsewhere, are drawn in
the colour of the text around them, and say in words what they show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from workbench.charts import scale
from workbench.charts.line import Line
from workbench.charts.units import Unit
from workbench.text import visible

WIDTH, LABEL, ROW = 720, 240, 30
_BARS = WIDTH - LABEL - 20
_LEFT, _RIGHT, _TOP, _HEIGHT = 64, 16, 10, 260
"""Of curves: margins, and the height of what is inside."""
_COLUMNS = 320
"""Buckets of a curve that are drawn at most."""
_COLOURS = ("#3b7fd4", "#d9730d", "#2a9d5c", "#9b6cd6", "#d8525e", "#1899a8", "#8a8a2e", "#c453a5")
"""Each stands out from white and from black."""
_DASHES = ("", "6 3", "2 3", "9 3 2 3")
_LEGEND = 40
"""Characters of a name."""
_DECADES = 1.5
"""Powers of ten that values are apart before the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, or points, with a name."""

    name: str
    line: Line
    points: bool = False
    colour: int = 0
    band: bool = True
    """Whether the extremes of buckets are shaded."""


@dataclass(frozen=True, slots=True)
class Bucket:
    x: float
    low: float
    high: float
    mean: float


def safe(text: str) -> str:
    """Others' text for HTML or SVG, in one line."""
    return escape(visible(text, one_line=True))


def document(height: float, parts: Sequence[str], title: str, text: str = "") -> str:
    """One `svg` element of the usual width, with a name and a text alternative."""
    inside = "\n".join(parts)
    described = f"<desc>{safe(text)}</desc>\n" if text else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{safe(f"{title}: {text}" if text else title)}" font-family="sans-serif" '
        f'font-size="13" fill="currentColor">\n<title>{safe(title)}</title>\n{described}'
        f"{inside}\n</svg>"
    )


def reduced(line: Line, most: int = _COLUMNS) -> list[Bucket]:
    """At most `most` buckets of a line, without gaps; extremes are kept."""
    each = -(-len(line) // most) or 1
    found = []
    for begin in range(0, len(line), each):
        part = slice(begin, begin + each)
        means = [mean for mean in line.mean[part] if math.isfinite(mean)]
        if means:
            mean = sum(means) / len(means)
            found.append(Bucket(line.x[begin], min(line.low[part]), max(line.high[part]), mean))
    return found


def curves(title: str, drawn: Sequence[Curve], text: str, marks: Sequence[float] = ()) -> str:
    """Curves over steps, with a legend below; `marks` are steps that get a line of their own.

    The values' axis is logarithmic where they are positive and far apart. Empty where no curve has
    a value.
    """
    found = [(curve, reduced(curve.line)) for curve in drawn]
    found = [(curve, buckets) for curve, buckets in found if buckets]
    if not found:
        return ""
    every = [bucket for _, buckets in found for bucket in buckets]
    least, most = min(b.low for b in every), max(b.high for b in every)
    log = least > 0 and math.log10(most / least) > _DECADES
    low, high = scale.spread(least, most, log=log)
    left, right = min(b.x for b in every), max(b.x for b in every)
    if right <= left:
        left, right = left - 1, right + 1
    inside = _Inside(left, right, low, high, log)
    parts = [*_axes(inside)]
    parts += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _HEIGHT}" '
        'stroke="currentColor" stroke-opacity=".35" stroke-dasharray="1 4"/>'
        for x in map(inside.x, (mark for mark in marks if left <= mark <= right))
    ]
    for curve, buckets in found:
        parts += _drawn(curve, buckets, inside)
    top = _TOP + _HEIGHT + 42
    names = list(dict.fromkeys((c.name, c.colour, c.points) for c, _ in found))
    for place, (name, colour, points) in enumerate(names):
        x, y = _LEFT + place % 2 * (WIDTH - _LEFT) / 2, top + place // 2 * 20
        parts += _sample(x, y, colour, points)
        parts.append(f'<text x="{x + 34:.0f}" y="{y + 4}">{safe(_short(name, _LEGEND))}</text>')
    return document(top + (len(names) + 1) // 2 * 20, parts, title, text)


@dataclass(frozen=True, slots=True)
class _Inside:
    left: float
    right: float
    low: float
    high: float
    log: bool

    def x(self, value: float) -> float:
        share = (value - self.left) / (self.right - self.left)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * share

    def y(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(each) for each in (value, low, high))
        return _TOP + _HEIGHT * (high - value) / (high - low)


def _axes(inside: _Inside) -> Iterator[str]:
    bottom = _TOP + _HEIGHT
    unit, steps = Unit("value"), Unit("steps", "count")
    for value, name in _values(inside, unit):
        y = inside.y(value)
        yield (
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity=".15"/>'
        )
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'
    ticks = steps.ticks(inside.left, inside.right, 7)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    for value in ticks:
        x = inside.x(value)
        name = steps.tick(value, step)
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{name}</text>'
    yield (
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}" fill="none" stroke="currentColor"/>'
    )


def _values(inside: _Inside, unit: Unit) -> list[tuple[float, str]]:
    if not inside.log:
        ticks = unit.ticks(inside.low, inside.high, 6)
        step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        return [(value, unit.tick(value, step)) for value in ticks]
    first = math.floor(math.log10(inside.low))
    last = math.ceil(math.log10(inside.high))
    each = (last - first) // 8 + 1
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    values = [f * 10.0**p for p in range(first, last + 1, each) for f in factors]
    return [(value, f"{value:g}") for value in values if inside.low <= value <= inside.high]


def _drawn(curve: Curve, buckets: Sequence[Bucket], inside: _Inside) -> Iterator[str]:
    colour = _COLOURS[curve.colour % len(_COLOURS)]
    middle = [(inside.x(b.x), inside.y(b.mean)) for b in buckets]
    if curve.band and any(b.low < b.high for b in buckets):
        above = [(inside.x(b.x), inside.y(b.high)) for b in buckets]
        below = [(inside.x(b.x), inside.y(b.low)) for b in reversed(buckets)]
        yield (
            f'<polygon points="{_points([*above, *below])}" fill="{colour}" fill-opacity=".22"/>'
        )
    width = 1.2 if curve.points else 1.6
    yield (
        f'<polyline points="{_points(middle)}" fill="none" stroke="{colour}" '
        f'stroke-width="{width}"{_dash(curve.colour)}/>'
    )
    if curve.points or len(middle) == 1:
        yield from (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in middle
        )


def _sample(x: float, y: float, colour: int, points: bool) -> Iterator[str]:
    shade = _COLOURS[colour % len(_COLOURS)]
    yield (
        f'<line x1="{x:.0f}" x2="{x + 26:.0f}" y1="{y}" y2="{y}" stroke="{shade}" '
        f'stroke-width="2"{_dash(colour)}/>'
    )
    if points:
        yield f'<circle cx="{x + 13:.0f}" cy="{y}" r="3.5" fill="{shade}"/>'


def _dash(colour: int) -> str:
    """More curves than colours are told apart by their dashes."""
    dash = _DASHES[colour // len(_COLOURS) % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its bounds."""

    name: str
    value: float
    low: float
    high: float


def intervals(
    title: str, values: Sequence[Interval], low: float, high: float, mark: float | None = None
) -> str:
    """A row for each value, on an axis from `low` to `high`; at `mark` stands a dashed line."""

    def place(value: float) -> float:
        return LABEL + _BARS * (value - low) / ((high - low) or 1)

    bottom = len(values) * ROW + 4
    parts = [
        f'<line x1="{LABEL}" x2="{WIDTH - 20}" y1="{bottom}" y2="{bottom}" stroke="currentColor"/>'
    ]
    for tick in (low, (low + high) / 2, high):
        parts.append(
            f'<text x="{place(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    if mark is not None:
        x = f"{place(mark):.1f}"
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="0" y2="{bottom}" stroke="currentColor" '
            'stroke-dasharray="3"/>'
        )
    for row, one in enumerate(values):
        y = row * ROW + 16
        parts += [
            label(row, one.name, f"  {one.value:.3f}"),
            f'<line x1="{place(one.low):.1f}" x2="{place(one.high):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{_COLOURS[0]}" stroke-width="3"/>',
            f'<circle cx="{place(one.value):.1f}" cy="{y}" r="5" fill="{_COLOURS[0]}"/>',
        ]
    text = "; ".join(f"{v.name} {v.value:.3f}, {v.low:.3f} to {v.high:.3f}" for v in values)
    return document(bottom + 24, parts, title, text)


def label(row: int, name: str, after: str = "") -> str:
    """What stands left of a row; a long name is cut, what is `after` it is not."""
    text = _short(name, 34 - len(after)) + after
    return f'<text x="{LABEL - 10}" y="{row * ROW + 20}" text-anchor="end">{safe(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
