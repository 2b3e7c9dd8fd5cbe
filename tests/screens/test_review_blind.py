"""The Review screen: what it shows of a blind session; rubrics, accept and reject, adjudication."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from screens.app import WorkbenchApp
from screens.review_panes import Outputs, Pane
from tests.screens.conftest import until
from workbench.review import forms, making, sessions
from workbench.review.forms import Criterion, Form
from workbench.review.items import Item
from workbench.review.session import Session
from workbench.review.sources import Source
from workbench.workspace import Workspace

ME = "ann"
MODELS = ("zephyr-secret-7b", "quokka-v2")
SECRETS = (*MODELS, "hidden-run-0001", "evaluations", "outputs.jsonl", "row-key", "latency")
RUBRIC = Form(
    "rubric",
    criteria=(
        Criterion("helpful", "Does it help?", {1: "not at all", 5: "fully"}),
        Criterion("true", "Is it true?"),
    ),
)


def app(workspace: Workspace, session: str = "") -> WorkbenchApp:
    return WorkbenchApp(workspace, mode="review", session=session, annotator=ME)


def made(workspace: Workspace, form: Form, count: int = 3) -> Session:
    items = [
        Item(f"k{n}", f"Question {n}?", "", {MODELS[0]: f"Z {n}", MODELS[1]: f"Q {n}"})
        for n in range(count)
    ]
    return making.create(workspace, "first", items, systems=MODELS, seed=1, source={}, form=form)


def shown(pilot: Pilot[None]) -> str:
    """Every character that the terminal has, and what a person could copy of it."""
    screen = pilot.app.screen
    strips = screen._compositor.render_strips()
    drawn = "\n".join("".join(segment.text for segment in strip) for strip in strips)
    screen.text_select_all()
    copied = screen.get_selected_text() or ""
    notices = [note.message for note in pilot.app._notifications]
    title = f"{pilot.app.title} {pilot.app.sub_title} {pilot.app.clipboard}"
    screen.clear_selection()
    return "\n".join([drawn, copied, title, *notices])


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_nothing_on_the_screen_names_a_model_before_the_lock(
    workspace: Workspace, tmp_path: Path, size: tuple[int, int]
) -> None:
    folder = workspace.runs / "hidden-run-0001" / "evaluations" / "one"
    folder.mkdir(parents=True)
    rows = (
        {
            "key": f"row-key-{n}-{MODELS[0]}",
            "prompt": f"Question {n}?",
            "outputs": {MODELS[0]: f"Z {n}", MODELS[1]: f"Q {n}"},
            "latency": 3,
        }
        for n in range(4)
    )
    (folder / "outputs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    making.create_session(workspace, "first", [Source.of(folder)])
    seen = []
    async with app(workspace).run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        keys = ["d", "r", "1", "u", "f", "n", "x", "enter", "2", "0", "space", "R", "escape"]
        for key in [*keys, "1", "U", "n", "A", "u", "1", "escape", "question_mark", "escape"]:
            await pilot.press(key)
            await pilot.pause()
            seen.append(shown(pilot))
    assert any("Question" in text for text in seen)
    assert any("4 of 4 judged" in text or "3 of 4 judged, 1 skipped" in text for text in seen)
    for text in seen:
        for secret in SECRETS:
            assert secret not in text, text


async def test_digits_are_verdicts_while_judging_and_screens_elsewhere(
    workspace: Workspace,
) -> None:
    session = made(workspace, forms.PAIRS)
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("1")
        await pilot.press("5")
        assert pilot.app.current_mode == "review"
        assert [d.choice for d in session.recent(ME)] == ["left"]
        await pilot.press("escape", "5")
        assert pilot.app.current_mode == "runs"


async def test_a_rubric_is_answered_digit_by_digit_and_goes_on(workspace: Workspace) -> None:
    session = made(workspace, RUBRIC)
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "Does it help?   1 not at all   5 fully" in shown(pilot)
        await pilot.press("4")
        assert "helpful 4" in shown(pilot) and "Is it true?" in shown(pilot)
        await pilot.press("u", "5", "2")
        assert [d.ratings for d in session.recent(ME)] == [{"helpful": 5, "true": 2}]
        assert "1 of 6 judged" in shown(pilot)
        # Back over the end of the one before, rating by rating.
        await pilot.press("u")
        assert session.recent(ME) == []
        assert "helpful 5" in shown(pilot)
        await pilot.press("u", "3", "3")
        assert [d.ratings for d in session.recent(ME)] == [{"helpful": 3, "true": 3}]


async def test_accept_and_reject_with_a_reason_are_a_key_each(workspace: Workspace) -> None:
    session = made(workspace, forms.of_kind("accept"))
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for key in ("1", "3", "0", "9", "space"):
            await pilot.press(key)
            await pilot.pause()
    given = [(d.choice, d.reason) for d in session.recent(ME)][::-1]
    assert given == [
        ("accept", ""),
        ("reject", "not what was asked"),
        ("reject", ""),
        ("skip", ""),
    ]


async def test_a_flag_and_a_note_are_kept_with_the_verdict(workspace: Workspace) -> None:
    session = made(workspace, forms.PAIRS)
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("f", "n", *"says its name", "enter", "1")
        (decision,) = session.recent(ME)
        assert (decision.flag, decision.note) == (True, "says its name")
        await pilot.press("u")
        assert "flagged   note:  says its name" in shown(pilot)
        await pilot.press("f", "2")
        assert [(d.flag, d.choice) for d in session.recent(ME)] == [(False, "right")]


async def test_words_that_differ_are_marked_in_both(workspace: Workspace) -> None:
    outputs = {"base": "the cat sat here", "adapter": "the dog sat here"}
    making.create(workspace, "first", [Item("k", "?", "", outputs)], seed=1, source={})
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("d")
        marked = []
        for pane in pilot.app.screen.query_one(Outputs).query(Pane):
            text = pane.query_one(Static).content
            marked += [text.plain[s.start : s.end] for s in text.spans]  # type: ignore[union-attr]
        assert sorted(marked) == ["cat", "dog"]


async def test_what_others_disagree_on_is_decided_on_the_screen(workspace: Workspace) -> None:
    session = made(workspace, forms.PAIRS, 2)
    for who, model in (("bob", "Z"), ("cat", "Q")):
        while (task := session.next(who)) is not None:
            session.judge(who, task, "left" if task.left.startswith(model) else "right")
    session.lock()
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "A decides what others disagree on" in shown(pilot)
        await pilot.press("A")
        assert "disagreement 1 of 2" in shown(pilot) or "disagreement 2 of 2" in shown(pilot)
        assert MODELS[0] not in shown(pilot)
        await pilot.press("1")
        await pilot.press("0")
        await pilot.pause()
        assert "all were adjudicated" in shown(pilot)
    assert session.disputes() == (2, 2)


async def test_a_session_is_made_by_keys(workspace: Workspace) -> None:
    for run in ("one-0001", "two-0001"):
        folder = workspace.runs / run / "evaluations" / "e"
        folder.mkdir(parents=True)
        row = {"key": "k", "prompt": "?", "outputs": {"base": "same", "adapter": run}}
        (folder / "outputs.jsonl").write_text(json.dumps(row))
        (folder / "metrics.json").write_text("{}")
    async with app(workspace).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("c")
        titles = ("Outputs of which run?", "And of which other run?", "What is asked?")
        for title, wanted in zip(titles, ("two", "one", "pairs"), strict=True):
            await until(pilot, lambda title=title: title in shown(pilot))
            await pilot.press(*wanted, "enter")
        await until(pilot, lambda: "review-1" in shown(pilot))
    session = sessions.open(workspace, "review-1")
    assert session.systems == ("base", "two-0001", "one-0001")
