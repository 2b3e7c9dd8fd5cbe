"""What each key of a run says when it can't do anything now, and notes and tags by keys."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from screens.app import WorkbenchApp
from screens.noting import NoteLine, TagLine
from screens.widgets.confirm import Confirm
from tests.screens.conftest import said, shown, until
from workbench.jobs.events import (
    CheckpointSaved,
    CommandHandled,
    CommandTaken,
    Event,
    Paused,
    Progress,
    Started,
    Step,
)
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, JobState, start_ticks
from workbench.tracking import notes
from workbench.tracking.orders import Standing
from workbench.workspace import Workspace

RUN = "small-0001"
Live = Callable[..., Path]


@pytest.fixture
def live(past: Workspace, monkeypatch: pytest.MonkeyPatch) -> Live:
    """A run as its log and its state tell it; this very process is job and supervisor, and its
    heart beats once."""
    monkeypatch.setattr("workbench.jobs.state.STALLED_AFTER", 600.0)

    def make(*events: Event, host: tuple[Event, ...] = (), rows: int = 8, **state: Any) -> Path:
        run = past.runs / RUN
        for name in ("train.jsonl", HOST_LOG):
            (run / name).unlink()
        for path in (run / "checkpoints").iterdir():
            path.rename(run / f"was-{path.name}")
        with LogWriter(run / "train.jsonl") as log:
            log.write(Started(200, 1.0, 90, rows, 1, 1, 1, "CPU", "float32"))
            for event in events:
                log.write(event)
        pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
        more = {"host": socket.gethostname(), "started": time.time() - 60, **state}
        JobState("running", "train.jsonl", pid, ticks, pid, ticks, "", **more).write(run)
        with LogWriter(run / HOST_LOG) as log:
            for event in host:
                log.write(event)
        return run

    return make


def _names(app: WorkbenchApp) -> list[str]:
    """The runs that are listed."""
    return [line.id for line in app.screen.shown]  # type: ignore[attr-defined]


def step(number: int) -> Step:
    return Step(number, number / 200, 1.5, 1e-4, 1.0, 800, 50, 60.0)


STEPS = tuple(step(n) for n in range(1, 31))


@pytest.mark.parametrize(
    ("command", "events", "host", "told"),
    [
        ("save_now", (), (), "taken no step yet"),
        ("save_now", (*STEPS, Progress("saving a checkpoint", 0, 1)), (), "on its way already"),
        ("save_now", STEPS, (CommandTaken("1", "save_now"),), "on its way already"),
        ("pause", (*STEPS, Progress("saving a checkpoint", 0, 1)), (), "once that is whole"),
        ("pause", STEPS, (CommandTaken("1", "pause"),), "asked to pause already"),
        ("evaluate_now", (*STEPS, Progress("validation", 1, 8)), (), "being measured already"),
        ("stop", (*STEPS, CommandHandled("1", "stop")), (), "stopping already"),
        ("save_now", STEPS, (CommandTaken("1", "stop"),), "stopping already"),
        ("resume", STEPS, (), "not paused"),
        ("stop_now", STEPS, (CommandTaken("1", "stop"),), ""),
        ("save_now", STEPS, (), ""),
        ("pause", STEPS, (), ""),
        ("restart", STEPS, (), ""),
        ("resume", (*STEPS, CommandHandled("1", "pause"), Paused(30)), (), ""),
    ],
)
def test_why_not(
    live: Live, command: str, events: tuple[Event, ...], host: tuple[Event, ...], told: str
) -> None:
    why = Standing.of(live(*events, host=host)).why_not(command)
    assert told in why and bool(why) == bool(told)


def test_without_validation_rows_there_is_nothing_to_measure(live: Live) -> None:
    assert "no validation set" in Standing.of(live(*STEPS, rows=0)).why_not("evaluate_now")


def test_a_long_validation_does_not_hide_the_steps_before_it(live: Live) -> None:
    progress = (Progress("validation", n, 1000, "rows") for n in range(1000))
    standing = Standing.of(live(*STEPS, *progress))
    assert standing.view.step == 30 and standing.why_not("save_now") == ""


def test_a_checkpoint_of_this_step_needs_no_other(live: Live) -> None:
    run = live(*STEPS, CheckpointSaved(30, "step-30", "regular"))
    (run / "checkpoints" / "step-30").mkdir()
    assert "The checkpoint of step 30 is saved" in Standing.of(run).why_not("save_now")


def test_a_run_that_is_being_restarted_says_so(live: Live) -> None:
    run = live(*STEPS, host=(CommandTaken("1", "restart"),), again=True)
    assert "being restarted" in Standing.of(run).why_not("pause")
    assert "being restarted" in Standing.of(run).why_not("restart")
    assert Standing.of(run).why_not("stop") == ""


def test_a_run_of_another_machine_is_told_nothing_from_here(live: Live) -> None:
    run = live(*STEPS, host=(), boot="another")
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "host": "node7"}))
    for name in ("pause", "save_now", "stop", "restart"):
        assert "It runs on node7: commands reach it from there" in Standing.of(run).why_not(name)


def test_what_is_kept_and_lost_is_told_in_figures(live: Live) -> None:
    run = live(*STEPS)
    assert "no checkpoint yet: the 30 steps so far are lost" in Standing.of(run).at_stake(
        at_once=True
    )
    (run / "checkpoints" / "step-20").mkdir()
    standing = Standing.of(run)
    assert "the newest is of step 20" in standing.at_stake(at_once=False)
    assert "the 30 steps so far and the adapter so far are kept" in standing.at_stake(at_once=False)
    lost = standing.at_stake(at_once=True)
    assert "Its checkpoint of step 20 is kept" in lost and "the 10 steps since (some " in lost


async def test_restart_asks_and_a_stalled_run_is_ended_at_once(past: Workspace, live: Live) -> None:
    live(*STEPS)
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "RUNNING" in shown(pilot, "#state"))
        await pilot.press("R")
        assert isinstance(app.screen, Confirm)
        question = shown(pilot, "#question")
        assert "goes on from there in a new process" in question and "30 steps" in question
        assert "closing this terminal changes nothing" in question
        await pilot.press("n")
        state = JobState.read(past.runs / RUN)
        assert state is not None
        JobState(**{**asdict(state), "condition": "stalled"}).write(past.runs / RUN)
        await until(pilot, lambda: "STALLED" in shown(pilot, "#state"))
        await pilot.press("R")
        assert "a stop may never come" in shown(pilot, "#question")
        assert "30 steps so far are lost" in shown(pilot, "#question")


@pytest.mark.parametrize("mode", ["monitor", "runs"])
async def test_a_note_and_tags_by_keys(past: Workspace, mode: str) -> None:
    run = past.runs / RUN
    notes.tag(run, ["good", "golden"])
    other = past.runs / "other-0002"
    other.mkdir()
    (other / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    notes.tag(other, ["bad\x1b[2J".replace("\x1b[2J", "ly"), "best"])
    app = WorkbenchApp(past, mode=mode, run_id=RUN)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        if mode == "runs":
            await until(pilot, lambda: "of 2 runs" in shown(pilot, "#state"))
            app.screen.apply_filter("small")  # type: ignore[attr-defined]
            await until(pilot, lambda: "1 of 2" in shown(pilot, "#state"))
        else:
            await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        await pilot.press("N")
        assert isinstance(app.screen, NoteLine)
        app.screen.query_one(Input).value = "as good as it gets"
        await pilot.press("enter")
        await until(pilot, lambda: "Noted on small-0001." in said(pilot))
        await pilot.press("T")
        assert isinstance(app.screen, TagLine)
        there = app.screen.query_one("#there", Static)
        await until(pilot, lambda: "used here: badly (1) best (1)" in str(there.visual))
        assert "has: golden good" in str(there.visual)
        await pilot.press(*"-go", "tab", "space", *"be", "tab")
        assert app.screen.query_one(Input).value == "-golden best"
        await pilot.press("enter")
        await until(pilot, lambda: "has #best #good" in said(pilot))
        assert notes.read(run).tags == ("best", "good")
        (note,) = notes.read(run).notes
        assert note.text == "as good as it gets"
        if mode == "runs":
            await until(pilot, lambda: "#best #good  note" in shown(pilot, "#about"))
            for words, one in (("#badly", "other-0002"), ("#best gets", RUN)):
                app.screen.apply_filter(words)  # type: ignore[attr-defined]
                await until(pilot, lambda one=one: _names(app) == [one])


async def test_a_note_in_the_editor(past: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.noting.edited_outside", lambda app, text, name: f"{text} more\n")
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        await pilot.press("N", *"good", "ctrl+e")
        await until(pilot, lambda: "Noted" in said(pilot))
        assert notes.read(past.runs / RUN).notes[0].text == "good more"
