from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from screens.review import ReviewScreen
from screens.review_panes import Outputs, Pane
from workbench.review import making
from workbench.review.items import Item
from workbench.review.session import Session
from workbench.workspace import Workspace

ME = "ann"


@pytest.fixture(autouse=True)
def login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", ME)


class Host(App[None]):
    """The Review screen alone, on a workspace."""

    def __init__(self, workspace: Workspace, session: str = "") -> None:
        super().__init__()
        self.workspace = workspace
        self.session = session

    def on_mount(self) -> None:
        self.push_screen(ReviewScreen(self.session))


def make(
    workspace: Workspace,
    count: int = 3,
    name: str = "first",
    text: Callable[[str, int], str] = "{} answer {}".format,
) -> Session:
    items = [
        Item(
            f"row-{i}",
            f"Question {i}?",
            f"Wanted {i}",
            {"base": text("B", i), "adapter": text("A", i)},
        )
        for i in range(count)
    ]
    return making.create(workspace, name, items, seed=1, source={"evaluation": "secret-eval"})


def shown(pilot: Pilot[None]) -> str:
    """The text of everything that is on the screen now, model text included."""
    lines = []
    for widget in pilot.app.screen.query(Static):
        if widget.is_on_screen and widget.region.height:
            lines.append(str(widget.visual))
    return "\n".join(lines)


def text_of(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector).query_one(Static).visual)


async def test_without_a_session_it_says_what_to_do(workspace: Workspace) -> None:
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "workbench review create NAME --from RUN" in shown(pilot)


async def test_the_only_session_opens_and_shows_texts_without_names(workspace: Workspace) -> None:
    session = make(workspace)
    expected = session.next(ME)
    assert expected is not None
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        screen = shown(pilot)
        assert text_of(pilot, "#left") == expected.left
        assert text_of(pilot, "#right") == expected.right
        assert expected.prompt in screen
        assert "0 of 3 judged" in screen
        for secret in ("base", "adapter", "secret-eval", expected.reference):
            assert secret not in screen


@pytest.mark.parametrize(
    ("key", "choice"),
    [
        ("1", "left"),
        ("2", "right"),
        ("0", "tie"),
        ("a", "left"),
        ("h", "left"),
        ("left", "left"),
        ("b", "right"),
        ("l", "right"),
        ("right", "right"),
        ("t", "tie"),
        ("equals_sign", "tie"),
        ("s", "skip"),
        ("space", "skip"),
    ],
)
async def test_each_verdict_key_writes_at_once_and_goes_on(
    workspace: Workspace, key: str, choice: str
) -> None:
    session = make(workspace)
    first = session.next(ME)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press(key)
        assert first is not None
        assert [(d.item, d.choice) for d in session.recent(ME)] == [(first.item, choice)]
        assert text_of(pilot, "#left") != first.left
        assert "1 of 3 judged" in shown(pilot) or choice == "skip"


async def test_undo_shows_the_item_again_with_its_note(workspace: Workspace) -> None:
    session = make(workspace)
    first = session.next(ME)
    assert first is not None
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("n", *"too_salty_u", "enter", "a")
        assert [d.note for d in session.recent(ME)] == ["too_salty_u"]
        await pilot.press("u")
        assert session.recent(ME) == []
        assert text_of(pilot, "#left") == first.left
        assert "too_salty_u" in shown(pilot)
        await pilot.press("b")
        assert [(d.choice, d.note) for d in session.recent(ME)] == [("right", "too_salty_u")]


async def test_escape_leaves_a_note_as_it_was_and_the_session_open(workspace: Workspace) -> None:
    session = make(workspace)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("n", "x", "escape", "t")
        assert [(d.choice, d.note) for d in session.recent(ME)] == [("tie", "")]


async def test_the_reference_is_shown_on_demand(workspace: Workspace) -> None:
    make(workspace)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "Wanted" not in shown(pilot)
        await pilot.press("r")
        assert "Wanted" in shown(pilot)


async def test_the_report_at_the_end_is_blind_until_unblinding_is_confirmed(
    workspace: Workspace,
) -> None:
    make(workspace)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("a", "t", "b")
        report = shown(pilot)
        assert "3 of 3 judged" in report
        assert "stays hidden" in report
        assert "adapter" not in report
        await pilot.press("U", "n")
        assert "stays hidden" in shown(pilot)
        await pilot.press("U", "y")
        assert "adapter against base:" in shown(pilot)


async def test_unblinding_early_warns(workspace: Workspace) -> None:
    make(workspace)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("a", "R", "U")
        assert "Not everything is judged yet" in shown(pilot)


async def test_several_sessions_are_chosen_from_a_list(workspace: Workspace) -> None:
    make(workspace, name="one")
    make(workspace, count=5, name="two")
    (workspace.reviews / "broken.sqlite").write_bytes(b"no database" * 100)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        menu = pilot.app.screen.query_one(OptionList)
        lines = [str(option.prompt) for option in menu.options]
        assert [line.split()[0] for line in lines] == ["two", "one", "broken"]
        assert "0 of 5 judged" in lines[0]
        assert "not a database" in lines[2]
        await pilot.press("j", "enter")
        assert "one" in text_of_progress(pilot)
        await pilot.press("a", "escape", "enter")
        assert "two" in text_of_progress(pilot)


async def test_a_named_session_opens_at_once(workspace: Workspace) -> None:
    make(workspace, name="one")
    make(workspace, name="two")
    async with Host(workspace, "one").run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "one" in text_of_progress(pilot)


