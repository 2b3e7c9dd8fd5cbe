"""The rows of a version: found, sorted, set as Markdown, taken out and rewritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from screens.app import WorkbenchApp
from screens.widgets.row_table import RowTable
from tests.screens.conftest import fill_in, said, shown, until
from workbench.data import versions
from workbench.data.curate import checks, looking
from workbench.data.draft import Draft
from workbench.data.importing import Options, import_files
from workbench.data.versions import Version
from workbench.jobs.progress import untold
from workbench.workspace import Workspace

Rows = Callable[..., Path]
MAIL = "Write to ann@example.com now."


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"Question {number}?", "output": f"Answer {number}.", **more}


def version_of(workspace: Workspace, write_rows: Rows, *rows: dict[str, Any]) -> Version:
    return import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))


def table(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.screen.query_one(RowTable)
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def numbers(pilot: Pilot[None]) -> list[str]:
    return [line.split()[0] for line in table(pilot)[1:] if line]


async def write(pilot: Pilot[None], key: str, text: str) -> None:
    """Find by, or sort by."""
    await fill_in(pilot, key, "#filter" if key == "slash" else "#sort", text)


async def test_rows_are_found_by_terms_and_sorted_and_all_are_there_again(
    workspace: Workspace, write_rows: Rows
) -> None:
    rows = [pair(n, output="x" * n, task="qa" if n % 2 else "sum") for n in range(1, 10)]
    version = version_of(workspace, write_rows, *rows)
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "9 rows" in shown(pilot, "#state"))
        await write(pilot, "slash", "task:qa response>2")
        await until(pilot, lambda: "4 of 9 rows" in shown(pilot, "#state"))
        assert numbers(pilot) == ["3", "5", "7", "9"]
        await write(pilot, "s", "-response")
        await until(pilot, lambda: numbers(pilot) == ["9", "7", "5", "3"])
        assert "by -response" in shown(pilot, "#state")
        await pilot.press("escape")
        await until(pilot, lambda: numbers(pilot) == [str(n) for n in range(9, 0, -1)])
        await write(pilot, "slash", "tokens>3")
        await until(pilot, lambda: "workbench model prepare default" in said(pilot))


async def test_rows_are_found_by_their_tokens(
    workspace: Workspace, write_rows: Rows, _tiny_model: Path
) -> None:
    version = version_of(workspace, write_rows, pair(1, output="a b c d e f g h i j"), pair(2))
    app = WorkbenchApp(workspace, dataset=version.reference, base=str(_tiny_model))
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await write(pilot, "s", "tokens")
        await until(pilot, lambda: numbers(pilot) == ["2", "1"])


async def test_rows_are_found_by_what_checks_flag(workspace: Workspace, write_rows: Rows) -> None:
    version = version_of(workspace, write_rows, pair(1), pair(2, output=MAIL), pair(3))
    check = checks.get("personal-data")
    looking.look(workspace, version, check, checks.options_of(check, {}), untold)
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(100, 24)) as pilot:
        await write(pilot, "slash", "flag:email")
        await until(pilot, lambda: "1 of 3 rows" in shown(pilot, "#state"))
        assert numbers(pilot) == ["2"]


async def test_what_can_t_be_asked_is_said(workspace: Workspace, write_rows: Rows) -> None:
    version = version_of(workspace, write_rows, pair(1), pair(2))
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await write(pilot, "slash", "response>abc")
        await until(pilot, lambda: "compares response with no number" in said(pilot))
        await write(pilot, "s", "colour")
        await until(pilot, lambda: "compares response with no number" in said(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "None of the rows has the field colour" in said(pilot))


async def test_what_is_taken_out_and_rewritten_waits_and_becomes_a_version(
    workspace: Workspace, write_rows: Rows
) -> None:
    version = version_of(workspace, write_rows, *map(pair, range(1, 6)))
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("u")
        assert "no decision to take back" in said(pilot)
        await pilot.press("x", "x", "e")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        area = app.screen.query_one(TextArea)
        assert "content: Question 3?" in area.text
        area.text = "messages: ["
        await pilot.press("ctrl+s")
        assert "It is no YAML" in shown(pilot, "#problem")
        area.text = "messages:\n- {role: user, content: Q}\n- {role: assistant, content: New.}\n"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "New." in shown(pilot, "#text"))
        assert [line.split()[1] for line in table(pilot)[1:4]] == ["x", "x", "e"]
        # Undone in their order, from the last.
        await pilot.press("u", "u")
        draft = Draft(version.folder)
        assert [d.row for d in draft.waiting] == [0]
        assert app.screen.query_one(RowTable).cursor == 1
        await pilot.press("j", "e")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        app.screen.query_one(TextArea).text = area.text
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "draft of 2" in shown(pilot, "#state"))
        await pilot.press("W")
        await until(pilot, lambda: "rewritten: 1" in shown(pilot, "#question"))
        await pilot.press("y")
        await until(pilot, lambda: "4 rows" in shown(pilot, "#state"))
        made = versions.resolve(workspace, "mine")
        assert [e.response for e in versions.read(made)] == [
            "Answer 2.",
            "New.",
            "Answer 4.",
            "Answer 5.",
        ]
        assert len(Draft(version.folder)) == 0
        assert made.reference in shown(pilot, "#state")


async def test_a_row_is_rewritten_in_the_editor_that_is_named(
    workspace: Workspace, write_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(workspace, write_rows, *map(pair, range(1, 4)))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "no-such-editor --wait")
    app = WorkbenchApp(workspace, dataset=version.reference)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        await pilot.press("ctrl+e")
        # Nothing can be lent where there is no terminal; in one, tests/e2e edits for real.
        await until(pilot, lambda: "can't be" in shown(pilot, "#problem"))
        await pilot.press("escape")
        await pilot.pause()
        assert len(Draft(version.folder)) == 0


async def test_rows_of_a_plain_file_are_not_changed_and_texts_are_set_as_markdown(
    workspace: Workspace, write_rows: Rows
) -> None:
    path = write_rows(pair(1, output="# Head\n\n- one\n- two\n\x1b[31m"))
    app = WorkbenchApp(workspace, dataset=str(path))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("x", "e", "W", "f", "w", "m")
        await pilot.pause()
        assert type(app.screen).__name__ == "RowsScreen"
        lines = app.screen.query_one("#example").screen._compositor.render_strips()
        text = "\n".join("".join(segment.text for segment in line) for line in lines)
        assert "• one" in text and "\\x1b[31m" in text and "\n # Head" not in text
