"""The curves of one run, or of several, as charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.charts.line import Line
from workbench.reporting import svg
from workbench.reporting.found import Found
from workbench.reporting.page import Chart
from workbench.reporting.svg import Curve

_BLOCKS = "▁▂▃▄▅▆▇█"
_ACROSS = 48
"""Characters of a curve in text."""
_NAME = 24


def of_run(found: Found) -> Iterator[Chart]:
    """Loss, with the validations and the checkpoints; then learning rate and gradient norm."""
    history = found.history
    losses = [
        Curve("training loss", _line(found, "training", "loss"), colour=0),
        Curve("validation loss", _line(found, "validation", "loss"), True, colour=1),
    ]
    checkpoints = [float(mark.step) for mark in history.noted.of("checkpoint")]
    caption = "Loss (nats a token) over steps"
    if checkpoints:
        caption += "; dotted: checkpoints"
    yield from _chart(f"Loss of {found.id}", losses, caption, checkpoints)
    for figure in ("learning_rate", "gradient_norm"):
        name = figure.replace("_", " ")
        curve = Curve(name, _line(found, "training", figure), colour=2)
        title = name.capitalize()
        yield from _chart(f"{title} of {found.id}", [curve], f"{title} over steps")


def of_several(runs: Sequence[Found]) -> Iterator[Chart]:
    """Each loss of all runs over the same steps."""
    for group, points in (("training", False), ("validation", True)):
        drawn = [
            Curve(found.id, _line(found, group, "loss"), points, place, band=False)
            for place, found in enumerate(runs)
        ]
        title = f"{group.capitalize()} loss"
        yield from _chart(title, drawn, f"{title} (nats a token) over steps")


def _line(found: Found, group: str, figure: str) -> Line:
    try:
        return found.history.line(group, figure, "step")
    except KeyError:
        return Line.of(())


def _chart(
    title: str, drawn: Sequence[Curve], caption: str, marks: Sequence[float] = ()
) -> Iterator[Chart]:
    told = [text for curve in drawn if (text := _in_words(curve))]
    picture = svg.curves(title, drawn, "; ".join(told), marks)
    if picture:
        lines = [line for curve in drawn if (line := _sparkline(curve))]
        yield Chart(picture, f"{caption}.", "\n".join(lines))


def _in_words(curve: Curve) -> str:
    found = svg.reduced(curve.line)
    if not found:
        return ""
    least = min(found, key=lambda bucket: bucket.low)
    return (
        f"{curve.name} {found[0].mean:.4g} at step {found[0].x:.0f}, {found[-1].mean:.4g} at step "
        f"{found[-1].x:.0f}, least {least.low:.4g} about step {least.x:.0f}"
    )


def _sparkline(curve: Curve) -> str:
    """A curve as one line of text, each on a scale of its own."""
    found = svg.reduced(curve.line, _ACROSS)
    if not found:
        return ""
    low, high = min(b.mean for b in found), max(b.mean for b in found)
    steps = len(_BLOCKS) - 1
    drawn = "".join(_BLOCKS[round(steps * (b.mean - low) / ((high - low) or 1))] for b in found)
    name = curve.name if len(curve.name) <= _NAME else f"{curve.name[: _NAME - 1]}…"
    return f"{name:{_NAME}} {drawn}  {found[0].mean:.4g} -> {found[-1].mean:.4g}"
