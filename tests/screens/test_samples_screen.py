"""The samples of a run: the overview, two evaluations side by side, what changed."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.samples import SamplesScreen, Texts, open_samples
from tests.screens.conftest import said, shown, until
from workbench.jobs.events import Answered, Started
from workbench.jobs.log import LogWriter
from workbench.workspace import Workspace

RUN = "small-0001"
LOG = "train.jsonl"
LOOP = "and so on and " * 12
EVIL = "ok\x1b[2J\x07 [bold red]b[/] " + LOOP


async def opened(pilot: Pilot[None], workspace: Workspace) -> SamplesScreen:
    open_samples(pilot.app, workspace.runs / RUN)
    await until(pilot, lambda: pilot.app.screen.query(Texts))
    await until(pilot, lambda: "prompts at" in shown(pilot, "#state"))
    screen = pilot.app.screen
    assert isinstance(screen, SamplesScreen)
    return screen


def say(workspace: Workspace, *events: object) -> None:
    with LogWriter(workspace.runs / RUN / LOG) as log:
        for event in events:
            log.write(event)  # type: ignore[arg-type]


def in_view(pilot: Pilot[None], selector: str) -> bool:
    return bool(pilot.app.screen.query_one(selector).display)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_two_evaluations_of_a_prompt_stand_beside_each_other(
    past: Workspace, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=size) as pilot:
        await opened(pilot, past)
        wide = size[0] >= 120
        assert "2 prompts at 3 evaluations, greedy" in shown(pilot, "#state")
        assert "line " in shown(pilot, "#overview") and "[·]" in shown(pilot, "#overview")
        assert "Is " in shown(pilot, "#prompt")
        # The last one, held against the one before.
        assert "step 40" in shown(pilot, "#right-head") and "step 20" in shown(pilot, "#left-head")
        assert "nothing wrong" in shown(pilot, "#right-head")
        await pilot.press("h", "h")
        assert "step 0" in shown(pilot, "#right-head")
        assert "cut: still going on at 48 tokens" in shown(pilot, "#right-head")
        await pilot.press("L", "L")
        assert "step 40" in shown(pilot, "#left-head")
        await until(pilot, lambda: "{+" in shown(pilot, "#right"))
        if wide:
            assert "[-" in shown(pilot, "#left") and "[-" not in shown(pilot, "#right")
        else:
            assert "[-" in shown(pilot, "#right") and not in_view(pilot, "#left")
        await pilot.press("d")
        assert shown(pilot, "#left").endswith("ok") and "{+" not in shown(pilot, "#right")
        assert in_view(pilot, "#left")
        assert not in_view(pilot, "#known")
        await pilot.press("r")
        assert in_view(pilot, "#known") and shown(pilot, "#known").endswith("ok")
        bottom = max(app.screen.query_one(part).region.bottom for part in ("#texts", "#heads"))
        assert bottom < size[1]
        await pilot.press("escape")
        assert not isinstance(app.screen, SamplesScreen)


async def test_where_it_began_to_degenerate_is_seen_and_gone_to(past: Workspace) -> None:
    first, second = 901, 902
    rows = ((50, "fine", "well"), (60, "fine", LOOP), (70, LOOP, LOOP))
    for step, one, two in rows:
        say(past, Answered(step, first, "Say A", one), Answered(step, second, "Say B", two))
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, past)
        assert "wrong since step 60, now 2" in shown(pilot, "#state")
        await pilot.press("h", "h", "n")
        assert "[LR" in shown(pilot, "#overview")
        head = shown(pilot, "#right-head")
        assert "step 60" in head and "loop: “" in head and "times to the end" in head
        assert "Say B" in shown(pilot, "#prompt")
        await pilot.press("n")
        assert "step 70" in shown(pilot, "#right-head") and "Say A" in shown(pilot, "#prompt")
        await pilot.press("slash", *"902", "enter")
        await until(pilot, lambda: "1 of 4 prompts" in shown(pilot, "#state"))
        assert "Say B" in shown(pilot, "#prompt")
        await pilot.press("slash", "x", "enter")
        assert "No prompt has that text." in shown(pilot, "#overview")
        await pilot.press("h", "n", "L", "z", "d")
        assert "Nothing is wrong" in said(pilot) or not in_view(pilot, "#texts")


async def test_what_a_model_says_is_shown_and_not_executed(past: Workspace) -> None:
    say(past, Answered(50, 901, "Say [bold]\x1b[2J", "ok"), Answered(60, 901, "Say", EVIL))
    say(past, Answered(60, 901, "Say [bold]\x1b[2J", EVIL))
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot, past)
        await pilot.press("j", "j")
        assert "Say [bold]\\x1b[2J" in shown(pilot, "#prompt")
        await until(pilot, lambda: "{+" in shown(pilot, "#right"))
        await pilot.press("d")
        assert "ok\\x1b[2J\\x07 [bold red]b[/] and so on" in shown(pilot, "#right")
        assert "broken: 2 control or broken characters: U+0007, U+001B" in shown(
            pilot, "#right-head"
        )
        for part in ("#state", "#overview", "#prompt", "#right-head", "#left", "#right"):
            assert "\x1b" not in shown(pilot, part) and "\x07" not in shown(pilot, part)


async def test_a_run_that_goes_on_is_followed_and_a_resumed_one_begins_again(
    past: Workspace,
) -> None:
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, past)
        prompt = shown(pilot, "#prompt").partition(": ")[2]
        row = int(shown(pilot, "#prompt").split()[1].rstrip(":"))
        say(past, Answered(50, row, prompt, "fifty"))
        await until(pilot, lambda: "step 50" in shown(pilot, "#right-head"))
        await pilot.press("h")
        say(past, Answered(60, row, prompt, "sixty"))
        await until(pilot, lambda: "5 evaluations" in shown(pilot, "#state"))
        assert "step 40" in shown(pilot, "#right-head"), "what one looks at stays"
        say(past, Started(9, 1.0, 9, 2, 99, 9, 99, "CPU", "float32", 20))
        await until(pilot, lambda: "2 evaluations" in shown(pilot, "#state"))
        assert "step 20" in shown(pilot, "#right-head")


async def test_long_answers_scroll_together(past: Workspace) -> None:
    words = [f"word{n}" for n in range(2000)]
    say(past, Answered(50, 901, "Say", " ".join(words)))
    say(past, Answered(60, 901, "Say", " ".join(reversed(words))))
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(160, 45)) as pilot:
        screen = await opened(pilot, past)
        await pilot.press("j", "j")
        await until(pilot, lambda: "{+" in shown(pilot, "#right"))
        left, right = screen.query_one("#left"), screen.query_one("#right")
        assert left.region.y == right.region.y
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: screen.query_one(Texts).scroll_offset.y > 30)
        await pilot.pause()
        assert left.region.y == right.region.y < 0
        await pilot.press("d", "G")
        await pilot.pause()
        assert "word1999" in shown(pilot, "#left") and "word0" in shown(pilot, "#right")


async def test_a_run_without_answers_says_how_to_get_some(past: Workspace) -> None:
    (past.runs / RUN / LOG).write_bytes(b"")
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        open_samples(app, past.runs / RUN)
        await until(pilot, lambda: app.screen.query(Texts))
        await until(pilot, lambda: "Nothing was answered yet" in shown(pilot, "#state"))
        await pilot.press("h", "l", "j", "k", "n", "d", "r", "z", "H", "o")
        assert not isinstance(app.screen, SamplesScreen)
