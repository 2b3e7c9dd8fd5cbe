"""From a curve to the rows behind it, and from there to a mended one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from screens.app import WorkbenchApp
from screens.examples import bars, open_hardest, open_step
from screens.rows import RowsScreen
from screens.widgets.row_table import RowTable
from tests.learning_runs import line, make_run, write_lines
from tests.screens.conftest import shown, until
from workbench.data.importing import Options, import_files
from workbench.data.versions import Version
from workbench.learning.log import NAME
from workbench.workspace import Workspace

Rows = Callable[..., Path]


def version_of(workspace: Workspace, write_rows: Rows) -> Version:
    rows = [{"instruction": f"Question {n}?", "output": f"Answer {n}."} for n in range(1, 21)]
    return import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))


def lines(epoch: int) -> list[dict[str, Any]]:
    """Row 7 is the hardest, then row 12."""
    hard = {7: 5.0, 12: 4.0}
    return [
        line(n, hard.get(n, 1.0 - n / 1000) / epoch, epoch=epoch, step=10 * epoch + (n - 1) // 5)
        for n in range(1, 21)
    ]


def table(pilot: Pilot[None]) -> list[list[str]]:
    """The words of each row that is in view, but for the header's."""
    rows = pilot.app.screen.query_one(RowTable)
    return [
        rows.render_line(y).text.split() for y in range(1, min(rows.count + 1, rows.size.height))
    ]


@pytest.fixture
def version(workspace: Workspace, write_rows: Rows) -> Version:
    return version_of(workspace, write_rows)


async def test_a_mislabelled_row_is_found_and_mended_in_three_keys(
    workspace: Workspace, version: Version
) -> None:
    run = make_run(workspace, version, [*lines(1), *lines(2)])
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(120, 30)) as pilot:
        await open_hardest(app, run)  # the first key, in the Monitor
        await until(pilot, lambda: "20 rows, the hardest first" in shown(pilot, "#state"))
        await until(pilot, lambda: "Question" in table(pilot)[0])
        assert table(pilot)[0][:3] == ["7", "█▅", "5.00→2.50"]
        assert table(pilot)[1][0] == "12"
        assert "never learnt" in shown(pilot, "#text")
        assert "1: 5.0000  2: 2.5000" in shown(pilot, "#text")
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, RowsScreen))
        assert app.current_mode == "datasets"
        await until(pilot, lambda: "Question 12?" in shown(pilot, "#text"))
        assert app.screen.query_one("#filter", Input).value == "run:small-0001"
        assert [row[0] for row in table(pilot)][:2] == ["7", "12"]
        await pilot.press("e")
        await until(pilot, lambda: app.screen.query(TextArea))
        assert "Answer 12." in app.screen.query_one(TextArea).text
        app.screen.query_one(TextArea).text = (
            "messages:\n- role: user\n  content: Question 12?\n"
            "- role: assistant\n  content: Mended.\n"
        )
        await pilot.press("ctrl+s")
        await until(pilot, lambda: table(pilot)[1][:2] == ["12", "e"])
        # Back where one came from, the row is marked there, too.
        await pilot.press("6")
        await until(pilot, lambda: app.current_mode == "jobs")
        await until(pilot, lambda: table(pilot)[1][:2] == ["12", "e"])
        assert "Mended." in shown(pilot, "#text")


async def test_the_rows_that_were_never_learnt_alone(
    workspace: Workspace, version: Version
) -> None:
    run = make_run(workspace, version, [*lines(1), *lines(2)])
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_hardest(app, run)
        await until(pilot, lambda: "20 rows" in shown(pilot, "#state"))
        await pilot.press("n")
        await until(pilot, lambda: "2 never learnt of 20 rows" in shown(pilot, "#state"))
        assert [row[0] for row in table(pilot)] == ["7", "12"]
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, RowsScreen))
        assert app.screen.query_one("#filter", Input).value == "run:small-0001 learnt:never"
        # What is shown at once is what the filter finds.
        await pilot.press("slash", "enter")
        await until(pilot, lambda: "2 of 20 rows" in shown(pilot, "#state"))
        await until(pilot, lambda: [row[0] for row in table(pilot)] == ["7", "12"])


async def test_the_examples_of_a_step_with_their_losses(
    workspace: Workspace, version: Version
) -> None:
    run = make_run(workspace, version, [*lines(1), line(15, None, step=11)])
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(120, 30)) as pilot:
        await open_step(app, run, 12)
        await until(pilot, lambda: "5 examples" in shown(pilot, "#state"))
        assert [row[:2] for row in table(pilot)][:2] == [["12", "4.0000"], ["11", "0.9890"]]
        assert "Question 12?" in shown(pilot, "#text")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RowsScreen))
        assert app.screen.query_one("#filter", Input).value == "run:small-0001 step=12"
        assert len(table(pilot)) == 5


async def test_what_a_run_learns_meanwhile_comes_into_view(
    workspace: Workspace, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.examples._LEAST_PAUSE", 0.0)
    run = make_run(workspace, version, [])
    (run / NAME).touch()
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_hardest(app, run)
        await until(pilot, lambda: "hasn't learnt a row yet" in shown(pilot, "#text"))
        write_lines(run, lines(1)[:10])
        await until(pilot, lambda: "1 epoch  ·  10 rows" in shown(pilot, "#state"))
        await pilot.press("j")
        below = table(pilot)[1][0]
        write_lines(run, [*lines(1)[10:], *lines(2)])
        await until(pilot, lambda: "2 epochs  ·  20 rows" in shown(pilot, "#state"))
        # The cursor stays on its row.
        await until(pilot, lambda: f"row {below}:" in shown(pilot, "#text"))


async def test_what_is_missing_is_said(workspace: Workspace, version: Version) -> None:
    run = make_run(workspace, version, [*lines(1), line(10**6, 9.0, step=11)])
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await open_step(app, run, 99)
        await until(pilot, lambda: "no examples in step 99" in shown(pilot, "#text"))
        await pilot.press("escape")
        await open_step(app, run, 11)
        await until(pilot, lambda: "has no such row" in shown(pilot, "#text"))
        await pilot.press("escape")
        shutil.rmtree(version.folder)
        await open_hardest(app, run)
        await until(pilot, lambda: "1 lines can't be used" in shown(pilot, "#state"))
        assert table(pilot)[0][0] == "7", "losses are told without the rows, too"
        await until(pilot, lambda: "no longer there" in shown(pilot, "#text"))
        await pilot.press("enter")
        assert not isinstance(app.screen, RowsScreen)
        await pilot.press("escape")
        (run / NAME).unlink()
        await open_hardest(app, run)
        await until(pilot, lambda: "has no examples.jsonl" in shown(pilot, "#text"))
        await pilot.press("escape")
        (run / "manifest.json").write_text("{}")
        await open_hardest(app, run)
        await until(pilot, lambda: "doesn't say which dataset" in shown(pilot, "#text"))


def test_bars_are_drawn_up_to_the_largest_loss_with_gaps() -> None:
    assert bars([4.0, 2.0, None, 0.1, 0.0], 8, ascii=False) == "█▅ ▁▁"
    assert bars([9.0, 4.0, 2.0], 2, ascii=True) == "#."
    assert bars([8.0 - place / 13 for place in range(100)], 4, ascii=False) == "█▆▃▁"
    assert bars([0.0], 2, ascii=False) == "▁"
    assert bars([], 2, ascii=False) == ""
