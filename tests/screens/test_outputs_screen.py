"""Outputs of several systems: the table, one row, both ways with Datasets."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from screens.app import WorkbenchApp
from screens.output_row import OutputRowScreen
from screens.outputs import OutputsScreen
from screens.review import ReviewScreen
from screens.rows import RowsScreen
from screens.widgets.row_table import RowTable
from tests.answered_runs import LOOP, ROWS, evaluation, write
from tests.screens.conftest import fill_in, said, shown, until
from workbench.evaluation import outputs as reading
from workbench.review import making
from workbench.review.sources import Source
from workbench.workspace import Workspace

EVIL = "\x1b[2J[bold]no[/] rain"


def drawn(pilot: Pilot[None]) -> str:
    """Every character that the terminal has."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def table(pilot: Pilot[None]) -> list[str]:
    """The lines of the table."""
    rows = pilot.app.screen.query_one(RowTable)
    return [" ".join(rows._cells(row)) for row in range(rows.count)]


async def opened(pilot: Pilot[None], workspace: Workspace, *what: str) -> OutputsScreen:
    screen = OutputsScreen([reading.find_source(workspace, each) for each in what])
    await pilot.app.push_screen(screen)
    await until(pilot, lambda: screen.table.count)
    return screen


async def look_for(pilot: Pilot[None], key: str, line: str, text: str, rows: int) -> None:
    await fill_in(pilot, key, line, text)
    await until(pilot, lambda: len(table(pilot)) == rows)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_runs_are_found_sorted_and_read_row_by_row(
    workspace: Workspace, size: tuple[int, int]
) -> None:
    evaluation(workspace, "one-0001", [*ROWS[:3], ("qa", "evil", {"base": EVIL, "tuned": ""})])
    evaluation(workspace, "two-0002", ROWS[:3])
    async with WorkbenchApp(workspace, mode="runs").run_test(size=size) as pilot:
        await opened(pilot, workspace, "one", "two")
        assert "4 rows  ·  3 answered by all" in shown(pilot, "#state")
        assert "a base .438   b one-0001 .500   c two-0002 .667" in shown(pilot, "#legend")
        assert table(pilot)[2].startswith("3 sum .000 .750 .750 .750")
        assert table(pilot)[2].split("Say")[0].endswith("L · · ")
        assert "Which sea?" in shown(pilot, "#text") and "the dead sea" in shown(pilot, "#text")
        await look_for(pilot, "slash", "#filter", "rougeL<0.6 -flag:loop", 2)
        assert "2 of 4 rows with 'rougeL<0.6 -flag:loop'" in shown(pilot, "#state")
        await fill_in(pilot, "s", "#sort", "-row")
        await until(pilot, lambda: table(pilot)[0].startswith("4 "))
        assert "by -row" in shown(pilot, "#state")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputRowScreen))
        assert "row 4" in shown(pilot, "#state") and "1 of 2" in shown(pilot, "#state")
        await until(pilot, lambda: "no[/] rain" in drawn(pilot))
        assert "\\x1b[2J[bold]no" in drawn(pilot) and "\x1b" not in drawn(pilot)
        assert "(no output)" in drawn(pilot)
        await pilot.press("j", "j")
        assert "row 1" in shown(pilot, "#state") and "2 of 2" in shown(pilot, "#state")
        await until(pilot, lambda: "{+dead+}" in drawn(pilot))
        first, second = (pilot.app.screen.query_one(f"#side-{n}").region for n in (0, 1))
        assert (first.y == second.y) == (size[0] == 160)
        assert "[-" not in drawn(pilot) and "rouge_l .250" in drawn(pilot)
        # One beside the first: what only the first has is marked, too.
        await pilot.press("l")
        await until(pilot, lambda: "[-red-]" in drawn(pilot))
        assert not pilot.app.screen.query_one("#side-2").display
        await pilot.press("d")
        assert "[-" not in drawn(pilot) and "{+" not in drawn(pilot)
        await pilot.press("r")
        assert "reference" in drawn(pilot) and "snow" in drawn(pilot)
        await pilot.press("H", "d")
        await until(pilot, lambda: "[-snow-]" in drawn(pilot))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, OutputsScreen)
        assert pilot.app.screen.table.cursor == 1


async def test_what_can_not_be_looked_for_is_said_and_the_order_stays(
    workspace: Workspace,
) -> None:
    evaluation(workspace, "one-0001", ROWS)
    async with WorkbenchApp(workspace, mode="runs").run_test(notifications=True) as pilot:
        await opened(pilot, workspace, "one")
        await look_for(pilot, "slash", "#filter", "flag:lop", 0)
        assert "There is no flag lop" in said(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: len(table(pilot)) == 4)
        await fill_in(pilot, "s", "#sort", "colour")
        await until(pilot, lambda: "no number that is called colour" in said(pilot))
        assert len(table(pilot)) == 4


