from __future__ import annotations

import pytest

from screens.appearance import Appearance, choose
from workbench.errors import WorkbenchError
from workbench.settings import Settings

XTERM = {"TERM": "xterm-256color"}


def chosen(
    settings: Settings = Settings(),  # noqa: B008
    *,
    symbols: str | None = None,
    encoding: str = "UTF-8",
    **environ: str,
) -> Appearance:
    return choose(settings, symbols, {**XTERM, **environ}, encoding)


def test_a_terminal_that_can_do_everything() -> None:
    assert chosen(COLORTERM="truecolor") == Appearance("textual-dark", "full", "braille")


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_t_place_a_cursor_is_refused_with_what_to_do(term: str) -> None:
    with pytest.raises(WorkbenchError, match="can't show the app") as caught:
        chosen(TERM=term)
    assert "attach --plain" in caught.value.hint


@pytest.mark.parametrize("term", ["xterm", "screen", "tmux", "linux", "vt220"])
def test_with_sixteen_colours_they_are_the_terminal_s_own(term: str) -> None:
    assert chosen(TERM=term).theme == "ansi-dark"
    # Unless a person, or what the terminal says of itself, knows better.
    assert chosen(Settings(theme="textual-light"), TERM=term).theme == "textual-light"
    assert chosen(TERM=term, COLORTERM="truecolor").theme == "textual-dark"
    assert chosen(TERM=f"{term}-256color").theme == "textual-dark"


def test_no_color_comes_before_a_theme() -> None:
    found = chosen(Settings(theme="nord"), NO_COLOR="1")
    assert found.colourless and found.theme == "ansi-dark"
    assert not chosen(NO_COLOR="").colourless


def test_a_theme_is_of_the_environment_else_of_the_settings_and_known() -> None:
    assert chosen(Settings(theme="nord")).theme == "nord"
    assert chosen(Settings(theme="nord"), TEXTUAL_THEME="gruvbox").theme == "gruvbox"
    with pytest.raises(WorkbenchError, match="no theme grubox") as caught:
        chosen(Settings(theme="grubox"))
    assert "Did you mean gruvbox?" in caught.value.hint


@pytest.mark.parametrize("far", ["SSH_CONNECTION", "SSH_TTY", "TMUX", "STY"])
def test_nothing_glides_over_ssh_unless_it_is_wanted(far: str) -> None:
    assert chosen(**{far: "x"}).animation == "none"
    assert chosen(Settings(animation="on"), **{far: "x"}).animation == "full"
    assert chosen(TEXTUAL_ANIMATIONS="basic", **{far: "x"}).animation == "basic"
    assert chosen(Settings(animation="off")).animation == "none"


def test_symbols_are_what_is_asked_for_as_far_as_they_can_be_shown() -> None:
    assert chosen(Settings(symbols="block")).symbols == "block"
    assert chosen(Settings(symbols="block"), symbols="ascii").symbols == "ascii"
    assert chosen(Settings(symbols="block"), encoding="ISO-8859-1").symbols == "ascii"
    # The console of Linux has no braille in its font.
    assert chosen(TERM="linux").symbols == "ascii"
    assert chosen(TERM="linux", symbols="braille").symbols == "braille"
