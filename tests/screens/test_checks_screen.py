"""Checks look at a key; what they found is decided about row by row; steps go off and on."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from screens import example
from screens.app import WorkbenchApp
from screens.checks import ChecksScreen
from screens.example import with_spans
from screens.widgets.row_table import RowTable
from tests.screens.conftest import said, shown, until
from workbench.data import query, replay_job, revising, versions
from workbench.data.browse import Looked
from workbench.data.curate import checks, looking, pii, thresholds
from workbench.data.curate.findings import Finding, Span
from workbench.data.draft import Draft
from workbench.data.example import Example, Message
from workbench.data.importing import Options, import_files
from workbench.data.recipe import Drop
from workbench.data.replay import make
from workbench.data.versions import Version
from workbench.jobs.progress import untold
from workbench.workspace import Workspace

Rows = Callable[..., Path]
WORDS = [f"word{n}" for n in range(400)]


def pair(prompt: str, answer: str = "Yes, it is so.") -> dict[str, Any]:
    return {"instruction": prompt, "output": answer}


def test_what_is_found_beside_the_turns_is_shown_where_it_is() -> None:
    example = Example(text="A law.", extra={"contact": "ann@example.com", "level": "high"})
    (found,) = pii.annotate([example], pii.Options(engine="light"))
    shown = with_spans(Looked(0, "", (example,)), found, found.spans)
    assert "email: an e-mail address, in extra.contact\n" in shown.plain
    assert "extra.contact\nann@example.com\n" in shown.plain and "high" not in shown.plain
    marked = [shown.plain[span.start : span.end] for span in shown.spans if "reverse" in str(span)]
    assert marked == ["ann@example.com"]


@pytest.fixture
def version(workspace: Workspace, write_rows: Rows) -> Version:
    """Rows with two addresses, a number and three near-duplicates, at 0.83, 0.73 and 0.56."""
    rows = [pair(" ".join(WORDS[30 * n : 30 * n + 30])) for n in range(9)]
    rows[1]["output"] = "Write to ann@example.com \x1b[31m or call +1 415 555 2671."
    rows[2]["output"] = "Write to eve@example.com."
    for places in ((3,), (3, 4, 5), (3, 10, 17)):
        words = [f"new{n}" if n in places else w for n, w in enumerate(WORDS[:30])]
        rows.append(pair(" ".join(words)))
    return import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))


def look(workspace: Workspace, version: Version, name: str) -> None:
    check = checks.get(name)
    looking.look(workspace, version, check, checks.options_of(check, {}), untold)


def table(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.screen.query_one(RowTable)
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def line_of(pilot: Pilot[None], name: str) -> str:
    return next((line for line in table(pilot) if line.startswith(name)), "")


async def open_checks(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: "rows" in shown(pilot, "#state"))
    await pilot.press("f")
    await until(pilot, lambda: "checks have looked" in shown(pilot, "#state"))


async def choose(pilot: Pilot[None], name: str) -> None:
    place = next(n for n, line in enumerate(table(pilot)) if line.startswith(name))
    pilot.app.screen.query_one(RowTable).cursor = place - 1
    await pilot.press("enter")


@asynccontextmanager
async def found_by(workspace: Workspace, version: Version, name: str) -> AsyncIterator[Pilot[None]]:
    """The Checks screen with what a check has found, chosen."""
    look(workspace, version, name)
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await open_checks(pilot)
        await choose(pilot, name)
        yield pilot


async def test_a_check_looks_with_options_and_says_what_is_wrong_with_them(
    workspace: Workspace, version: Version
) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await open_checks(pilot)
        assert "not looked" in line_of(pilot, "near-duplicates")
        await pilot.press("r", *"threshold=much", "enter")
        await until(pilot, lambda: "threshold of near-duplicates is a number" in said(pilot))
        await pilot.press("r", *"threshold=0.8", "enter")
        await until(pilot, lambda: "threshold=0.8" in line_of(pilot, "near-duplicates"))
        assert f"1 of {len(checks.names())} checks" in shown(pilot, "#state")
        await pilot.press("d")
        await until(pilot, lambda: "without the 1 rows" in shown(pilot, "#question"))
        await pilot.press("y")
        # The rows without it are shown, and nothing of the version before is gone.
        await until(pilot, lambda: "11 rows" in shown(pilot, "#state"))
        assert version.data_path.exists()


async def test_what_was_found_is_decided_about_by_keys_and_kept_at_once(
    workspace: Workspace, version: Version
) -> None:
    async with found_by(workspace, version, "personal-data") as pilot:
        await until(pilot, lambda: "1 of 3 findings in 2 rows" in shown(pilot, "#state"))
        # What is found is shown, and executed by no terminal.
        assert "ann@example.com \\x1b[31m or call" in shown(pilot, "#text")
        await pilot.press("a")
        # Both findings of that row are decided about.
        await until(pilot, lambda: "3 of 3" in shown(pilot, "#state"))
        assert [line.split()[:2] for line in table(pilot)[1:3]] == [["2", "ok"], ["2", "ok"]]
        await pilot.press("x")
        await until(pilot, lambda: "1 row go or change, 1 stay" in shown(pilot, "#state"))
        decided = [(d.do, d.row, d.check) for d in Draft(version.folder).waiting]
        assert decided == [("keep", 1, "personal-data"), ("remove", 2, "personal-data")]
        await pilot.press("u", "space", "g", "n")
        await until(pilot, lambda: pilot.app.screen.query_one(RowTable).cursor == 2)
        assert [d.row for d in Draft(version.folder).waiting] == [1]
        await pilot.press("x", "W")
        await until(pilot, lambda: "Rows left out: 1" in shown(pilot, "#question"))
        await pilot.press("y")
        await until(pilot, lambda: "11 rows" in shown(pilot, "#state"))
        made = versions.resolve(workspace, "mine")
        look(workspace, made, "personal-data")
        await open_checks(pilot)
        await choose(pilot, "personal-data")
        # Who let it stay isn't asked again.
        await until(pilot, lambda: "findings" in shown(pilot, "#state"))
        assert [line.split()[:2] for line in table(pilot)[1:3]] == [["2", "ok"], ["2", "ok"]]


async def test_personal_data_gives_way_to_placeholders(
    workspace: Workspace, version: Version
) -> None:
    look(workspace, version, "personal-data")
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await open_checks(pilot)
        await pilot.press("p")
        assert "Placeholders are for" in said(pilot)
        screen = app.screen.query_one(RowTable)
        screen.cursor = [line.split()[0] for line in table(pilot)[1:6]].index("personal-data")
        await pilot.press("p", "y")
        await until(pilot, lambda: versions.resolve(workspace, "mine").sha256 != version.sha256)
        texts = [e.response for e in versions.read(versions.resolve(workspace, "mine"))]
        assert "Write to [EMAIL_1] \x1b[31m or call [PHONE_1]." in texts


async def test_the_threshold_moves_over_the_pairs_at_its_border(
    workspace: Workspace, version: Version
) -> None:
    async with found_by(workspace, version, "near-duplicates") as pilot:
        await until(pilot, lambda: "[0.70: 2 go]" in shown(pilot, "#state"))
        assert "0.75: 1" in shown(pilot, "#state") and "0.60: 2" in shown(pilot, "#state")
        (first, *others) = table(pilot)[1:]
        assert first.split()[:4] == ["11", "0.73", "goes", "1"] and not any(others)
        await until(pilot, lambda: "new3" in shown(pilot, "#text"))
        assert "word3" in shown(pilot, "#text")
        await pilot.press("left", "left", "left")
        await until(pilot, lambda: "[0.55: 3 go]" in shown(pilot, "#state"))
        assert table(pilot)[1].split()[:3] == ["12", "0.56", "goes"]
        await pilot.press("right")
        await until(pilot, lambda: "[0.60: 2 go]" in shown(pilot, "#state"))
        assert table(pilot)[1].split()[:3] == ["12", "0.56", "stays"]
        await pilot.press("escape")
        await until(pilot, lambda: "checks have looked" in shown(pilot, "#state"))
        # The thresholds are one line: they are all behind it.
        # And what was asked for is what a query goes by, not what was written last.
        assert len(query.flags_of(version)["near-duplicates"]) == 2
        duplicates = [line.split()[:2] for line in table(pilot) if "near-duplicates " in line]
        assert duplicates == [["near-duplicates", "2"]]
        await choose(pilot, "near-duplicates")
        await until(pilot, lambda: "[0.70: 2 go]" in shown(pilot, "#state"))
        await pilot.press("left", "left")
        await until(pilot, lambda: "[0.60: 2 go]" in shown(pilot, "#state"))
        await pilot.press("d")
        await until(pilot, lambda: "without the 2 rows" in shown(pilot, "#question"))
        await pilot.press("y")
        await until(pilot, lambda: "10 rows" in shown(pilot, "#state"))
        (step,) = revising.recipe_of(versions.resolve(workspace, "mine")).steps
        assert isinstance(step, Drop) and step.options == {"threshold": 0.6}


def test_every_threshold_finds_what_a_check_at_it_finds(
    workspace: Workspace, version: Version
) -> None:
    thresholds.look(version)
    found = thresholds.known(version)
    counts = [found[threshold].flagged for threshold in thresholds.THRESHOLDS]
    assert counts == sorted(counts, reverse=True) and (counts[0], counts[-1]) == (3, 0)
    for threshold in (0.55, 0.7):
        other = make(
            workspace,
            revising.with_step(
                version, Drop(check="near-duplicates", options={"threshold": threshold})
            ),
        )
        assert version.rows - other.rows == found[threshold].flagged


async def test_steps_show_what_each_did_and_go_off_and_on(
    workspace: Workspace, version: Version
) -> None:
    dropped = make(workspace, revising.with_step(version, Drop(check="near-duplicates")))
    app = WorkbenchApp(workspace, dataset=dropped.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "10 rows" in shown(pilot, "#state"))
        await pilot.press("w")
        await until(pilot, lambda: any("drop near-dup" in line for line in table(pilot)))
        assert "12         10         2" in line_of(pilot, "drop near-duplicates")
        await pilot.press("G", "space")
        await until(pilot, lambda: line_of(pilot, "(off) drop near-dup"))
        assert shown(pilot, "#state").startswith("12 rows")
        await pilot.press("space")
        await until(pilot, lambda: shown(pilot, "#state").startswith("10 rows"))
        # A step of the version before: everything after it is done again.
        app.screen.query_one(RowTable).cursor = 1
        await pilot.press("space")
        await until(pilot, lambda: line_of(pilot, "(off) strip end"))
        assert shown(pilot, "#state").startswith("10 rows")
        await pilot.press("g", "space")
        assert "can't be switched off" in said(pilot)
        await pilot.press("G", "u")
        await until(pilot, lambda: shown(pilot, "#state").startswith("12 rows"))


async def test_a_row_that_a_step_left_out_is_explained_and_brought_back(
    workspace: Workspace, version: Version
) -> None:
    dropped = make(workspace, revising.with_step(version, Drop(check="near-duplicates")))
    app = WorkbenchApp(workspace, dataset=dropped.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "10 rows" in shown(pilot, "#state"))
        await pilot.press("w")
        await until(pilot, lambda: any("drop near-dup" in line for line in table(pilot)))
        await pilot.press("G", "enter")
        await until(pilot, lambda: "2 rows that drop" in shown(pilot, "#state"))
        assert "rows.jsonl:10" in table(pilot)[1] and "of the threes" in shown(pilot, "#text")
        await pilot.press("r")
        await until(pilot, lambda: shown(pilot, "#state").startswith("11 rows"))
        # Back from the steps to the rows of that version.
        await pilot.press("escape")
        await until(pilot, lambda: shown(pilot, "#state").startswith("11 rows  ·"))


async def test_rows_that_could_not_be_read_are_mended_at_a_key(
    workspace: Workspace, write_rows: Rows
) -> None:
    user, other = ({"role": role, "content": f"I am the {role}."} for role in ("user", "assistant"))
    rows = [pair(f"Question {n}?") for n in range(5)]
    path = write_rows(*rows, {"messages": [user, user, other]}, "no JSON at all")
    options = Options(validation_share=0, skip_bad=True)
    version = import_files(workspace, [path], "mine", options)
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: "5 rows" in shown(pilot, "#state"))
        await pilot.press("w")
        await until(pilot, lambda: line_of(pilot, "read"))
        await pilot.press("g", "enter")
        await until(pilot, lambda: "2 rows that read left out" in shown(pilot, "#state"))
        assert "r joins" in shown(pilot, "#text") and "I am the assistant." in shown(pilot, "#text")
        await pilot.press("j")
        await until(pilot, lambda: "no JSON at all" in shown(pilot, "#text"))
        await pilot.press("r")
        assert "No repair makes a row of it" in said(pilot)
        await pilot.press("k", "r")
        await until(pilot, lambda: shown(pilot, "#state").startswith("6 rows"))
        assert line_of(pilot, "repair")


async def test_every_check_is_explained(workspace: Workspace, version: Version) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30)) as pilot:
        await open_checks(pilot)
        for name in checks.names():
            await until(pilot, lambda name=name: shown(pilot, "#text").startswith(name))  # type: ignore[misc]
            await pilot.press("j")


async def test_a_finding_far_down_a_large_file_is_shown_and_decided_about(
    workspace: Workspace, write_rows: Rows
) -> None:
    rows = [pair(f"{n} " + "much to say " * 100) for n in range(1500)]
    rows.append(pair("Who?", "Write to ann@example.com."))
    options = Options(validation_share=0)
    version = import_files(workspace, [write_rows(*rows)], "large", options)
    assert version.data_path.stat().st_size > 1 << 20
    async with found_by(workspace, version, "personal-data") as pilot:
        await until(pilot, lambda: "ann@example.com" in shown(pilot, "#text"))
        await pilot.press("x")
        await until(pilot, lambda: "goes" in table(pilot)[1])


async def test_what_is_decided_in_findings_is_in_the_draft_of_the_rows(
    workspace: Workspace, version: Version
) -> None:
    look(workspace, version, "personal-data")
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "12 rows" in shown(pilot, "#state"))
        await pilot.press("x")
        await open_checks(pilot)
        await choose(pilot, "personal-data")
        await until(pilot, lambda: "findings" in shown(pilot, "#state"))
        await pilot.press("x", "escape", "escape")
        await until(pilot, lambda: "draft of 2" in shown(pilot, "#state"))
        # Another window decides, too, and is seen.
        Draft(version.folder).decide("remove", 5, list(versions.read(version))[5])
        await until(pilot, lambda: "draft of 3" in shown(pilot, "#state"))
        await pilot.press("W")
        await until(pilot, lambda: "Rows left out: 3" in shown(pilot, "#question"))
        await pilot.press("y")
        await until(pilot, lambda: "9 rows" in shown(pilot, "#state"))


async def test_a_job_that_ends_under_another_screen_leaves_that_alone(
    workspace: Workspace, version: Version
) -> None:
    look(workspace, version, "near-duplicates")
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await open_checks(pilot)
        await pilot.press("d")
        await until(pilot, lambda: "without the 2 rows" in shown(pilot, "#question"))
        asked_for = app.screen_stack[-2]
        assert isinstance(asked_for, ChecksScreen)
        await pilot.press("y", "2")
        await until(pilot, lambda: app.current_mode == "config")
        await until(pilot, lambda: not asked_for.at_work)
        assert versions.resolve(workspace, "mine").rows == 10
        assert app.current_mode == "config"
        await pilot.press("1")
        await until(pilot, lambda: "10 rows" in shown(pilot, "#state"))


async def test_who_has_a_version_made_stays_until_it_is_there(
    workspace: Workspace, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed, start = threading.Event(), replay_job.start

    def start_late(*asked: Any) -> Path:
        assert pressed.wait(60)
        return start(*asked)

    monkeypatch.setattr(replay_job, "start", start_late)
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "12 rows" in shown(pilot, "#state"))
        await pilot.press("x", "W")
        await until(pilot, lambda: "Rows left out: 1" in shown(pilot, "#question"))
        await pilot.press("y", "x", "e", "escape")
        assert "It is still making a version" in said(pilot)
        pressed.set()
        await until(pilot, lambda: "11 rows" in shown(pilot, "#state"))
        assert len(Draft(version.folder)) == 0


async def test_a_version_that_is_gone_is_said_in_its_steps(
    workspace: Workspace, version: Version
) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "12 rows" in shown(pilot, "#state"))
        await pilot.press("w")
        await until(pilot, lambda: line_of(pilot, "read"))
        shutil.rmtree(version.folder)
        await pilot.press("j", "k", "g")
        await until(pilot, lambda: "version.json" in shown(pilot, "#text"))


def test_a_row_of_very_many_turns_is_laid_out_in_part() -> None:
    turns = [Message(role, "word " * 50) for _ in range(2000) for role in ("user", "assistant")]
    looked = Looked(0, "", (Example(tuple(turns)),))
    text = str(example.turns(looked))
    assert len(text) < 40_000 and "turns more" in text
    span = Span("messages[3900].content", 0, 4, "rule")
    marked = str(example.with_spans(looked, Finding(0, "kind", "why", spans=(span,)), (span,)))
    assert len(marked) < 60_000 and "turns more" in marked
