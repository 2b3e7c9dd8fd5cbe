"""Drawing a line chart: ours beside plotext, textual-plot and Textual's Sparkline.

Three tables: the time of a picture as text, the time of a widget's frame (new data to an idle app,
less what an idle app takes anyway), both as processor time, the best of several by turns; and the
bytes that a redraw of a chart of 140x8 cells in a live run writes to a pseudo-terminal. Peers that
aren't there are left out; they are no dependencies, and are put into a folder of their own:

    pip install --target PEERS plotext textual-plot
    .venv/bin/python benchmarks/chart.py PEERS [ROUNDS]
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import pty
import random
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

from rich.text import Text
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Sparkline, Static

from screens.widgets.line_chart import LineChart
from workbench.charts.line import Line
from workbench.charts.picture import draw
from workbench.charts.raster import text_of
from workbench.charts.series import Chart, Series, View

POINTS = (200, 2_000, 20_000, 100_000, 1_000_000)
SIZES = ((100, 20), (160, 40))
REDRAWS = 20
SLOW, TOO_SLOW = 0.1, 0.5
"""Seconds after which a contender is asked only twice for more points, and not at all."""

Points = tuple[list[float], list[float]]


def curve(count: int) -> Points:
    """A loss that falls, with noise."""
    random.seed(0)
    values = [1 + 2 * math.exp(-3 * x / count) + random.gauss(0, 0.1) for x in range(count)]
    return [float(x) for x in range(count)], values


def rising(points: Points) -> tuple[Line, Points]:
    """The same upside down."""
    turned = points[0], [4 - y for y in points[1]]
    return Line.of(zip(*turned, strict=True)), turned


def chart_of(line: Line) -> Chart:
    return Chart("loss", [Series("train", line, "cyan")])


# As text


def with_plotext(points: Points, width: int, height: int) -> str:
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.draw(figure.signal(*points, marker="braille"))
    return str(figure.build().string())


def as_text(line: Line, points: Points, width: int, height: int) -> dict[str, Callable[[], object]]:
    chart = chart_of(line)
    fresh = (line.x, line.low, line.high, line.mean)
    return {
        "ours": lambda: "\n".join(map(text_of, draw(chart, View(), width, height).rows)),
        "ours, smoothed": lambda: draw(chart, View(smoothing=0.9), width, height),
        "ours, columns never drawn before": lambda: draw(
            chart_of(Line(*fresh)), View(), width, height
        ),
        "plotext": lambda: with_plotext(points, width, height),
    }


# As widgets


def line_chart() -> tuple[Widget, Callable[[Line, Points], None]]:
    widget = LineChart()
    return widget, lambda line, points: widget.show(chart_of(line))


def sparkline() -> tuple[Widget, Callable[[Line, Points], None]]:
    widget = Sparkline()

    def show(line: Line, points: Points) -> None:
        widget.data = points[1]

    return widget, show


def plotext_static() -> tuple[Widget, Callable[[Line, Points], None]]:
    import plotext  # noqa: F401

    widget = Static()

    def show(line: Line, points: Points) -> None:
        widget.update(Text.from_ansi(with_plotext(points, *widget.size)))

    return widget, show


def textual_plot() -> tuple[Widget, Callable[[Line, Points], None]]:
    from textual_plot import HiResMode, PlotWidget

    widget = PlotWidget()

    def show(line: Line, points: Points) -> None:
        widget.clear()
        widget.plot(*points, hires_mode=HiResMode.BRAILLE)

    return widget, show


WIDGETS: dict[str, Callable[[], tuple[Widget, Callable[[Line, Points], None]]]] = {
    "ours": line_chart,
    "Sparkline": sparkline,
    "plotext in a Static": plotext_static,
    "textual-plot": textual_plot,
}


class OneWidget(App[None]):
    """A contender alone; as a program of its own it redraws a live run so many times."""

    def __init__(self, name: str, redraws: int | None = None) -> None:
        super().__init__()
        self.contender, self.show_points = WIDGETS[name]()
        self.contender.styles.height = "1fr"
        self.redraws = redraws

    def compose(self) -> ComposeResult:
        yield self.contender

    async def on_mount(self) -> None:
        if self.redraws is not None:
            self.run_worker(self._live(self.redraws))

    async def _live(self, redraws: int) -> None:
        xs, ys = curve(3_000)
        for number in range(redraws + 1):
            end = 2_000 + 5 * number
            points = xs[:end], ys[:end]
            self.show_points(Line.of(zip(*points, strict=True)), points)
            await asyncio.sleep(0.25)
        self.exit()


async def frame(
    name: str, both: Sequence[tuple[Line, Points]], size: tuple[int, int], rounds: int
) -> float:
    """Seconds of processor time from new data to an idle app; what is shown changes each time."""
    app = OneWidget(name)
    async with app.run_test(size=size) as pilot:
        turns = cycle(both)
        nothing = await _best(pilot, lambda: None, rounds)
        return await _best(pilot, lambda: app.show_points(*next(turns)), rounds) - nothing


async def _best(pilot: Pilot[None], do: Callable[[], object], rounds: int) -> float:
    best = math.inf
    for _ in range(rounds):
        began = time.process_time()
        do()
        await pilot.pause(0.05)
        best = min(best, time.process_time() - began)
    return best


def written(name: str, redraws: int) -> int:
    """Bytes that a program with this contender writes to a terminal of 140x8 cells."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TEXTUAL_ANIMATIONS="none")
        time.sleep(0.2)
        OneWidget(name, redraws).run()
        os._exit(0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 140, 0, 0))
    count = 0
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not data:
            break
        count += len(data)
    os.waitpid(pid, 0)
    os.close(terminal)
    return count


