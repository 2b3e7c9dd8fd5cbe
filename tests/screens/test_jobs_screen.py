"""Jobs: what goes on, what waits in the queue, what has ended."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.widgets.row_table import RowTable
from tests.polling import eventually
from tests.screens.conftest import WorkIn, fill_in, said, shown, until
from workbench.jobs.state import ENDED, JobState, describe
from workbench.queue import entries
from workbench.workspace import Workspace


def table(pilot: Pilot[None]) -> list[str]:
    """The lines of the table, without its header."""
    found = pilot.app.screen.query(RowTable)
    return [w.render_line(y).text for w in found for y in range(1, w.count + 1)]


def queue_up(workspace: Workspace, *names: str) -> None:
    """Copies of the workspace's run that wait, to be gone on with, in this order."""
    with entries.changing(workspace) as queue:
        for name in names:
            run = Path(shutil.copytree(workspace.runs / "small-0001", workspace.runs / name))
            state = JobState.read(run)
            assert state is not None
            replace(state, status="stopped", text="Stopped.").write(run)
            queue.append(entries.of_run(run))


async def test_everything_is_listed_what_waits_in_its_order(past: Workspace) -> None:
    queue_up(past, "later-0003", "sooner-0002")
    app = WorkbenchApp(past, mode="jobs")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: len(table(pilot)) == 7)
        lines = table(pilot)  # three runs, an evaluation of each, and the import
        assert lines[0].startswith("later-0003") and "waiting 1" in lines[0]
        assert lines[1].startswith("sooner-0002") and "waiting 2" in lines[1]
        rest = "\n".join(lines[2:])
        assert "small-0001/evaluations/01" in rest and "40/40 steps" in rest
        assert "evaluation" in rest and "import-0001" in rest
        assert "0 going on, 2 waiting" in shown(pilot, "#state")
        await pilot.press("slash", *"evaluation", "enter")
        assert len(table(pilot)) == 3


async def test_the_queue_is_moved_and_left_by_key(past: Workspace) -> None:
    queue_up(past, "first-0002", "second-0003")
    app = WorkbenchApp(past, mode="jobs")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: table(pilot) and table(pilot)[0].startswith("first-0002"))
        await pilot.press("J")
        await until(pilot, lambda: table(pilot)[0].startswith("second-0003"))
        assert [entry.run for entry in entries.read(past)] == ["second-0003", "first-0002"]
        # The cursor has gone with its run.
        await until(pilot, lambda: "first-0002" in shown(pilot, "#about"))
        await pilot.press("d")
        await pilot.press("n")
        assert len(entries.read(past)) == 2
        await pilot.press("d")
        await pilot.press("y")
        await until(pilot, lambda: [entry.run for entry in entries.read(past)] == ["second-0003"])
        await until(pilot, lambda: sum("waiting" in line for line in table(pilot)) == 1)
        await pilot.press("G", "J")
        assert "Only a run that waits" in said(pilot)


async def test_a_job_is_paused_goes_on_and_is_cancelled(
    workspace: Workspace, work_in: WorkIn
) -> None:
    folder = workspace.tasks / "count-0001"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")
    work_in(folder, "work in batches")
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: table(pilot) and "working" in table(pilot)[0])
        await pilot.press("p")
        await until(pilot, lambda: "paused" in table(pilot)[0])
        await until(pilot, lambda: "after this batch" in said(pilot))
        assert "frees processors" in said(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "running" in table(pilot)[0])
        await pilot.press("x", "n")
        assert describe(folder)[0] not in ENDED
        await pilot.press("x", "y")
        await until(pilot, lambda: "stopped" in table(pilot)[0])
        await pilot.press("p")
        assert "It is stopped, so there is nothing to pause." in said(pilot)
        await pilot.press("enter")
        assert app.current_mode == "jobs" and "belongs to no run" in said(pilot)


async def test_what_a_failed_job_said_last_is_below(workspace: Workspace, work_in: WorkIn) -> None:
    folder = workspace.tasks / "count-0001"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")
    work_in(folder, "bad input")
    eventually(lambda: describe(folder)[0] == "failed")
    app = WorkbenchApp(workspace, mode="jobs")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "Mend row 7." in shown(pilot, "#about"))
        about = shown(pilot, "#about")
        assert "tasks/count-0001" in about and "Row 7 is bad." in about


async def test_enter_watches_the_run_that_a_job_is_of(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="jobs")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: any("/evaluations/" in line for line in table(pilot)))
        place = next(i for i, line in enumerate(table(pilot)) if "/evaluations/" in line)
        await pilot.press("g", *["j"] * place, "enter")
        await until(pilot, lambda: app.current_mode == "monitor")
        await until(pilot, lambda: "small-0001  FINISHED" in shown(pilot, "#state"))


async def test_a_queue_that_can_not_be_read_is_said_and_hides_no_job(past: Workspace) -> None:
    (past.root / "queue.json").write_text("{ this is no")
    app = WorkbenchApp(past, mode="jobs")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "queue.json" in shown(pilot, "#state"))
        assert any("small-0001" in line for line in table(pilot))


async def test_a_file_is_imported_from_the_datasets(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "my rows.jsonl"
    rows = [{"prompt": f"What is {n}?", "completion": "a number"} for n in range(20)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    app = WorkbenchApp(workspace)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        # At once, as a paste over a slow connection comes: nothing of it is taken for a key.
        await pilot.press("i", *f"'{file}' mine", "enter")
        await until(pilot, lambda: app.current_mode == "jobs")
        await until(pilot, lambda: table(pilot) and "finished" in table(pilot)[0])
        await until(pilot, lambda: "made mine@" in shown(pilot, "#about"))
        await pilot.press("1")
        await fill_in(pilot, "i", "#import", "nowhere.jsonl")
        await until(pilot, lambda: "nowhere.jsonl" in said(pilot))
        await fill_in(pilot, "i", "#import", "rows.jsonl --no-such-option")
        await until(pilot, lambda: "unrecognized arguments: --no-such-option" in said(pilot))
        # All that the command line takes, such as which field is what.
        file.write_text("".join(f'{{"Q": "What is {n}?", "A": "a number"}}\n' for n in range(20)))
        asked = f"'{file}' --name mapped --map prompt=Q --map response=A"
        await fill_in(pilot, "i", "#import", asked)
        await until(pilot, lambda: app.current_mode == "jobs")
        await until(pilot, lambda: "made mapped@" in shown(pilot, "#about"))
