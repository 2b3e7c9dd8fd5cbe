"""No state is told by colour alone: a walk through the screens in ASCII and without colours."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from textual.app import App
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.appearance import PLAIN
from screens.base import TABS
from screens.example import differing
from screens.samples_text import drawn
from screens.widgets.confirm import Confirm
from tests.screens.conftest import until
from workbench.data.word_diff import word_diff
from workbench.jobs.events import Alarm
from workbench.jobs.log import LogWriter
from workbench.jobs.state import HOST_LOG, STATE
from workbench.review import making
from workbench.review.items import Item
from workbench.workspace import Workspace

RUN = "small-0001"


@pytest.fixture
def app(past: Workspace, monkeypatch: pytest.MonkeyPatch) -> WorkbenchApp:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("LOGNAME", "ann")
    plain = replace(PLAIN, theme="ansi-dark", symbols="ascii", colourless=True)
    return WorkbenchApp(past, appearance=plain)


def words(app: App[None]) -> list[str]:
    """The lines of the screen as text."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def reversed_lines(app: App[None]) -> list[str]:
    """What stands in reverse, of each line that has any."""
    lines = app.screen._compositor.render_strips()
    parts = ("".join(s.text for s in line if s.style and s.style.reverse) for line in lines)
    return [part.strip() for part in parts if part.strip()]


async def opened(pilot: Pilot[None], name: str) -> list[str]:
    await pilot.press(str(TABS.index(name) + 1))
    await until(pilot, lambda: getattr(pilot.app.screen, "NAME", "") == name)
    await pilot.pause()
    return words(pilot.app)


def put_status(past: Workspace, status: str) -> None:
    path = past.runs / RUN / STATE
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status}))


async def test_the_open_screen_is_told_in_its_tab(app: WorkbenchApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for number, name in enumerate(TABS, 1):
            tabs = (await opened(pilot, name))[0]
            assert f"[{number} {name.capitalize()}]" in tabs and tabs.count("[") == 1


async def test_cursor_mark_and_filter_of_a_table(app: WorkbenchApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "datasets")
        await pilot.press("enter")
        await until(pilot, lambda: "task" in words(app)[2])
        first = reversed_lines(app)
        await pilot.press("j")
        assert reversed_lines(app) != first
        before = words(app)
        await pilot.press("x")
        row = next(line for old, line in zip(before, words(app), strict=True) if "2 x" in line)
        assert row not in before
        await pilot.press("slash")
        assert "filter" in words(app)[-2] or "words, task:qa" in "".join(words(app))


async def test_how_a_run_is_stands_in_words_on_three_screens(
    app: WorkbenchApp, past: Workspace
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for status in ("stopped", "failed", "pre-empted", "finished"):
            put_status(past, status)
            for name, told in (
                ("runs", status),
                ("jobs", status),
                ("monitor", status.upper()),
            ):
                await opened(pilot, name)
                await until(pilot, lambda told=told: told in "\n".join(words(app)))


async def test_how_grave_a_notice_or_an_alarm_is(app: WorkbenchApp, past: Workspace) -> None:
    alarms = [
        Alarm(name, severity, 20, 1.7e9 + place, f"Seen: {name}.", "", "", "")
        for place, (name, severity) in enumerate(
            (("plateau", "info"), ("overfitting", "warning"), ("divergence", "error"))
        )
    ]
    with LogWriter(past.runs / RUN / HOST_LOG) as log:
        for alarm in alarms:
            log.write(alarm)
        log.write(replace(alarms[0], over=True))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for severity, sign in (("warning", "Warning: x"), ("error", "Error: x")):
            app.notify("x", severity=severity, markup=False)  # type: ignore[arg-type]
            await until(pilot, lambda sign=sign: sign in "\n".join(words(app)))
        app.clear_notifications()
        await opened(pilot, "monitor")
        await until(pilot, lambda: "divergence" in "\n".join(words(app)))
        await pilot.press("a")
        for alarm in alarms:
            graded = re.compile(rf"\b{alarm.severity} +{alarm.name}\b")
            await until(pilot, lambda graded=graded: any(map(graded.search, words(app)[2:8])))


async def test_which_side_was_judged_better(app: WorkbenchApp, past: Workspace) -> None:
    outputs = {"base": "yes", "adapter": "no"}
    items = [Item(f"row-{n}", f"Question {n}?", "", outputs) for n in range(4)]
    making.create(past, "first", items, seed=1, source={})
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "review")
        for place, (key, sign) in enumerate(
            (("1", "A"), ("2", "B"), ("0", "="), ("s", "–")), start=1
        ):
            await until(pilot, lambda place=place: f"{place} of 4" in "\n".join(words(app)))
            await pilot.press(key)
            await until(pilot, lambda sign=sign: f" {sign}" in _recent(app))


def _recent(app: App[None]) -> str:
    return next((line for line in words(app) if line.lstrip().startswith("last:")), "")


async def test_a_changed_field_and_a_wrong_one(app: WorkbenchApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "config")
        await pilot.press(*"jjjjj")
        before = words(app)
        await pilot.press("right")
        changed = [b for a, b in zip(before, words(app), strict=True) if a != b]
        assert any("*" in line for line in changed)


def test_what_a_diff_adds_and_removes_is_in_signs() -> None:
    pieces = word_diff("the cat sat", "the dog sat")
    assert "[-cat-]" in differing(pieces).plain and "{+dog+}" in differing(pieces).plain
    assert "[-cat-]" in drawn("", pieces, "both").plain


async def test_a_question_says_its_keys(app: WorkbenchApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Confirm("Stop it?"))
        await pilot.pause()
        assert "y  yes      n  no" in "\n".join(words(app))
