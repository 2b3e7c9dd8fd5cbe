"""Runs whose files are not what they should be, on the Runs screen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from screens.app import WorkbenchApp
from screens.widgets.row_table import RowTable
from tests.screens.conftest import shown, until
from tests.tracking.copies import RUN, copy_of
from tests.trained import Trained


async def test_each_is_shown_for_what_it_is(trained_run: Trained, tmp_path: Path) -> None:
    workspace, run, base = copy_of(trained_run, tmp_path)
    shutil.copytree(run, workspace.runs / "copied-0002")
    newer = Path(shutil.copytree(run, workspace.runs / "newer-0003"))
    (newer / "manifest.json").write_text(json.dumps({"v": 2}))
    (newer / "config.yaml").write_text("")
    half = Path(shutil.copytree(run, workspace.runs / "half-0004"))
    (half / "manifest.json").unlink()
    torn = Path(shutil.copytree(run, workspace.runs / "torn-0005"))
    (torn / "train.jsonl").write_bytes((torn / "train.jsonl").read_bytes()[:-5])
    shutil.rmtree(base)
    told = [
        ("torn-0005", "! Its train.jsonl is torn"),
        ("half-0004", "half-written: it has no manifest.json"),
        ("newer-0003", "is of a newer release"),
        ("copied-0002", f"! It is a copy of {RUN}"),
        (RUN, "! Its base model is not on this machine"),
    ]
    app = WorkbenchApp(workspace, mode="runs")
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await until(pilot, lambda: "5 of 5 runs" in shown(pilot, "#state"))
        table = app.screen.query_one(RowTable)
        states = [table.render_line(y).text for y in range(1, 6)]
        words = ("finished !", "damaged", "newer", "finished !")
        for word, line in zip(words, states, strict=False):
            assert word in line
        for name, text in told:
            await until(pilot, lambda name=name: shown(pilot, "#about").startswith(name))
            assert text in shown(pilot, "#about")
            await pilot.press("down")
