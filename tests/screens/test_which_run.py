"""Which run the Monitor shows, by keys that come in a burst."""

from __future__ import annotations

from pathlib import Path

import pytest

from screens.app import WorkbenchApp
from tests.screens.conftest import shown, until
from workbench.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for number in range(1, 5):
        run = tmp_path / "runs" / f"run-000{number}"
        run.mkdir(parents=True)
        (run / "manifest.json").write_text("{}")
    return Workspace(tmp_path)


async def test_a_burst_of_keys_goes_so_many_runs_along_and_ends_at_the_ends(
    workspace: Workspace,
) -> None:
    app = WorkbenchApp(workspace, mode="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "run-0004" in shown(pilot, "#state"))
        await pilot.press("j", "j")
        await until(pilot, lambda: "run-0002" in shown(pilot, "#state"))
        await pilot.press("j", "j", "j", "j")
        await until(pilot, lambda: "run-0001" in shown(pilot, "#state"))
        await pilot.press("k")
        await until(pilot, lambda: "run-0002" in shown(pilot, "#state"))


async def test_a_run_that_is_not_there_is_told_and_none_at_all_too(
    workspace: Workspace, tmp_path: Path
) -> None:
    app = WorkbenchApp(workspace, mode="monitor", run_id="run-0009")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "There is no run run-0009" in shown(pilot, "#state"))
    app = WorkbenchApp(Workspace(tmp_path / "empty"), mode="monitor")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "There are no runs yet" in shown(pilot, "#state"))
