"""The keys that look closer at a run's curves: zoom, cursor, axes, other runs laid over them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from screens.curves import CurvesScreen
from screens.widgets.pick import Choice, Pick
from workbench.history import panels
from workbench.history.history import History
from workbench.history.marks import Mark
from workbench.history.panels import Axis
from workbench.text import visible
from workbench.tracking import finding

_MOST_OTHERS = 6
"""Runs that are laid over one: more colours than that nobody tells apart."""
_AXES: tuple[Axis, ...] = ("step", "tokens", "epoch", "time")
_CLOSER = 2.0
_PANNED = 0.25
"""Of what is in view."""


class ChartScreen(CurvesScreen):
    """A run's charts with their keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "beside(1)", "Next figure", id="chart.beside"),
        Binding("M", "beside(-1)", "Figure before", show=False, id="chart.beside_back"),
        Binding("tab", "large(1)", "Next figure, large", show=False, id="chart.large"),
        Binding(
            "shift+tab", "large(-1)", "Figure before, large", show=False, id="chart.large_back"
        ),
        Binding("z", "alone", "This chart alone", show=False, id="chart.alone"),
        Binding("x", "axis", "X axis", show=False, id="chart.axis"),
        Binding("y", "log", "Logarithmic", show=False, id="chart.log"),
        Binding("w", "smooth", "Smoothing", show=False, id="chart.smooth"),
        Binding("plus,equals_sign", "zoom(1)", "Closer", show=False, id="chart.closer"),
        Binding("minus", "zoom(-1)", "Wider", show=False, id="chart.wider"),
        Binding("comma,less_than_sign", "pan(-1)", "Earlier part", show=False, id="chart.earlier"),
        Binding(
            "full_stop,greater_than_sign", "pan(1)", "Later part", show=False, id="chart.later"
        ),
        Binding("0", "whole", "All of it", show=False, id="chart.whole"),
        Binding("right,l", "cursor(1)", "Cursor right", show=False, id="chart.right"),
        Binding("left,h", "cursor(-1)", "Cursor left", show=False, id="chart.left"),
        Binding("L,shift+right", "cursor(10)", "Ten cells right", show=False, id="chart.far_right"),
        Binding("H,shift+left", "cursor(-10)", "Ten cells left", show=False, id="chart.far_left"),
        Binding("n", "mark(1)", "Next mark", show=False, id="chart.mark"),
        Binding("b", "mark(-1)", "Mark before", show=False, id="chart.mark_back"),
        Binding("o", "overlay", "Lay over", show=False, id="chart.overlay"),
    ]

    def action_beside(self, by: int) -> None:
        """Show another figure beside the large one."""
        self.charts.turn_beside(by)

    def action_large(self, by: int) -> None:
        """Show another figure in the large chart."""
        self.charts.turn_large(by)

    def action_alone(self) -> None:
        """The large chart alone, or with the others."""
        self.charts.toggle_alone()

    def action_axis(self) -> None:
        """Count x in steps, tokens, epochs or time."""
        step = self.cursor_step
        self.axis = _AXES[(_AXES.index(self.axis) + 1) % len(_AXES)]
        self.charts.reset()
        self.redraw_now()
        if step is not None:
            self.call_after_refresh(self.put_cursor, step)

    def action_log(self) -> None:
        """A logarithmic y axis, or the linear one."""
        self.charts.toggle_log()

    def action_smooth(self) -> None:
        """Draw the moving average with another weight."""
        weight = self.charts.smooth_next()
        self.notify(f"The moving average has weight {weight:g}." if weight else "No smoothing.")

    def action_zoom(self, by: int) -> None:
        """Look at half of what is in view, or at twice as much."""
        self.charts.zoom(_CLOSER if by > 0 else 1 / _CLOSER)

    def action_pan(self, by: int) -> None:
        """Move what is in view by a quarter."""
        if self.charts.window is None:
            self.notify("All of it is in view: + looks closer.")
        self.charts.pan(by * _PANNED)

    def action_whole(self) -> None:
        """All of the run, without a cursor."""
        self.charts.reset()

    def action_cursor(self, by: int) -> None:
        """Move the cursor, which reads the values off."""
        self.charts.move_cursor(by)

    @property
    def cursor_step(self) -> int | None:
        """The step under the cursor; None without one."""
        place = self.charts.cursor
        return None if place is None else panels.step_at(self.history, self.axis, place)

    def put_cursor(self, step: int) -> None:
        """The cursor at a step."""
        self.charts.put_cursor(panels.place_of(self.history, step, self.axis))

    def action_mark(self, by: int) -> None:
        """The cursor at the next alarm, spike, resume, checkpoint or evaluation."""
        step = self.cursor_step
        if step is None:
            step = -1 if by > 0 else 1 << 62
        marks = sorted(self.history.marks, key=lambda mark: mark.step)
        ahead = [mark for mark in marks if (mark.step > step if by > 0 else mark.step < step)]
        if not ahead:
            self.notify("There is no mark further on." if marks else "There are no marks yet.")
            return
        found = ahead[0] if by > 0 else ahead[-1]
        self.put_cursor(found.step)
        here = [_in_words(mark) for mark in ahead if mark.step == found.step]
        # The key is pressed many times in a row: only the newest is told.
        self.app.clear_notifications()
        self.notify(visible("; ".join(here)), markup=False)

    def action_overlay(self) -> None:
        """Lay another run's curves over this one's, or take them away."""
        self.app.push_screen(Pick("Lay a run over this one", self._choices), self._lay_over)

    def _choices(self) -> list[Choice]:
        own = self.run.name if self.run is not None else ""
        return [
            Choice(name, "enter takes it away" if name in self.others else "enter lays it over")
            for name in finding.ids(self.workspace)
            if name != own
        ]

    def _lay_over(self, name: str | None) -> None:
        if name is None:
            return
        if name in self.others:
            del self.others[name]
        elif len(self.others) >= _MOST_OTHERS:
            self.notify(f"{_MOST_OTHERS} runs are laid over it already: o takes one away.")
            return
        else:
            self.others[name] = History()
        self.follow_others()
        self.redraw_now()


def _in_words(mark: Mark) -> str:
    value = "" if mark.value is None else f" {mark.value:.4f}"
    text = f" ({mark.text})" if mark.text else ""
    return f"step {mark.step:,}: {mark.kind}{value}{text}"