async def test_another_run_a_file_and_another_metric(workspace: Workspace, tmp_path: Path) -> None:
    evaluation(workspace, "one-0001", ROWS)
    evaluation(workspace, "two-0002", ROWS)
    path = write(
        tmp_path / "mine.jsonl",
        [
            {"prompt": ROWS[0][1], "reference": "snow", "outputs": {"mine": "snow"}},
            {"prompt": ROWS[2][1], "reference": "snow", "outputs": {"mine": LOOP}},
        ],
    )
    async with WorkbenchApp(workspace, mode="runs").run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot, workspace, "one-0001")
        await pilot.press("a")
        await until(pilot, lambda: "two-0002" in drawn(pilot))
        await pilot.press(*"two", "enter")
        await until(pilot, lambda: "b one-0001 .500   c two-0002 .500" in shown(pilot, "#legend"))
        await pilot.press("m")
        await until(pilot, lambda: "Which metric?" in drawn(pilot))
        await pilot.press(*"loss", "enter")
        await until(pilot, lambda: "loss, mean:  a base .875" in shown(pilot, "#legend"))
        # The file's texts are there before they are scored by a process of its own.
        await fill_in(pilot, "i", "#import", str(path))
        await until(pilot, lambda: "d mine –" in shown(pilot, "#legend"))
        await until(pilot, lambda: "scoring" not in shown(pilot, "#state"))
        await fill_in(pilot, "slash", "#filter", "d.rougeL=1")
        await until(pilot, lambda: len(table(pilot)) == 1)
        await fill_in(pilot, "i", "#import", str(tmp_path / "none.jsonl"))
        await until(pilot, lambda: "holds no outputs" in said(pilot))
        assert len(table(pilot)) == 1 and screen.is_current


async def test_a_file_that_can_not_be_read_is_told(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"outputs": 3}\n')
    async with WorkbenchApp(workspace, mode="runs").run_test() as pilot:
        await pilot.app.push_screen(OutputsScreen([reading.of_path(path)]))
        await until(pilot, lambda: 'bad.jsonl:1: "outputs" must be' in shown(pilot, "#text"))
        assert "nothing to show" in shown(pilot, "#state")


async def test_from_runs_to_a_row_in_datasets_and_back_to_its_outputs(past: Workspace) -> None:
    async with WorkbenchApp(past, mode="runs").run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "small-0001" in drawn(pilot))
        await pilot.press("O")
        await until(pilot, lambda: len(table(pilot)) == 3)
        await pilot.press("j", "D")
        await until(pilot, lambda: isinstance(pilot.app.screen, RowsScreen))
        rows = pilot.app.screen
        assert isinstance(rows, RowsScreen)
        line = rows.query_one("#filter", Input)
        await until(pilot, lambda: line.value == "split:validation" and rows.source.file.complete)
        assert rows.table.cursor == 1
        await pilot.press("O")
        await until(pilot, lambda: "validation-1" in shown(pilot, "#state"))
        assert isinstance(pilot.app.screen, OutputRowScreen)
        await pilot.press("escape", "escape")
        assert pilot.app.screen is rows
        # The fourth held-out row was not asked.
        await pilot.press("j", "j", "O")
        await until(pilot, lambda: "this one isn't among them" in said(pilot))


async def test_outputs_are_opened_by_name_from_anywhere(past: Workspace) -> None:
    async with WorkbenchApp(past).run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        commands = {
            command.title: command for command in pilot.app.get_system_commands(pilot.app.screen)
        }
        commands["Read outputs"].callback()
        await until(pilot, lambda: "small-0001" in drawn(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputsScreen))
        await until(pilot, lambda: len(table(pilot)) == 3)


async def test_a_review_opens_what_was_judged_once_it_is_locked(workspace: Workspace) -> None:
    folder = evaluation(workspace, "one-0001", ROWS)
    session = making.create_session(workspace, "first", [Source.of(folder)])
    # Who made it may look; the others go on judging.
    session.report(unblind=True, anyway=True)
    app = WorkbenchApp(workspace, mode="review", annotator="ann")
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        await pilot.press("R", "O")
        assert isinstance(pilot.app.screen, ReviewScreen)
        await pilot.press("U", "y", "O")
        await until(pilot, lambda: isinstance(pilot.app.screen, OutputsScreen))
        await until(pilot, lambda: len(table(pilot)) == 4)
        assert "b adapter" in shown(pilot, "#legend")
