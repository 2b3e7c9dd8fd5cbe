"""What a base would be trained on: of one row token by token, of all with a movable cutoff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from screens.app import WorkbenchApp
from screens.widgets.row_table import RowTable
from tests.screens.conftest import shown, until
from workbench.data import verdict, versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.workspace import Workspace

Rows = Callable[..., Path]


@pytest.fixture
def version(workspace: Workspace, write_rows: Rows) -> Version:
    """Forty rows, each longer than the one before."""
    rows = [{"prompt": f"Question {n}?", "completion": "and so on " * n} for n in range(1, 41)]
    return import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))


@pytest.fixture
def model(_tiny_model: Path) -> Path:
    """The tiny model, to be read only."""
    return _tiny_model


def table(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.screen.query_one(RowTable)
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


async def test_a_row_is_seen_token_by_token_with_ids_reasons_and_the_cut(
    workspace: Workspace, version: Version, model: Path
) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference, base=str(model))
    async with app.run_test(size=(140, 60)) as pilot:
        await until(pilot, lambda: "40 rows" in shown(pilot, "#state"))
        await pilot.press("t")
        await until(pilot, lambda: "tokens are trained (in reverse)" in shown(pilot, "#text"))
        assert "user: a user turn" in shown(pilot, "#text")
        app.max_length = 20
        await pilot.press("T", "G")
        await until(pilot, lambda: "Cut at 20 tokens" in shown(pilot, "#text"))
        lines = shown(pilot, "#text").splitlines()
        template = ChatTemplate.load(model)
        last = list(versions.read(version))[-1]
        (id, *_) = template.encode(last).ids
        assert any(line.split()[:2] == ["0", str(id)] for line in lines)
        cut = next(n for n, line in enumerate(lines) if "cut at 20" in line)
        assert lines[cut - 1].split()[0] == "19" and lines[cut + 1].split()[0] == "20"
        assert lines[cut + 1].split()[2] == "cut"
        assert any(line.split()[2:4] == ["x", "cut"] for line in lines[cut:] if line)
        await pilot.press("T")
        await until(pilot, lambda: "and so on" in shown(pilot, "#text"))


async def test_the_cutoff_moves_and_says_what_is_kept_and_goes_to_the_config(
    workspace: Workspace, version: Version, model: Path
) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference, base=str(model))
    async with app.run_test(size=(140, 50), notifications=True) as pilot:
        await until(pilot, lambda: "40 rows" in shown(pilot, "#state"))
        await pilot.press("v")
        await until(pilot, lambda: "40 of 40 rows kept, nothing red" in shown(pilot, "#state"))
        known = verdict.find(version, ChatTemplate.load(model))
        assert known is not None
        lengths = known.lengths[""]
        assert f"max {lengths.longest:,}" in shown(pilot, "#text")
        await pilot.press("left", "left", "left")
        at = int(shown(pilot, "#state").split()[1].rstrip(":").replace(",", ""))
        assert at < lengths.longest
        kept = lengths.at(at)
        assert f"{kept.trained_kept:,} of" in shown(pilot, "#text")
        await pilot.press("n", "backspace", "backspace", "backspace", *"32", "enter")
        await until(pilot, lambda: "cutoff 32:" in shown(pilot, "#state"))
        await until(pilot, lambda: "1 red" in shown(pilot, "#state"))
        assert table(pilot)[1].startswith("RED") and "responses-lost" in table(pilot)[1]
        # What is lost is shown as rows.
        await pilot.press("g", "enter")
        lost = lengths.at(32).cut
        await until(pilot, lambda: f"{lost} of 40 rows" in shown(pilot, "#state"))
        app.max_length = 32
        await pilot.press("v")
        await until(pilot, lambda: "cutoff 32:" in shown(pilot, "#state"))
        await pilot.press("c")
        await until(pilot, lambda: app.current_mode == "config")
        await pilot.press("slash", *"max_length", "enter")
        await until(pilot, lambda: "* 32" in table(pilot)[1])


async def test_a_base_that_is_not_there_is_said(workspace: Workspace, version: Version) -> None:
    app = WorkbenchApp(workspace, dataset=version.reference, base="/no/such/base")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "40 rows" in shown(pilot, "#state"))
        await pilot.press("v")
        await until(pilot, lambda: any("/no/such/base" in n.message for n in app._notifications))
