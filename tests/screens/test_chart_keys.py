"""The Monitor's keys that look closer at a run's curves."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from screens.app import WorkbenchApp
from screens.monitor_charts import Charts
from screens.widgets.line_chart import LineChart
from tests.screens.conftest import said, shown, until
from workbench.jobs.events import Alarm, CheckpointSaved, Evaluated, Event, Spiked, Started, Step
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG
from workbench.workspace import Workspace

RUN = "small-0001"
STEPS = 400


def started(resumed_from: int = 0) -> Started:
    return Started(
        total_steps=STEPS,
        epochs=4.0,
        train_rows=100,
        validation_rows=10,
        train_tokens=10_000,
        trainable_parameters=10,
        parameters=100,
        device="CPU",
        dtype="float32",
        resumed_from=resumed_from,
    )


def step(number: int) -> Step:
    loss = 9.0 if number == 123 else math.nan if number == 200 else 4 - number / STEPS
    return Step(number, number / 100, loss, 2e-4, 0.5, 100, 50, 0.1)


def course() -> list[Event]:
    """400 steps that spike at 123, have no number at 200, and were resumed from 300."""
    told: list[Event] = [started()]
    for number in range(1, 321):
        told.append(step(number))
        if number == 123:
            told.append(Spiked(123, 9.0, 3.7, []))
        if number % 100 == 0:
            told.append(Evaluated(number, 4.5 - number / STEPS, 10, 50))
            told.append(CheckpointSaved(number, f"step-{number}", "regular"))
    told.append(started(300))
    return told + [step(number) for number in range(301, STEPS + 1)]


def write(run: Path) -> None:
    (run / "train.jsonl").unlink()
    with LogWriter(run / "train.jsonl") as log:
        for event in course():
            log.write(event)
    with LogWriter(run / HOST_LOG) as log:
        log.write(Alarm("plateau", "info", 250, 0.0, "Flat.", "Why.", "Wait.", "Source."))


@pytest.fixture
def curves(past: Workspace) -> Workspace:
    """A workspace with a run of four hundred steps, and another of a few."""
    shutil.copytree(past.runs / RUN, past.runs / "other-0002")
    write(past.runs / RUN)
    return past


async def test_a_loss_that_never_was_a_number_keeps_its_chart(past: Workspace) -> None:
    run = past.runs / RUN
    (run / "train.jsonl").unlink()
    with LogWriter(run / "train.jsonl") as log:
        log.write(started())
        for number in range(1, 20):
            log.write(Step(number, 0.1, math.nan, 2e-4, 0.5, 100, 50, 0.1))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        large = app.screen.query_one("#large", LineChart)
        await until(pilot, lambda: "no value is a number" in large.text)
        assert large.text.startswith("loss")


async def test_a_long_name_leaves_room_for_state_and_step(past: Workspace) -> None:
    (past.runs / RUN).rename(past.runs / f"{'very-' * 30}long-0007")
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        first = shown(pilot, "#state").split("\n")[0]
        assert first.startswith("very-very-") and "..-0007" in first and "100%" in first
        assert len(first) <= 78


async def test_of_the_marks_only_the_newest_is_told(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        for place in (100, 123):
            await pilot.press("n")
            await until(pilot, lambda place=place: f"step {place}:" in said(pilot))
            assert len(app._notifications) == 1


def charts(pilot: Pilot[None]) -> Charts:
    return pilot.app.screen.query_one(Charts)


def large(pilot: Pilot[None]) -> str:
    return charts(pilot).large.text


def more(pilot: Pilot[None]) -> str:
    """What the list of runs says of the one under the cursor; empty where no list is open."""
    return "".join(str(box.visual) for box in pilot.app.screen.query("#more").results(Static))


async def opened(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: "train 3" in large(pilot) and "400" in large(pilot))


async def test_a_cursor_reads_values_and_goes_from_mark_to_mark(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        # At step 300 a resume hides the checkpoint, which hides the evaluation.
        for letter in "cr^!":
            assert letter in large(pilot).splitlines()[-2]
        await pilot.press("left")
        await until(pilot, lambda: "at step 400" in large(pilot))
        await pilot.press("b")
        await until(pilot, lambda: "at step 300" in large(pilot))
        assert "checkpoint" in said(pilot) and "evaluation 3.75" in said(pilot)
        assert "validation 3.75" in large(pilot)
        await pilot.press("b", "b", "b")
        await until(pilot, lambda: "at step 123" in large(pilot) and "train 9" in large(pilot))
        assert "spike 9.0000" in said(pilot)
        await pilot.press("n", "n")
        await until(pilot, lambda: "alarm (plateau: Flat.)" in said(pilot))
        await pilot.press("0")
        await until(pilot, lambda: " at step" not in large(pilot))


async def test_a_number_that_is_none_is_a_gap_and_a_resume_is_not_drawn_twice(
    curves: Workspace,
) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        pilot.app.screen.put_cursor(200)  # type: ignore[attr-defined]
        await until(pilot, lambda: "at step 200" in large(pilot))
        assert "train N/A" in large(pilot)
        await pilot.press("x")
        await until(pilot, lambda: "at tokens 20,000" in large(pilot))
        await pilot.press("0")
        # 400 steps of 100 tokens: those that were done twice are counted once.
        await until(pilot, lambda: "40k" in large(pilot).splitlines()[-1])


async def test_every_chart_shows_the_same_part_of_the_same_axis(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot)
        await pilot.press("plus", "plus")
        await until(pilot, lambda: charts(pilot).window)
        left, right = charts(pilot).window or (0, 0)
        assert 299 <= left <= 302 and right == 400
        await pilot.press("comma", "left")
        await until(pilot, lambda: (charts(pilot).window or (0, 0))[1] < 380)
        shown_charts = [chart for chart in pilot.app.screen.query(LineChart) if chart.display]
        assert len(shown_charts) == 4
        windows = {chart.window for chart in shown_charts}
        assert windows == {charts(pilot).window}
        assert len({chart.cursor for chart in shown_charts}) == 1
        await pilot.press("0")
        await until(pilot, lambda: charts(pilot).window is None)


@pytest.mark.parametrize(
    ("axis", "presses", "wanted"),
    [("tokens", 1, "tokens"), ("epoch", 2, "epoch"), ("time", 3, "time")],
)
async def test_x_is_counted_by_step_tokens_epoch_or_time(
    curves: Workspace, axis: str, presses: int, wanted: str
) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press(*["x"] * presses)
        await until(pilot, lambda: wanted in large(pilot).splitlines()[-1])
        await pilot.press("x" if axis == "time" else "m")
        await until(pilot, lambda: ("step" if axis == "time" else axis) in large(pilot))


async def test_smoothing_logarithm_and_one_chart_alone(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("w")
        await until(pilot, lambda: "smoothing 0.6" in large(pilot))
        await pilot.press("y")
        await until(pilot, lambda: "log" in large(pilot).splitlines()[0])
        await pilot.press("tab")
        await until(pilot, lambda: large(pilot).startswith("tokens/s"))
        # The axis is the loss's own.
        assert " log" not in large(pilot).splitlines()[0]
        before = charts(pilot).large.size.width
        await pilot.press("z")
        await until(pilot, lambda: charts(pilot).large.size.width == 160 > before)
        await pilot.press("z", "shift+tab")
        await until(pilot, lambda: charts(pilot).large.size.width == before)
        await until(pilot, lambda: large(pilot).startswith("loss"))


async def test_another_run_is_laid_over_and_taken_away(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "enter lays it over" in more(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "-0002 " in large(pilot))
        assert "a this run 3" in large(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "enter takes it away" in more(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "-0002" not in large(pilot))


async def test_an_alarm_is_explained_and_enter_goes_to_its_step(curves: Workspace) -> None:
    app = WorkbenchApp(curves, mode="monitor", run_id=RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "plateau" in shown(pilot, "#text"))
        for part in ("Flat.", "Why.", "Wait.", "Source."):
            assert part in shown(pilot, "#text")
        await pilot.press("enter")
        await until(pilot, lambda: "at step 250" in large(pilot))
