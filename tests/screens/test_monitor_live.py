"""The Monitor on a run that goes on, and in a pane of a few lines."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import pytest
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.appearance import PLAIN
from screens.monitor import MonitorScreen
from screens.widgets.confirm import Confirm
from screens.widgets.line_chart import LineChart
from tests.screens.conftest import WorkIn, said, shown, until
from workbench.jobs.events import Alarm, Answered, CommandTaken, Notice, Skipped
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, STATE
from workbench.workspace import Workspace

RUN = "small-0001"
LOG = "train.jsonl"


def is_compact(pilot: Pilot[None]) -> bool:
    screen = pilot.app.screen
    parts = ("#tabs", "Footer", "#log")
    return isinstance(screen, MonitorScreen) and not any(
        screen.query_one(part).display for part in parts
    )


async def test_every_command_has_a_key(past: Workspace, work_in: WorkIn) -> None:
    # Its newest steps are in no checkpoint.
    shutil.rmtree(past.runs / RUN / "checkpoints" / "step-40")
    work_in(past.runs / RUN, "work in batches", LOG)
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "RUNNING" in shown(pilot, "#state"))
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in shown(pilot, "#state"))
        assert "holds its memory" in shown(pilot, "#state")
        await until(pilot, lambda: "frees processors" in said(pilot))
        await pilot.press("p")
        await until(pilot, lambda: "RUNNING" in shown(pilot, "#state"))
        # In one burst, with letters that are keys: the line takes them, and keeps the digits.
        await pilot.press("i", "2", "s", "5", "enter")
        await pilot.press("e", "s", "D")
        for asked in ("set interval 25", "evaluate now", "save now", "dump stacks"):
            await until(pilot, lambda asked=asked: f"asked for: {asked}" in shown(pilot, "#log"))
        await until(pilot, lambda: "The stacks are in small-0001/stacks." in said(pilot))
        await pilot.press("X")
        assert isinstance(app.screen, Confirm)
        assert "Its checkpoint of step 20 is kept" in shown(pilot, "#question")
        assert "the 20 steps since" in shown(pilot, "#question")
        await pilot.press("n", "S")
        assert "adapter so far are kept: nothing is lost" in shown(pilot, "#question")
        await pilot.press("y")
        await until(pilot, lambda: "STOPPED" in shown(pilot, "#state"))
        assert app.terminal_title.shown == f"{RUN}: stopped"


async def test_on_a_run_that_is_over_each_key_says_why_it_does_nothing(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        for key in "pesiDSX":
            app.clear_notifications()
            await pilot.press(key)
            await until(pilot, lambda: "It is finished, after step 40" in said(pilot))
        await pilot.press("R")
        await until(pilot, lambda: "nothing to go on with" in said(pilot))
        assert "c in Runs takes its config for a new run" in said(pilot)
        # Whoever only looks at it is told of no ending.
        assert app.terminal_title.shown is None


async def test_what_the_supervisor_notes_is_in_the_log(past: Workspace) -> None:
    with LogWriter(past.runs / RUN / HOST_LOG) as log:
        log.write(Notice("Started anew\x1b[2J.", "warning"))
        log.write(CommandTaken("1", "stop_now", refused="It has ended."))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "Started anew" in shown(pilot, "#log"))
        assert "Started anew\\x1b[2J." in shown(pilot, "#log")
        assert "asked for: stop now, refused: It has ended." in shown(pilot, "#log")


async def test_the_worst_alarm_is_in_the_state_and_each_in_the_log(past: Workspace) -> None:
    run = past.runs / RUN
    plateau = Alarm("plateau", "info", 9, 2.0, "Flat.", "Why.", "Do nothing.", "Source.")
    diverged = Alarm("divergence", "error", 7, 1.0, "Up\x1b[2J.", "Why.", "Stop it.", "Source.")
    with LogWriter(run / HOST_LOG) as log:
        log.write(diverged)
        log.write(plateau)
        log.write(replace(plateau, over=True))
    state = json.loads((run / STATE).read_text())
    alarms = [asdict(plateau), asdict(diverged)]
    (run / STATE).write_text(json.dumps({**state, "alarms": alarms}))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "!divergence +1 (a)  Up\\x1b[2J." in shown(pilot, "#state"))
        assert "loss" in shown(pilot, "#state") and "finished" in shown(pilot, "#state").lower()
        await until(pilot, lambda: "info plateau: over" in shown(pilot, "#log"))
        await until(pilot, lambda: "error divergence: Up\\x1b[2J." in shown(pilot, "#log"))
        assert "Stop it." in shown(pilot, "#log")
        await pilot.resize_terminal(80, 8)
        await until(pilot, lambda: is_compact(pilot))
        await until(pilot, lambda: "!divergence" in shown(pilot, "#state"))


async def test_what_the_training_finds_is_in_the_log(past: Workspace) -> None:
    with LogWriter(past.runs / RUN / LOG) as log:
        log.write(Skipped(41, "loss", [{"row": 42, "loss": None, "tokens": 9}]))
        log.write(Answered(41, 7, "Is 1\na number?", "ok\x1b[2J"))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 40)) as pilot:
        skipped = "warning: step 41 was skipped, for its loss is not a number; line 42"
        await until(pilot, lambda: skipped in shown(pilot, "#log"))
        assert "answered" not in shown(pilot, "#log")
        await pilot.press("slash", *"number?", "enter")
        await until(pilot, lambda: "line 7: Is 1⏎a number?" in shown(pilot, "#log"))
        await pilot.press("escape", "slash", *"answered", "enter")
        await until(pilot, lambda: "answered: ok\\x1b[2J" in shown(pilot, "#log"))
        app.written += 1 << 30  # a lot was sent of late: a key doesn't wait for it
        await pilot.press("escape", "slash", *"none such", "enter")
        await until(pilot, lambda: shown(pilot, "#log") == "No line of the log has that text.")


async def test_a_start_and_its_rehearsal_are_told_in_the_log(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 60)) as pilot:
        for words, wanted in (
            ("begins", "float32, micro-batches of 4 rows, packed"),
            ("largest", "the largest batch (4 rows, "),
            ("perplexity", "after step 0, perplexity "),
        ):
            await pilot.press("slash", *words, "enter")
            await until(pilot, lambda wanted=wanted: wanted in shown(pilot, "#log"))
            await pilot.press("escape")


@pytest.mark.parametrize("size", [(80, 8), (60, 6), (60, 12), (250, 6)])
async def test_a_pane_of_a_few_lines_holds_state_curve_and_machine(
    past: Workspace, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(past, mode="monitor", appearance=replace(PLAIN, symbols="ascii"))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        assert is_compact(pilot)
        assert "loss" in shown(pilot, "#state") and "step 40/40" in shown(pilot, "#state")
        chart = app.screen.query_one("#large", LineChart)
        assert chart.size.height == size[1] - 3 and "*" in chart.text
        machine = app.screen.query_one("#machine")
        assert "host" in shown(pilot, "#machine") and machine.region.bottom == size[1]


async def test_a_monitor_becomes_compact_with_its_pane_and_whole_again(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        assert not is_compact(pilot)
        for height in (5, 40, 3, 60, 8):
            await pilot.resize_terminal(80, height)
        await until(pilot, lambda: is_compact(pilot))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not is_compact(pilot))
        await until(pilot, lambda: "step 0" in app.screen.query_one("#large", LineChart).text)


async def test_compact_on_demand_whatever_the_height(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor", compact=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        assert is_compact(pilot)
        await pilot.press("p")
        await pilot.press("e")
        await until(pilot, lambda: "evaluate" in said(pilot))
        assert len(app._notifications) == 1
