"""The conversation's screen, with the real models behind it."""

from __future__ import annotations

import shutil
from pathlib import Path

from textual.widgets import Input, TextArea

from screens.app import WorkbenchApp
from screens.chat import ChatScreen
from screens.chat_turn import Turn
from tests.screens.conftest import said, shown, until
from tests.trained import ANSWER, Trained
from workbench.data import versions
from workbench.workspace import Workspace


def turns(app: WorkbenchApp) -> str:
    return "\n".join(
        str(static.visual) for turn in app.screen.query(Turn) for static in turn.query("Static")
    )


async def test_a_turn_is_answered_by_both_and_corrected(
    trained_run: Trained, past: Workspace
) -> None:
    app = WorkbenchApp(past, mode="chat", run_id=trained_run.run.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        assert "greedy, at most 512 tokens" in shown(pilot, "#state").replace("\n ", " ")
        await pilot.press("escape", "o")
        app.screen.query_one("#sampling", Input).value = "temperature=x"
        await pilot.press("enter")
        assert "temperature takes a number, not x." in said(pilot)
        app.screen.query_one("#sampling", Input).value = "max_new_tokens=8"
        await pilot.press("enter", "i", *"Is 3 [b]a\\[/b] number", "enter")
        await until(pilot, lambda: ANSWER in turns(app) and "…" not in turns(app))
        # All is said, and that it is: from then on a turn can be worked with.
        await until(pilot, lambda: app.screen.check_action("prompt", ()))
        text = turns(app)
        assert "> Is 3 [b]a\\[/b] number" in text
        await pilot.press("p")
        assert "<|im_start|>assistant" in turns(app)
        await pilot.press("p", "tab", "c")
        await until(pilot, lambda: app.screen.query(TextArea))
        area = app.screen.query_one(TextArea)
        area.text = area.text.replace(f"content: {ANSWER}", "content: it is")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "It is row 1 of corrections@" in said(pilot))
        (version,) = (v for v in versions.list_versions(past) if v.name == "corrections")
        (row,) = versions.read(version)
        assert row.messages[-1].content == "it is"
        screen = app.screen
        assert isinstance(screen, ChatScreen)
        await pilot.press("backspace")
        await until(pilot, lambda: app.current_mode == "runs")


async def test_what_cannot_be_loaded_is_told_on_the_screen(past: Workspace) -> None:
    run = next(path for path in Path(past.runs).iterdir() if path.is_dir()).name
    shutil.rmtree(past.runs / run / "adapter")
    app = WorkbenchApp(past, mode="chat", run_id=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "has no adapter yet" in said(pilot))
        assert "loading" not in shown(pilot, "#state")