def there(name: str) -> bool:
    """Whether a contender is installed."""
    try:
        WIDGETS[name]()
    except ImportError:
        return False
    return True


def best_of(do: Callable[[], object], rounds: int) -> float:
    best = math.inf
    for _ in range(rounds):
        began = time.process_time()
        do()
        best = min(best, time.process_time() - began)
    return best


def measure(taken: list[float | None], rounds: int, ask: Callable[[int], float]) -> None:
    """Append what `ask` measures in so many rounds, in fewer or not at all where it took long with
    fewer points."""
    before = taken[-1] if taken else 0.0
    if before is None or before > TOO_SLOW:
        taken.append(None)
    else:
        taken.append(ask(2 if before > SLOW else rounds))


def table(heads: list[str], rows: dict[str, list[float | None]], unit: str) -> None:
    """Times in ms, or bytes, and in brackets how many times those of the first row."""
    print("| " + " | ".join(["", *heads]) + " |")
    print("|---" * (len(heads) + 1) + "|")
    first = next(iter(rows.values()))
    for name, values in rows.items():
        cells = []
        for value, ours in zip(values, first, strict=True):
            if value is None or ours is None:
                cells.append("–")
                continue
            said = f"{value * 1000:.1f}" if unit == "ms" else f"{value:,.0f}"
            cells.append(said if value == ours else f"{said} ({value / ours:.1f})")
        print("| " + " | ".join([name, *cells]) + " |")
    print()


def main() -> None:
    sys.path.extend(sys.argv[1:2])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    data = {count: curve(count) for count in POINTS}
    lines = {count: Line.of(zip(*points, strict=True)) for count, points in data.items()}
    both = {count: [(lines[count], points), rising(points)] for count, points in data.items()}
    widgets = [name for name in WIDGETS if there(name)]
    heads = [f"{count:,}" for count in POINTS]
    for size in SIZES:
        texts: dict[str, list[float | None]] = {}
        frames: dict[str, list[float | None]] = {}
        for count in POINTS:
            for name, do in as_text(lines[count], data[count], *size).items():
                if name != "plotext" or "plotext in a Static" in widgets:
                    measure(texts.setdefault(name, []), rounds, partial(best_of, do))
            for name in widgets:
                ask = partial(frame, name, both[count], size)
                measure(frames.setdefault(name, []), rounds, lambda n, ask=ask: asyncio.run(ask(n)))
        print(f"As text, {size[0]}x{size[1]} cells, ms (times ours), by points\n")
        table(heads, texts, "ms")
        print(f"A frame of a widget, {size[0]}x{size[1]} cells, ms (times ours), by points\n")
        table(heads, frames, "ms")
    sizes: dict[str, list[float | None]] = {
        name: [(written(name, REDRAWS) - written(name, 0)) / REDRAWS] for name in widgets
    }
    print("Bytes of a redraw of 140x8 cells, five points more each time\n")
    table(["bytes (times ours)"], sizes, "bytes")


if __name__ == "__main__":
    main()
