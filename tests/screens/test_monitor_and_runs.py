from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.widgets.line_chart import LineChart
from screens.widgets.row_table import RowTable
from tests.screens.conftest import said, shown, until
from workbench.workspace import Workspace


def chart(pilot: Pilot[None], selector: str) -> str:
    return pilot.app.screen.query_one(selector, LineChart).text


def lines(pilot: Pilot[None]) -> list[str]:
    table = pilot.app.screen.query_one(RowTable)
    return [table.render_line(y).text for y in range(table.size.height)]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_past_run_is_shown_from_its_first_step(
    past: Workspace, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        state = shown(pilot, "#state")
        assert "step 40/40" in state and "tokens/s" in state
        await until(pilot, lambda: "finished  (evaluations/" in shown(pilot, "#log"))
        loss = chart(pilot, "#large")
        assert "train" in loss and "validation" in loss and "step 0" in loss
        for figure in ("tokens/s", "memory", "gradient norm", "learning rate", "utilisation"):
            await until(pilot, lambda figure=figure: figure in chart(pilot, "#small00"))
            await pilot.press("m")
        machine = shown(pilot, "#machine")
        assert "host" in machine and "GiB" in machine and "load" in machine


async def test_gpus_are_shown_with_what_the_driver_tells(past: Workspace) -> None:
    (run,) = past.runs.iterdir()
    samples = [json.loads(line) for line in (run / "host.jsonl").read_text().splitlines()]
    gpu: dict[str, Any] = {
        "index": 0,
        "name": "NVIDIA \x1b[31mH100",
        "uuid": "GPU-1",
        "memory_used": 20 << 30,
        "memory_total": 80 << 30,
        "memory_of_run": None,
        "utilization": 93,
        "power": None,
        "power_limit": None,
        "temperature": 61,
    }
    limit = {"memory_limit": 16 << 30, "memory_limit_used": 3 << 30, "memory_used": 50 << 30}
    host = {**samples[-1]["host"], **limit}
    samples[-1] |= {"gpus": [gpu], "gpu_reason": None, "host": host}
    (run / "host.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "GPU 0" in shown(pilot, "#machine"))
        machine = shown(pilot, "#machine")
        assert "20.0 of 80.0 GiB (run N/A)  93 %  N/A  61 °C  NVIDIA" in machine
        assert "\\x1b[31mH100" in machine and "\x1b" not in machine
        assert "3.0 of 16.0 GiB" in machine


async def test_a_run_whose_processes_are_gone_is_dead_and_its_curve_is_still_there(
    past: Workspace,
) -> None:
    (run,) = past.runs.iterdir()
    log = (run / "train.jsonl").read_bytes().splitlines(keepends=True)
    # Cut in the middle of a line, as a machine that went down leaves it.
    (run / "train.jsonl").write_bytes(b"".join(log[: len(log) // 2]) + log[len(log) // 2][:9])
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "status": "running", "ended": None}))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "DEAD" in shown(pilot, "#state"))
        assert "train" in chart(pilot, "#large")


async def test_the_log_is_filtered_by_its_text(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "finished" in shown(pilot, "#log"))
        await pilot.press("slash", *"checkpoint", "enter")
        await until(pilot, lambda: "finished" not in shown(pilot, "#log"))
        assert all("checkpoint" in line for line in shown(pilot, "#log").splitlines() if line)


async def test_a_finished_run_can_not_be_stopped(past: Workspace) -> None:
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        await pilot.press("S")
        await until(pilot, lambda: "It is finished" in said(pilot))


async def test_runs_are_listed_with_their_figures_and_lead_to_config_and_review(
    past: Workspace,
) -> None:
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await until(pilot, lambda: "perplexity" in shown(pilot, "#about"))
        about = shown(pilot, "#about")
        assert "base" in about and "adapter" in about and "Finished." in about
        table = app.screen.query_one(RowTable)
        assert "40/40" in table.render_line(1).text
        await pilot.press("slash", *"nothing such", "enter")
        await until(pilot, lambda: table.count == 0)
        await pilot.press("c", "e", "v", "enter", "escape")
        await until(pilot, lambda: table.count == 1)
        assert app.current_mode == "runs"
        await pilot.press("v")
        await until(pilot, lambda: app.current_mode == "review")
        # Digits are verdicts there.
        await pilot.press("escape", "5")
        await until(pilot, lambda: app.current_mode == "runs")
        await pilot.press("c")
        await until(pilot, lambda: app.current_mode == "config")
        await until(
            pilot, lambda: any(line[3:].lstrip().startswith("rank ") for line in lines(pilot))
        )


async def test_a_damaged_run_does_not_hide_the_others(past: Workspace) -> None:
    (run,) = past.runs.iterdir()
    shutil.copytree(run, past.runs / "broken-0002")
    (past.runs / "broken-0002" / "manifest.json").write_text("{ this is no")
    app = WorkbenchApp(past, mode="runs")
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await until(pilot, lambda: "2 of 2 runs" in shown(pilot, "#state"))
        listed = lines(pilot)[1:4]
        assert any(run.name in line and "40/40" in line for line in listed)
        assert any("broken-0002" in line and "damaged" in line for line in listed)


async def test_the_monitor_follows_its_run_whatever_other_screens_close(past: Workspace) -> None:
    (run,) = past.runs.iterdir()
    log = (run / "train.jsonl").read_bytes().splitlines(keepends=True)
    (run / "train.jsonl").write_bytes(b"".join(log[:-8]))
    app = WorkbenchApp(past, mode="monitor")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(pilot, "#state"))
        assert "finished  (evaluations" in shown(pilot, "#log")
        await pilot.press("1")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("o")
        await pilot.pause()
        await pilot.press("3")
        with (run / "train.jsonl").open("ab") as stream:
            stream.write(b"".join(log[-8:]))
        await until(pilot, lambda: "step 40/40" in shown(pilot, "#state"))