async def test_a_name_that_is_no_session_is_said_above_the_list(workspace: Workspace) -> None:
    make(workspace, name="one")
    async with Host(workspace, "gone").run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        assert any("no review session gone" in n.message for n in pilot.app._notifications)
        await pilot.press("enter")
        assert "one" in text_of_progress(pilot)


def text_of_progress(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#progress", Static).visual)


async def test_model_text_is_never_markup_and_never_reaches_the_terminal_raw(
    workspace: Workspace,
) -> None:
    make(workspace, text=lambda system, i: f"{system} [bold red]{i}[/] \x1b[31m\x07 tail")
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        left = text_of(pilot, "#left")
        assert "[bold red]" in left and "[/]" in left and "tail" in left
        assert "\x1b" not in left and "\x07" not in left


async def test_an_empty_output_says_so(workspace: Workspace) -> None:
    make(workspace, text=lambda system, i: "" if system == "A" else "words")
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "(empty)" in shown(pilot)


def long_text(system: str, i: int) -> str:
    return "\n".join(f"{system}{i} line {n}" for n in range(100 if system == "A" else 60))


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_both_outputs_scroll_together(workspace: Workspace, size: tuple[int, int]) -> None:
    make(workspace, text=long_text)
    async with Host(workspace).run_test(size=size) as pilot:
        await pilot.pause()
        left, right = pilot.app.screen.query_one(Outputs).query(Pane)
        await pilot.press("j", "j", "down", "k")
        await pilot.pause()
        assert left.scroll_y == right.scroll_y == 2
        await pilot.press("G")
        assert (left.scroll_y, right.scroll_y) == (left.max_scroll_y, right.max_scroll_y)
        longer, shorter = sorted((left, right), key=lambda pane: -pane.max_scroll_y)
        # Back up: the shorter text waits at its end until the longer one is there again.
        await pilot.press("k")
        assert longer.scroll_y == longer.max_scroll_y - 1
        assert shorter.scroll_y == shorter.max_scroll_y
        # A move of one pane alone, as by the mouse, takes the other along.
        longer.scroll_to(y=1, animate=False, immediate=True)
        await pilot.pause()
        assert shorter.scroll_y == min(1, shorter.max_scroll_y)
        await pilot.press("g")
        assert (left.scroll_y, right.scroll_y) == (0, 0)


async def test_a_long_prompt_scrolls_when_it_has_the_focus(workspace: Workspace) -> None:
    item = Item("k", long_text("P", 0), "", {"base": "x", "adapter": "y"})
    making.create(workspace, "first", [item], seed=1, source={})
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("shift+tab", "pagedown", "j")
        assert pilot.app.screen.query_one("#prompt", Pane).scroll_y > 1


@pytest.mark.parametrize("size", [(80, 24), (99, 30), (100, 30), (160, 45)])
async def test_a_and_b_stand_side_by_side_only_where_there_is_room(
    workspace: Workspace, size: tuple[int, int]
) -> None:
    make(workspace)
    async with Host(workspace).run_test(size=size) as pilot:
        await pilot.pause()
        left, right = pilot.app.screen.query_one(Outputs).query(Pane)
        beside = left.region.y == right.region.y
        assert beside == (size[0] >= 100)
        assert left.region.height >= 4 and right.region.height >= 4
        assert left.region.size == right.region.size


async def test_a_verdict_that_can_not_be_written_stays_on_its_item(workspace: Workspace) -> None:
    session = make(workspace)
    first = session.next(ME)
    assert first is not None
    async with Host(workspace).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        with sqlite3.connect(session.path) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON judgements"
                " BEGIN SELECT raise(ABORT, 'disk is full'); END"
            )
        await pilot.press("a")
        await pilot.pause()
        assert text_of(pilot, "#left") == first.left
        assert any("disk is full" in note.message for note in pilot.app._notifications)


@pytest.mark.parametrize(
    ("keys", "choice", "flag", "note"),
    [("fn", "", True, "ab12u"), ("ffn", "", False, "ab12u"), ("1n", "left", False, "ab12u")],
)
async def test_keys_before_a_note_count_however_fast_they_come(
    workspace: Workspace, keys: str, choice: str, flag: bool, note: str
) -> None:
    session = make(workspace)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for key in keys + note:
            pilot.app.post_message(events.Key(key, key))
        await pilot.pause()
        await pilot.press("enter", "t")
        tie, *before = session.recent(ME)
        assert (tie.choice, tie.flag, tie.note) == ("tie", flag, note)
        assert [each.choice for each in before] == ([choice] if choice else [])


async def test_what_is_skipped_comes_back_at_the_end_and_the_screen_says_so(
    workspace: Workspace,
) -> None:
    session = make(workspace)
    first = session.next(ME)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("space")
        assert "0 of 3 judged, 1 skipped (1 comes back)" in shown(pilot)
        await pilot.press("1", "2")
        assert first is not None and text_of(pilot, "#left") == first.left
        assert "skipped before: space leaves it out" in shown(pilot)
        await pilot.press("space")
        assert "2 of 3 judged, 1 skipped" in shown(pilot)
        assert "comes back" not in shown(pilot)


async def test_how_one_judges_is_shown_while_judging_without_a_name(workspace: Workspace) -> None:
    make(workspace, 14)
    async with Host(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("i")
        assert "chosen: nothing yet" in shown(pilot)
        await pilot.press("1", "1", "2", "0", "space")
        seen = shown(pilot)
        assert "4 of 14 judged, 1 skipped (1 comes back), 10 to go" in seen
        assert "chosen: A 2, B 1, tie 1" in seen
        assert "Left among left and right: 67%" in seen and "within chance" in seen
        assert "adapter" not in seen and "base" not in seen
        await pilot.press("i")
        assert "chosen:" not in shown(pilot)
