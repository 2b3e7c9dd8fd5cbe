from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from screens.app import WorkbenchApp
from screens.compare import CompareScreen
from screens.monitor import MonitorScreen
from screens.run_columns import ColumnsScreen
from screens.runs import RunsScreen
from screens.using import UsingScreen
from screens.widgets.pick import Pick
from screens.widgets.row_table import RowTable
from tests import many_runs
from tests.jobs.conftest import end
from tests.learning_runs import line, write_lines
from tests.screens.conftest import fill_in, said, shown, until
from workbench.data.importing import Options, import_files
from workbench.tracking.listing import Listing
from workbench.workspace import Workspace


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "workbench" / "settings.toml"


@pytest.fixture
def runs(workspace: Workspace) -> list[Path]:
    """Thirty, of which `r6-0006` is damaged and `r9-0009` has no state."""
    made = [
        many_runs.run(workspace, n, name=f"r{n}", lora__rank=n, seed=n, status="finished")
        for n in range(1, 31)
    ]
    (made[5] / "manifest.json").write_text("{ cut")
    (made[8] / "state.json").unlink()
    return made


def lines(pilot: Pilot[None]) -> list[str]:
    table = pilot.app.screen.query_one(RowTable)
    return [table.render_line(y).text for y in range(table.size.height)]


