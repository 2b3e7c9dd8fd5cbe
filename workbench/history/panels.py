"""What there is to see of a run, chart by chart: which figures share axes, and in what unit."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Literal

from workbench.charts import series, units
from workbench.charts.line import Line
from workbench.charts.series import COLOURS, Chart, MarkKind, Series, SeriesStyle, Threshold
from workbench.charts.units import Unit
from workbench.history.history import History
from workbench.jobs.events import Sampled

Axis = Literal["step", "tokens", "epoch", "time"]
AXES: Mapping[str, Unit] = {
    "step": units.STEP,
    "tokens": units.TOKENS,
    "epoch": units.EPOCH,
    "time": units.TIME,
}
"""What x can be. Time is counted from the run's start, so that runs lie over each other."""

_MARKS: Mapping[str, MarkKind] = {
    "evaluation": "evaluation",
    "checkpoint": "checkpoint",
    "resume": "resume",
    "spike": "spike",
    "skipped": "spike",
    "alarm": "alarm",
}
_MOVES = 16
"""Moves of the right edge in which what is in view doubles: 3 to 6 % of it are free at most."""
_GPUS = 8
"""GPUs with a line of their own: as many as one node has."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of a panel."""

    group: str
    """`training`, `validation` or `machine`."""
    figure: str
    name: str
    style: SeriesStyle = "line"


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart's figures."""

    name: str
    unit: Unit
    figures: tuple[Figure, ...] = ()
    each_gpu: str = ""
    """A figure of a GPU: every GPU has a line of it."""
    without_gpu: tuple[Figure, ...] = ()
    """What stands for it on a machine without one."""


PANELS = (
    Panel(
        "loss",
        units.NUMBER,
        (
            Figure("training", "loss", "train"),
            Figure("validation", "loss", "validation", "marks"),
        ),
    ),
    Panel("tokens/s", units.RATE, (Figure("training", "tokens_per_second", "tokens/s"),)),
    Panel(
        "memory",
        units.BYTES,
        (
            Figure("training", "reserved", "torch reserved"),
            Figure("training", "allocated", "allocated"),
            Figure("training", "memory", "peak", "dim"),
        ),
        each_gpu="memory_used",
        without_gpu=(
            Figure("machine", "host.rss", "run"),
            Figure("machine", "host.memory_used", "host", "dim"),
        ),
    ),
    Panel("gradient norm", units.NUMBER, (Figure("training", "gradient_norm", "gradient norm"),)),
    Panel("learning rate", units.NUMBER, (Figure("training", "learning_rate", "learning rate"),)),
    Panel(
        "utilisation",
        units.PERCENT,
        each_gpu="utilization",
        without_gpu=(Figure("machine", "host.cpu_percent", "processors"),),
    ),
    Panel("power", units.WATTS, each_gpu="power"),
    Panel("temperature", units.CELSIUS, each_gpu="temperature"),
    Panel(
        "host",
        units.BYTES,
        (
            Figure("machine", "host.memory_used", "host memory"),
            Figure("machine", "host.rss", "run"),
        ),
    ),
)
"""The most looked at first."""


def panel(name: str) -> Panel:
    """The panel of a name. Raises KeyError where there is none."""
    return {panel.name: panel for panel in PANELS}[name]


def shown(history: History) -> list[Panel]:
    """The panels that have something to show that those before don't, the loss even where it never
    was a number; then those of which the GPUs tell nothing."""
    known, found = _known(history), [PANELS[0]]
    seen: set[tuple[str, str]] = set()
    for panel in PANELS[1:]:
        figures = {(one.group, one.figure) for one in _figures(panel, history)} & known
        if figures - seen:
            found.append(panel)
            seen |= figures
    # What a GPU doesn't tell is N/A, not nothing.
    untold = [one for one in PANELS if one.each_gpu and history.gpus and one not in found]
    return found + untold


def chart(
    history: History,
    panel: Panel,
    x: Axis = "step",
    *,
    window: tuple[float, float] | None = None,
    others: Sequence[tuple[str, History]] = (),
    part: History | None = None,
    thresholds: Sequence[Threshold] = (),
    growing: bool = False,
) -> Chart:
    """A panel of a run over an axis.

    `window` is the part of the axis that is in view. `others` are runs that are laid over it, by
    name. `part` is the window alone, exact (`history.window`), where the history has several points
    to a bucket. `thresholds` are limits. `growing` leaves some room at the right, for what comes.
    """
    own = list(_series(history, panel, x, window, part))
    if others:
        own = _overlaid(own, history, panel, x, window, others)
    start = _start(history, x)
    marks = [
        series.Mark(history.place(mark, x) - start, _MARKS[mark.kind]) for mark in history.marks
    ]
    span = history.span(x)
    extent = None if span is None else (span[0] - start, span[1] - start)
    if growing and extent is not None:
        extent = (extent[0], _with_room(extent, window))
    return Chart(panel.name, own, AXES[x], panel.unit, marks, thresholds, extent)


def _with_room(extent: tuple[float, float], window: tuple[float, float] | None) -> float:
    """The right edge, so that the axis moves seldom: with each move every cell is sent anew."""
    left, right = extent
    width = right - left if window is None else window[1] - window[0]
    if width <= 0:
        return right
    grid = 2.0 ** math.floor(math.log2(width)) / _MOVES
    return left + math.ceil((right - left) / grid) * grid


