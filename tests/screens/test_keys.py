"""The line of keys at the bottom of a screen."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Footer

from screens.app import WorkbenchApp
from tests.screens.conftest import until
from workbench.workspace import Workspace


def keys(pilot: Pilot[None]) -> list[object]:
    return list(pilot.app.screen.query_one(Footer).children)


async def test_it_is_made_anew_where_other_keys_can_be_pressed_and_else_left(
    past: Workspace,
) -> None:
    app = WorkbenchApp(past)
    async with app.run_test() as pilot:
        await pilot.press("5")
        await until(pilot, lambda: keys(pilot))
        before = keys(pilot)
        app.screen.refresh_bindings()
        await pilot.pause()
        assert keys(pilot) == before
        await pilot.press("slash")
        await until(pilot, lambda: keys(pilot) != before)
        await pilot.press("escape")
        await until(pilot, lambda: len(keys(pilot)) == len(before))
