"""Every text of every screen can be read, whatever colours the terminal has, and without any."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.color import ColorSystem
from rich.terminal_theme import TerminalTheme
from textual.app import App
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.appearance import PLAIN
from screens.base import TABS
from tests.screens.conftest import shown, until
from tests.screens.contrast import DARK, LIGHT, poor
from tests.trained import Trained
from workbench.workspace import Workspace


def app_on(past: Workspace, theme: str, *, colourless: bool = False) -> WorkbenchApp:
    with pytest.MonkeyPatch.context() as environment:
        if colourless:
            environment.setenv("NO_COLOR", "1")
        return WorkbenchApp(past, appearance=replace(PLAIN, theme=theme, colourless=colourless))


async def opened(pilot: Pilot[None], number: int) -> None:
    """The screen of this number, drawn."""
    await pilot.press(str(number))
    await until(pilot, lambda: getattr(pilot.app.screen, "NAME", "") == TABS[number - 1])
    if TABS[number - 1] == "monitor":
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
    if TABS[number - 1] == "config":
        await until(pilot, lambda: getattr(pilot.app.screen, "judgement", None) is not None)
    await pilot.pause()


@pytest.mark.parametrize(
    ("theme", "system", "terminal"),
    [
        ("textual-dark", ColorSystem.TRUECOLOR, DARK),
        ("textual-dark", ColorSystem.EIGHT_BIT, DARK),
        ("textual-light", ColorSystem.TRUECOLOR, DARK),
        ("ansi-dark", ColorSystem.STANDARD, DARK),
        ("ansi-light", ColorSystem.STANDARD, LIGHT),
    ],
)
async def test_all_texts_can_be_read(
    past: Workspace, theme: str, system: ColorSystem, terminal: TerminalTheme
) -> None:
    app = app_on(past, theme)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        for number in range(1, len(TABS) + 1):
            await opened(pilot, number)
            assert_legible(app, terminal, system)
        for key in ("question_mark", "colon"):
            before = app.screen
            await pilot.press(key)
            await until(pilot, lambda before=before: app.screen is not before)
            assert_legible(app, terminal, system)
            await pilot.press("escape")
            await until(pilot, lambda before=before: app.screen is before)
        for severity in ("information", "warning", "error"):
            app.notify("a notice", severity=severity, markup=False)  # type: ignore[arg-type]
        await pilot.pause()
        assert_legible(app, terminal, system)


def assert_legible(app: App[None], terminal: TerminalTheme, system: ColorSystem) -> None:
    found = "\n".join(map(str, poor(app, terminal, system=system)))
    assert not found, f"on {app.screen}:\n{found}"


async def test_without_colours_only_the_terminal_s_own_are_written(past: Workspace) -> None:
    app = app_on(past, "ansi-dark", colourless=True)
    async with app.run_test(size=(120, 40)) as pilot:
        for number in range(1, len(TABS) + 1):
            await opened(pilot, number)
            assert colours_of(app) <= {None, "default"}
        await pilot.press("colon")
        await until(pilot, lambda: app.screen.is_modal)
        assert colours_of(app) <= {None, "default"}


def colours_of(app: App[None]) -> set[str | None]:
    return {
        colour.name if colour else None
        for strip in app.screen._compositor.render_strips()
        for segment in strip
        if segment.style is not None
        for colour in (segment.style.color, segment.style.bgcolor)
    }


@pytest.mark.parametrize("colourless", [True, False])
async def test_what_is_chosen_is_in_reverse_where_colours_are_few(
    past: Workspace, trained_run: Trained, colourless: bool
) -> None:
    app = app_on(past, "ansi-dark", colourless=colourless)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, 5)
        await until(pilot, lambda: in_reverse(app, "small-0001"))
        await pilot.press("slash", "x", "y")
        await until(pilot, lambda: "xy" in plain(app))
        # The cursor behind what was typed; it blinks.
        await until(pilot, lambda: in_reverse(app, " ", after="xy"))
        await pilot.press("escape", "colon")
        await until(pilot, lambda: app.screen.is_modal)
        await pilot.press("down")
        await until(pilot, lambda: any(style.reverse for _, style in segments(app)))


def segments(app: App[None]) -> list[tuple[str, object]]:
    return [
        (segment.text, segment.style)
        for strip in app.screen._compositor.render_strips()
        for segment in strip
        if segment.style is not None
    ]


def plain(app: App[None]) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def in_reverse(app: App[None], text: str, *, after: str = "") -> bool:
    found = segments(app)
    return any(
        text in shown and style.reverse and (not after or found[place - 1][0].endswith(after))  # type: ignore[attr-defined]
        for place, (shown, style) in enumerate(found)
    )
