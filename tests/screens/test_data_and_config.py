from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.pilot import Pilot
from textual.widgets import Static

from screens.app import WorkbenchApp
from screens.widgets.row_table import RowTable
from tests import tiny
from tests.driver import GIB, H100, Driver
from tests.screens.conftest import shown, until
from workbench.config import loading
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace

Rows = Callable[..., Path]


def text(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).visual)


def table(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.screen.query_one(RowTable)
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def said(pilot: Pilot[None]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)


async def settled(pilot: Pilot[None]) -> None:
    """Whatever was looked for in threads is found, and the screen has asked for it once more."""
    await until(pilot, lambda: all(worker.is_finished for worker in pilot.app.workers))
    await pilot.pause(0.3)
    await pilot.pause()


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"Question {number}?", "output": f"Answer {number}.", **more}


async def test_any_jsonl_file_is_browsed_as_it_is_with_its_bad_rows(
    workspace: Workspace, write_rows: Rows
) -> None:
    path = write_rows(
        pair(1, system="Be brief."),
        "this is no JSON",
        {"instruction": "No answer"},
        pair(4, output="\x1b[31m[bold]red[/]"),
        {"text": "A law of the land"},
    )
    app = WorkbenchApp(workspace, dataset=str(path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "5 rows" in text(pilot, "#state")
        assert "Be brief." in text(pilot, "#text")
        lines = table(pilot)
        assert "not JSON" in lines[2] and "!" in lines[2]
        await pilot.press("j", "j")
        await pilot.pause()
        assert "no response" in text(pilot, "#text")
        await pilot.press("j")
        await pilot.pause()
        assert "\\x1b[31m[bold]red[/]" in text(pilot, "#text")
        assert "A law of the land" in table(pilot)[5]
        await pilot.press("j")
        await pilot.pause()
        assert text(pilot, "#text").startswith("plain text\nA law of the land")


async def test_a_file_of_many_rows_is_there_at_once_and_found_in(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "many.jsonl"
    with path.open("w") as stream:
        for number in range(200_000):
            stream.write(json.dumps(pair(number)) + "\n")
    app = WorkbenchApp(workspace, dataset=str(path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        # Before the index is complete: the first rows can be read.
        assert "Question 0?" in table(pilot)[1]
        await settled(pilot)
        assert "200,000 rows" in text(pilot, "#state")
        await pilot.press("G")
        await pilot.pause()
        assert "Question 199999?" in text(pilot, "#text")
        await pilot.press("slash", *"19999", "enter")
        await settled(pilot)
        assert "12 of 200,000 rows" in text(pilot, "#state")
        assert "Question 19999?" in text(pilot, "#text")
        await pilot.press("escape")
        await settled(pilot)
        assert text(pilot, "#state").startswith("200,000 rows")


async def test_a_dataset_that_is_not_there_is_said_and_the_list_stays(
    workspace: Workspace,
) -> None:
    app = WorkbenchApp(workspace, dataset="nowhere.jsonl")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        assert "There is no file nowhere.jsonl" in said(pilot)
        assert "There is no dataset here yet" in text(pilot, "#text")


async def test_tokens_without_their_model_say_what_to_do(
    workspace: Workspace, write_rows: Rows
) -> None:
    app = WorkbenchApp(workspace, dataset=str(write_rows(pair(1))))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await settled(pilot)
        assert "workbench model prepare default" in text(pilot, "#text")


async def test_a_dataset_is_taken_to_the_config_which_is_changed_undone_and_saved(
    workspace: Workspace, write_rows: Rows
) -> None:
    version = import_files(workspace, [write_rows(*map(pair, range(20)))], "mine", Options())
    app = WorkbenchApp(workspace)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("enter", "c")
        await settled(pilot)
        assert app.current_mode == "config"
        assert any(f"* {version.reference}" in line for line in table(pilot))
        await pilot.press("slash", *"rank", "enter")
        await pilot.pause()
        await pilot.press("enter", *"64", "enter")
        await pilot.pause()
        assert "* 64" in table(pilot)[1]
        await pilot.press("enter", *"much", "enter")
        await pilot.pause()
        assert "! lora.rank: " in shown(pilot, "#help")
        await pilot.press("escape")
        assert "* 64" in table(pilot)[1]
        await pilot.press("u")
        assert "16" in table(pilot)[1]
        await pilot.press("enter", *"8", "enter", "s", *"small", "enter")
        await pilot.pause()
        saved = yaml.safe_load((workspace.configs / "small.yaml").read_text())
        assert saved["lora"]["rank"] == 8
        assert saved["data"]["dataset"] == version.reference
        assert loading.load(workspace.configs / "small.yaml").name == "small"


async def test_space_goes_through_the_choices_and_d_back_to_the_default(
    workspace: Workspace,
) -> None:
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"model.quant", "enter")
        await pilot.pause()
        await pilot.press("space")
        assert "* nf4" in table(pilot)[1]
        await pilot.press("space", "space", "space")
        assert "none" in table(pilot)[1] and "*" not in table(pilot)[1]
        await pilot.press("space", "d")
        assert "none" in table(pilot)[1]


async def test_a_config_that_can_not_be_used_is_refused_with_its_field(
    workspace: Workspace,
) -> None:
    workspace.configs.mkdir(parents=True)
    (workspace.configs / "bad.yaml").write_text("lora:\n  rnak: 3\n")
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("o")
        await pilot.pause()
        await pilot.press(*"bad", "enter")
        await pilot.pause()
        await until(pilot, lambda: "Did you mean lora.rank?" in text(pilot, "#more"))
        await pilot.press("escape")
        await pilot.pause()
        assert "not saved" in text(pilot, "#state")


async def test_a_run_that_can_not_start_says_why_and_leaves_none(workspace: Workspace) -> None:
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: "names no dataset version" in said(pilot))
        assert not workspace.runs.exists()


async def test_a_start_is_asked_for_with_who_is_on_the_gpu(
    workspace: Workspace, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.load_here(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver.gpus(H100 | {"memory_used": 60 * GIB, "compute": f"4000000:{60 * GIB}"})
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24)) as pilot:
        for key, warned in (("x", True), ("Q", False)):
            await pilot.press(key)
            await pilot.pause()
            asked = text(pilot, "#question")
            assert ("! GPU 0, which this run would use: it isn't free: 60.0" in asked) is warned
            await pilot.press("n")
            await pilot.pause()


async def test_moves_that_come_late_and_versions_that_are_gone_do_no_harm(
    workspace: Workspace, write_rows: Rows
) -> None:
    rows = [pair(number) for number in range(50)]
    import_files(workspace, [write_rows(*rows)], "one", Options())
    two = import_files(workspace, [write_rows(*rows, pair(99))], "two", Options())
    app = WorkbenchApp(workspace)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("G", "k", "k", "o")
        await pilot.pause()
        assert "2 dataset versions" in text(pilot, "#state")
        shutil.rmtree(two.folder)
        await pilot.press("j", "k")
        await pilot.pause()
        assert "version.json" in text(pilot, "#text")
        await pilot.press("enter")
        await pilot.pause()
        assert "two" in said(pilot)


async def test_a_template_that_can_not_be_read_is_said_for_the_row(
    workspace: Workspace, write_rows: Rows, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    tiny.make_tokenizer(model, "{% for message in messages %}{{ never closed")
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"")
    app = WorkbenchApp(workspace, dataset=str(write_rows(pair(1))), base=str(model))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await settled(pilot)
        assert "no valid template" in text(pilot, "#text")


async def test_a_row_of_megabytes_is_shown_in_part(workspace: Workspace, write_rows: Rows) -> None:
    app = WorkbenchApp(workspace, dataset=str(write_rows(pair(1, output="x" * 3_000_000))))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "2,980,011 characters more" in text(pilot, "#text")


async def test_a_config_of_another_is_not_replaced_without_asking(workspace: Workspace) -> None:
    workspace.configs.mkdir(parents=True)
    path = workspace.configs / "mine.yaml"
    path.write_text("# by hand\nname: mine\n")
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        await pilot.pause()
        await pilot.press(*"mine", "enter")
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        assert path.read_text().startswith("# by hand")
        await pilot.press("s")
        await pilot.pause()
        await pilot.press(*"mine", "enter")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert "·  saved" in text(pilot, "#state")
        # One's own is saved again without a question.
        await pilot.press("slash", *"rank", "enter", "enter")
        await pilot.pause()
        await pilot.press(*"4", "enter")
        await pilot.pause()
        assert "not saved" in text(pilot, "#state")
        await pilot.press("u")
        await pilot.pause()
        assert "·  saved" in text(pilot, "#state")