def ids(pilot: Pilot[None]) -> list[str]:
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    return [line.id for line in screen.shown]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_runs_are_found_sorted_and_shown_with_the_columns_that_a_person_wants(
    workspace: Workspace, runs: list[Path], size: tuple[int, int], own_settings: Path
) -> None:
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        assert "r30-0030" in lines(pilot)[1] and "90/90" in lines(pilot)[1]
        await fill_in(pilot, "slash", "#filter", "state:damaged")
        await until(pilot, lambda: ids(pilot) == ["r6-0006"])
        assert "can't be read" in shown(pilot, "#about")
        await fill_in(pilot, "slash", "#filter", "lora.r>=28")
        await until(pilot, lambda: len(ids(pilot)) == 3)
        await fill_in(pilot, "slash", "#filter", "lora.rnak>3")
        await until(pilot, lambda: "Did you mean lora.rank" in said(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "30 of 30" in shown(pilot, "#state"))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        app.screen.query_one(Input).value = "lora.rank"
        await until(pilot, lambda: "lora.rank" in lines(pilot)[1])
        await pilot.press("enter", *["left"] * 12, "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await until(pilot, lambda: lines(pilot)[0].split()[:2] == ["rank", "run"])
        await until(pilot, own_settings.exists)
        assert '["lora.rank", "run", ' in own_settings.read_text()
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        app.screen.query_one(Input).value = "lora.rank"
        await pilot.press("enter")
        await until(
            pilot, lambda: isinstance(app.screen, RunsScreen) and ids(pilot)[0] == "r1-0001"
        )
        assert ids(pilot)[-1] == "r6-0006" and "by lora.rank" in shown(pilot, "#state")


async def test_marked_runs_are_put_away_and_taken_out_again(
    workspace: Workspace, runs: list[Path]
) -> None:
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        await pilot.press("space", "space", "A")
        await until(pilot, lambda: len(ids(pilot)) == 28)
        assert "2 archived" in shown(pilot, "#state") and ids(pilot)[0] == "r28-0028"
        assert json.loads((runs[-1] / "notes.json").read_text())["archived"] is True
        assert (runs[-1] / "train.jsonl").exists()
        await pilot.press("a")
        await until(pilot, lambda: len(ids(pilot)) == 30)
        await pilot.press("g", "A")
        await until(pilot, lambda: "is back" in said(pilot))
        await pilot.press("a")
        await until(pilot, lambda: ids(pilot)[:2] == ["r30-0030", "r28-0028"])


async def test_what_changes_while_the_runs_are_looked_at_is_seen_by_the_next_look(
    workspace: Workspace, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A look lasts until it is told, and none but one that is asked for comes after it.
    told, save = threading.Event(), Listing.save

    def save_late(listing: Listing) -> None:
        assert told.wait(60)
        save(listing)

    monkeypatch.setattr(Listing, "save", save_late)
    monkeypatch.setattr("screens.run_list._REST", 1e9)
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        await pilot.press("A")
        await until(pilot, lambda: "put away" in said(pilot))
        told.set()
        await until(pilot, lambda: "1 archived" in shown(pilot, "#state"))


async def test_marked_runs_are_compared_and_their_curves_laid_over_each_other(
    workspace: Workspace, runs: list[Path]
) -> None:
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        await pilot.press("d")
        await until(pilot, lambda: "Space marks runs" in said(pilot))
        await pilot.press("space", "space", "space", "d")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "lora.rank" in shown(pilot, "#text"))
        await until(pilot, lambda: "compared …" not in shown(pilot, "#state"))
        text = shown(pilot, "#text")
        assert all(name in text for name in ("r30-0030", "r29-0029", "r28-0028"))
        assert "lora.dropout" not in text and "data: what each version differs by" in text
        await fill_in(pilot, "slash", "#filter", "lora")
        await until(pilot, lambda: "data:" not in shown(pilot, "#text"))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
        monitor = app.screen
        assert isinstance(monitor, MonitorScreen)
        await until(pilot, lambda: monitor.run is not None)
        assert monitor.run is not None and monitor.run.name == "r30-0030"
        assert list(monitor.others) == ["r29-0029", "r28-0028"]


async def test_the_report_of_the_marked_runs_is_written_and_said_to_be_where_it_is(
    workspace: Workspace, runs: list[Path]
) -> None:
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        await pilot.press("r")
        await until(pilot, lambda: "The report is" in said(pilot))
        assert "r30-0030" in (runs[-1] / "report.md").read_text()
        await pilot.press("space", "space", "r")
        together = workspace.root / "reports" / "r30-0030_r29-0029"
        await until(pilot, lambda: str(together / "report.html") in said(pilot))
        assert {path.name for path in together.iterdir()} == {"report.html", "report.md"}


async def test_a_run_is_repeated_after_a_question(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "1 of 1 runs" in shown(pilot, "#state"))
        await pilot.press("R")
        await until(pilot, lambda: "Repeat small-0001?" in shown(pilot, "#question"))
        await pilot.press("n", "R", "y")
        await until(pilot, lambda: "small-0002 repeats small-0001" in said(pilot))
        assert "workbench runs repeat small-0001 --compare small-0002" in said(pilot)
        await until(pilot, lambda: ids(pilot) == ["small-0002", "small-0001"])
    end(past.runs / "small-0002")
    assert not (past.runs / "small-0003").exists()


async def test_a_repeat_without_its_rows_is_refused_in_words(
    workspace: Workspace, runs: list[Path]
) -> None:
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        await until(pilot, lambda: "30 of 30 runs" in shown(pilot, "#state"))
        await pilot.press("R", "y")
        await until(pilot, lambda: "The dataset version" in said(pilot))
        assert len(list(workspace.runs.iterdir())) == 30


async def test_from_a_row_to_the_runs_that_learnt_it(workspace: Workspace, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"prompt": f"{n}?", "completion": f"{n}"}) + "\n" for n in range(5))
    (tmp_path / "rows.jsonl").write_text(rows)
    version = import_files(
        workspace, [tmp_path / "rows.jsonl"], "numbers", Options(validation_share=0)
    )
    run = many_runs.run(workspace, 1, name="r", version=version)
    write_lines(run, [line(n, 2.5, step=n) for n in range(1, 6)])
    app = WorkbenchApp(workspace)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: "1 dataset version" in shown(pilot, "#state"))
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, UsingScreen))
        await until(pilot, lambda: "1 run used numbers@" in shown(pilot, "#state"))
        assert "trained on it" in lines(pilot)[1]
        await pilot.press("escape", "enter")
        await until(pilot, lambda: "5 rows" in shown(pilot, "#state"))
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, UsingScreen))
        await until(pilot, lambda: "learnt 1 time" in lines(pilot)[1])
        assert "loss 2.5000" in shown(pilot, "#text")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "monitor")
