"""The chart as a widget: zoom, pan, cursor, and how little of it is drawn anew."""

from __future__ import annotations

import math
from typing import Any

import pytest
from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.color import Color
from textual.geometry import Region
from textual.theme import BUILTIN_THEMES

from screens.widgets.line_chart import PALETTE, LineChart
from workbench.charts.line import Line
from workbench.charts.series import Chart, Series


def chart(count: int = 1001, **options: Any) -> Chart:
    line = Line.of((x, math.sin(x / 100)) for x in range(count))
    return Chart("loss", [Series("train", line, "cyan")], **options)


class ChartApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def compose(self) -> ComposeResult:
        yield LineChart()

    def on_line_chart_cursor_moved(self, message: LineChart.CursorMoved) -> None:
        self.told.append((message.x, dict(message.readings)))

    def on_line_chart_window_moved(self, message: LineChart.WindowMoved) -> None:
        self.told.append((message.left, message.right))

    @property
    def chart(self) -> LineChart:
        return self.query_one(LineChart)


async def test_all_is_in_view_until_one_zooms_and_the_newest_point_stays() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.chart
        view.show(chart())
        assert view.window == (0, 1000) and view.drawn and not view.zoomed
        view.show(chart(2001))
        assert view.window == (0, 2000)
        view.zoom(4)
        assert view.window == (1500, 2000) and view.zoomed
        # The newest point is at the right edge, and stays there as the run goes on.
        view.show(chart(2101))
        assert view.window == (1600, 2100)
        view.pan(-0.5)
        view.show(chart(2201))
        assert view.window == (1350, 1850)
        view.zoom(0.5)
        assert view.window == (1100, 2100)
        view.pan(9)
        assert view.window == (1200, 2200)
        view.zoom(1e-9)
        assert view.window == (0, 2200) and not view.zoomed
        view.zoom(1e30)
        left, right = view.window
        assert right - left == 4
        view.reset()
        assert view.window == (0, 2200)
        await pilot.pause()
        assert app.told[0] == (1500, 2000) and app.told[-1] == (None, None)


async def test_a_window_that_the_data_have_left_is_given_up() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.chart
        view.show(chart())
        view.look_at(500, 700)
        view.show(chart(301))
        assert view.window == (0, 300) and view.drawn
        await pilot.pause()
        assert app.told[-1] == (None, None)
        view.zoom(2)
        view.show(chart(101))
        assert view.window == (0, 100)


async def test_finer_data_of_a_window_are_drawn_in_it() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)):
        view = app.chart
        view.show(chart())
        view.look_at(200, 300)
        line = Line.of((200 + x / 10, x % 2) for x in range(1001))
        view.show(Chart("loss", [Series("train", line)], extent=(0, 1000)))
        assert view.window == (200, 300)
        view.pan(-1)
        assert view.window == (100, 200)
        view.reset()
        assert view.window == (0, 1000)


async def test_the_cursor_goes_from_point_to_point_and_takes_the_window_along() -> None:
    app = ChartApp()
    async with app.run_test(size=(110, 20)) as pilot:
        view = app.chart
        view.show(chart())
        view.move_cursor(-1)
        assert view.cursor == 1000
        view.move_cursor(-10)
        assert view.cursor == 900 and "at step 900" in view.text
        view.zoom(10)
        assert view.window == (810, 910)
        # Closer than a cell there is no other point: it goes to the next one.
        view.look_at(890, 910)
        view.move_cursor(1)
        assert view.cursor == 901
        view.move_cursor(60)
        assert view.cursor == 913 and view.window == (893, 913)
        view.put_cursor(20.3)
        assert view.cursor == 20 and view.window == (10, 30)
        await pilot.pause()
        x, readings = app.told[-1]
        assert x == 20 and readings["train"].mean == pytest.approx(math.sin(0.2))
        view.drop_cursor()
        await pilot.pause()
        assert app.told[-1] == (None, {}) and "at step" not in view.text


async def test_log_and_smoothing_are_said_and_taken_back() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)):
        view = app.chart
        view.show(chart())
        view.toggle_log()
        view.smooth(0.9)
        assert "log  smoothing 0.9" in view.text and "≤ 0 not shown" in view.text
        view.toggle_log()
        view.smooth(0)
        assert view.text.splitlines()[0] == "loss  ━ train -0.544"


async def test_only_lines_that_changed_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        view = app.chart
        view.show(chart())
        await pilot.pause()
        asked: list[int] = []

        def refresh(*regions: Region, **options: Any) -> LineChart:
            asked.extend(region.y for region in regions)
            assert regions, "the whole chart was drawn anew"
            return view

        view.render_line(0)
        monkeypatch.setattr(view, "refresh", refresh)
        view.show(chart())
        assert asked == []
        line = Line.of((x, math.sin(x / 100)) for x in range(1001))
        line.low[500] = line.high[500] = line.mean[500] = 0.0
        view.show(Chart("loss", [Series("train", line, "cyan")]))
        assert 1 <= len(asked) <= 12


@pytest.mark.parametrize("size", [(20, 3), (30, 4), (80, 8), (250, 60), (1, 1)])
async def test_it_draws_in_any_size(size: tuple[int, int]) -> None:
    app = ChartApp()
    async with app.run_test(size=size) as pilot:
        app.chart.styles.min_height = 1
        app.chart.show(chart(), bare=size[1] < 10)
        await pilot.pause()
        width, height = app.chart.size
        for y in range(height):
            assert app.chart.render_line(y).cell_length == width
        assert app.chart.drawn
        app.chart.show(Chart("loss", []))
        await pilot.pause()
        assert not app.chart.drawn


def contrast(a: Color, b: Color) -> float:
    """Of two colours by WCAG 2.2, from 1 to 21."""

    def luminance(color: Color) -> float:
        parts = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in color.normalized
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [name for name in BUILTIN_THEMES if "ansi" not in name])
def test_colours_are_legible_in_every_theme(theme: str) -> None:
    about = BUILTIN_THEMES[theme]
    background = Color.parse(about.to_color_system().generate()["background"])
    for name, colours in PALETTE.items():
        color = Color.parse(colours[0 if about.dark else 1])
        assert contrast(color, background) >= 3, (name, color)


def test_few_colours_tell_the_series_apart() -> None:
    for place in (0, 1):
        for system in (ColorSystem.STANDARD, ColorSystem.EIGHT_BIT):
            found = {
                RichColor.parse(colours[place]).downgrade(system).number
                for colours in PALETTE.values()
            }
            assert len(found) == len(PALETTE)


async def test_a_theme_of_the_terminal_s_colours_gets_those() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.theme = "ansi-dark"
        app.chart.show(chart())
        app.chart.smooth(0.9)
        await pilot.pause()
        styles = {str(part.style) for y in range(1, 19) for part in app.chart.render_line(y)}
        assert "color(6) on default" in styles and "dim color(6) on default" in styles
        app.theme = "textual-dark"
        await pilot.pause()
        assert "#5fd7ff" in str([part.style for part in app.chart.render_line(9)])


async def test_without_colour_and_with_the_terminal_s_own_nothing_is_black_on_black(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.theme = "ansi-dark"
        app.chart.show(chart())
        await pilot.pause()
        styles = {str(part.style) for y in range(20) for part in app.chart.render_line(y)}
        assert not [style for style in styles if "color(" in style or "#" in style]