def step_at(history: History, x: Axis, value: float) -> int:
    """The step of a place on an axis."""
    return round(
        value if x == "step" else history.training.at(x, value + _start(history, x), "step")
    )


def steps_of(history: History, x: Axis, window: tuple[float, float]) -> tuple[float, float]:
    """The first and the last step of a part of an axis, with all that share a bucket with one of
    its own: where one of those is on the axis is told by its bucket."""
    start, span = _start(history, x), history.span()
    left, right = window[0] + start, window[1] + start
    before, after = history.training.enclosing(x, left, right, "step")
    first, last = span or (left, right)
    return max(first, before + 1), min(last, after - 1)


def place_of(history: History, step: float, x: Axis) -> float:
    """Where a step is on an axis."""
    if x == "step":
        return step
    return history.training.at("step", step, x) - _start(history, x)


def _overlaid(
    own: list[Series],
    history: History,
    panel: Panel,
    x: Axis,
    window: tuple[float, float] | None,
    others: Sequence[tuple[str, History]],
) -> list[Series]:
    """Each run by a letter and a colour of its own, with the first line of the panel and, behind
    those of all runs, that of the validation."""
    first: list[Series] = []
    more: list[Series] = []
    runs = [("this run", own)]
    runs += [(name, list(_series(other, panel, x, window, None))) for name, other in others]
    for letter, colour, (name, lines) in zip("abcdefgh", cycle(COLOURS), runs, strict=False):
        lines = [replace(line, colour=colour, letter=letter) for line in lines]
        first += [replace(line, name=name) for line in lines[:1]]
        # The letter is the run's: whose these are needs no name.
        more += [line for line in lines[1:] if line.style == "marks"]
    return [*first, *more]


def _series(
    history: History,
    panel: Panel,
    x: Axis,
    window: tuple[float, float] | None,
    part: History | None,
) -> Iterator[Series]:
    start = _start(history, x)
    left, right = (None, None) if window is None else (window[0] + start, window[1] + start)
    for figure, colour in zip(_figures(panel, history), cycle(COLOURS), strict=False):
        source = history
        if (
            part is not None
            and figure.group != "validation"
            and figure.figure in part.figures(figure.group)
        ):
            source = part
        line = source.line(figure.group, figure.figure, x, left, right)
        spacing = None
        if figure.group == "training":
            spacing = _spacing(history, x)
        yield Series(figure.name, _from(line, start), colour, figure.style, spacing=spacing)


def _figures(panel: Panel, history: History) -> list[Figure]:
    """Those of a panel that there are; of each GPU its own, told or not."""
    known = _known(history)
    found = [figure for figure in panel.figures if (figure.group, figure.figure) in known]
    if panel.each_gpu:
        found = _of_gpus(panel, history) + found
    if not any((figure.group, figure.figure) in known for figure in found):
        found += [f for f in panel.without_gpu if (f.group, f.figure) in known]
    return found


def _of_gpus(panel: Panel, history: History) -> list[Figure]:
    """A figure of each GPU. MIG instances stand for theirs where memory is concerned; the rest is
    told of the whole GPU alone."""
    labels = [label for label in history.gpus if "mig" not in label]
    memory = panel.each_gpu == "memory_used"
    if memory:
        labels = [one for one in history.gpus if not any(f"{one}mig" in o for o in history.gpus)]
    found = [Figure("machine", f"{label}.{panel.each_gpu}", _in_words(label)) for label in labels]
    if memory and len(found) == 1:
        own = Figure("machine", f"{labels[0]}.memory_of_run", "this run")
        told = (own.group, own.figure) in _known(history)
        return [replace(found[0], name="GPU used"), *([own] if told else [])]
    return found[:_GPUS]


def _in_words(label: str) -> str:
    """`GPU 0`, `GPU 0 MIG 1`."""
    return label.replace("gpu", "GPU ").replace("mig", " MIG ")


def _known(history: History) -> frozenset[tuple[str, str]]:
    groups = ("training", "validation", "machine")
    return frozenset((group, name) for group in groups for name in history.figures(group))


def _spacing(history: History, x: Axis) -> float | None:
    """How far apart the steps are on an axis."""
    span, track = history.span(x), history.training
    return None if span is None else (span[1] - span[0]) / max(1, len(track) * track.each - 1)


def _start(history: History, x: Axis) -> float:
    """What counts as zero on an axis: of time the run's first start."""
    if x != "time":
        return 0.0
    if history.starts:
        return history.starts[0].time
    span = history.span("time")
    return span[0] if span is not None else 0.0


def _from(line: Line, start: float) -> Line:
    if not start:
        return line
    return replace(line, x=array("d", [x - start for x in line.x]))


def limits(name: str, sample: Sampled | None) -> list[Threshold]:
    """What a panel's figures can't leave: a share its bounds, else by a sample of the machine the
    least of its GPUs' memory, or of their power limits."""
    if name == "utilisation":
        return [Threshold(0.0, ""), Threshold(100.0, "")]
    figure, unit = {
        "memory": ("memory_total", "memory"),
        "power": ("power_limit", "limit"),
    }.get(name, ("", ""))
    found = [gpu.get(figure) for gpu in sample.gpus] if sample is not None and figure else []
    known = [float(value) for value in found if isinstance(value, int | float) and value > 0]
    return [Threshold(min(known), unit)] if known else []
