"""The Config screen as a form: advice and forecast beside the fields, presets, files, queue."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from screens.app import WorkbenchApp
from screens.config import ConfigScreen
from screens.widgets.row_table import RowTable
from tests.screens.conftest import said, shown, until
from workbench.config import loading
from workbench.data import verdict, versions
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.workspace import Workspace

Form = Pilot[None]


@pytest.fixture
def base(_tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_tiny_model, tmp_path / "base"))


@pytest.fixture
def workspace(tmp_path: Path, base: Path) -> Workspace:
    """One dataset whose longest row is known, and a config that names it."""
    made = Workspace(tmp_path / "ws")
    rows = [{"prompt": f"Is {n} odd?", "completion": "yes " * (n % 40 + 1)} for n in range(200)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    version = import_files(made, [path], "numbers", Options())
    verdict.look(version, ChatTemplate.load(base))
    made.configs.mkdir(parents=True)
    text = f"# mine\nname: mine\nmodel: {{base: {base}}}  # small\ndata:\n  dataset: numbers\n"
    (made.configs / "mine.yaml").write_text(text)
    return made


@asynccontextmanager
async def form(workspace: Workspace, size: tuple[int, int] = (160, 45)) -> AsyncIterator[Form]:
    """The form with the config `mine`, judged."""
    app = WorkbenchApp(workspace, mode="config")
    app.config_path = str(workspace.configs / "mine.yaml")
    async with app.run_test(size=size, notifications=True) as pilot:
        await judged(pilot)
        yield pilot


def screen(pilot: Form) -> ConfigScreen:
    return next(s for s in reversed(pilot.app.screen_stack) if isinstance(s, ConfigScreen))


async def judged(pilot: Form) -> None:
    """Return once what is in view is said of the config as it is now."""
    await until(pilot, lambda: _is_judged(screen(pilot)))
    await pilot.pause()


def _is_judged(form: ConfigScreen) -> bool:
    judgement = form.judgement
    return judgement is not None and judgement.config == form.draft.config


def lines(pilot: Form, id: str = "fields") -> list[str]:
    rows = pilot.app.screen.query_one(f"#{id}", RowTable)
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def line(pilot: Form, name: str) -> str:
    """The line of the field `name` in the table."""
    return next(text for text in lines(pilot) if text[3:].strip().startswith(f"{name} "))


async def find(pilot: Form, text: str) -> None:
    """Search for a field."""
    await pilot.press("slash")
    pilot.app.screen.query_one("#filter", Input).value = text
    await pilot.press("enter")
    await pilot.pause()


async def write(pilot: Form, key: str, text: str) -> None:
    """Open the line by a key, and submit a text in it."""
    await pilot.press(key)
    await until(pilot, lambda: pilot.app.screen.query_one("#value").display)
    pilot.app.screen.query_one("#value", Input).value = text
    await pilot.press("enter")
    await pilot.pause()


async def test_fields_stand_in_groups_with_what_they_come_to(workspace: Workspace) -> None:
    async with form(workspace) as pilot:
        text = "\n".join(lines(pilot))
        assert "MODEL" in text and "LORA" in text and "TRAINING" in text
        assert "scale 2" in line(pilot, "alpha")
        assert "16 rows a step" in line(pilot, "batch_size")
        version = versions.resolve(workspace, "numbers")
        steps = -(-version.splits["train"] // 16)
        assert f"{steps} steps" in line(pilot, "epochs")
        assert "tokens a step" in line(pilot, "accumulation")
        assert "14 modules" in line(pilot, "target_modules")
        assert "%" in line(pilot, "rank")
        await find(pilot, "checkpoints.every")
        assert "MiB each" in lines(pilot)[1] or "KiB each" in lines(pilot)[1]


async def test_forecast_and_advice_follow_each_key(workspace: Workspace) -> None:
    async with form(workspace) as pilot:
        before = shown(pilot, "#forecast")
        await find(pilot, "max_length")
        for _ in range(4):
            await pilot.press("left")
        assert "* 64" in lines(pilot)[1]
        await judged(pilot)
        assert shown(pilot, "#forecast") != before
        assert lines(pilot)[1].startswith("E") and "rows longer" in lines(pilot)[1]
        assert "error" in shown(pilot, "#summary") and "refused" in shown(pilot, "#help")
        await pilot.press("f")
        await judged(pilot)
        assert not lines(pilot)[1].startswith("E")
        assert "u takes it back" in said(pilot)
        await pilot.press("u")
        assert "* 64" in lines(pilot)[1]
        await pilot.press("U")
        assert "* 64" not in lines(pilot)[1]


async def test_advice_is_a_list_of_its_own_whose_entries_are_fixed_by_enter(
    workspace: Workspace,
) -> None:
    async with form(workspace, (80, 24)) as pilot:
        screen(pilot).apply(["training.learning_rate=0.05", "lora.alpha=512"])
        await judged(pilot)
        assert not pilot.app.screen.query_one("#beside").display
        await pilot.press("a")
        await pilot.pause()
        assert not pilot.app.screen.query_one("#fields").display
        listed = lines(pilot, "advice")
        places = [row for row, text in enumerate(listed[1:]) if "training.learning_rate" in text]
        for _ in range(places[0]):
            await pilot.press("j")
        await pilot.pause()
        assert "source:" in shown(pilot, "#help")
        await pilot.press("enter")
        await judged(pilot)
        assert screen(pilot).draft.config.training.learning_rate <= 2e-4
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen.query_one("#fields").display
        await pilot.press("n")
        assert screen(pilot).field is not None


async def test_a_value_that_can_not_be_stays_in_the_line_to_be_mended(
    workspace: Workspace,
) -> None:
    async with form(workspace) as pilot:
        await find(pilot, "lora.rank")
        await write(pilot, "enter", "many")
        assert "! lora.rank: it must be" in shown(pilot, "#help")
        assert "Rank r of the update" in shown(pilot, "#help") and not said(pilot)
        box = pilot.app.screen.query_one("#value", Input)
        assert box.display and box.value == "many"
        box.value = "8"
        await pilot.press("enter")
        await pilot.pause()
        assert not box.display and screen(pilot).draft.config.lora.rank == 8


async def test_a_preset_is_taken_as_one_change_and_what_it_changed_is_shown(
    workspace: Workspace,
) -> None:
    async with form(workspace) as pilot:
        before = screen(pilot).draft.config
        await pilot.press("p", *"qlora extraction")
        await until(pilot, lambda: "lora.dropout = " in shown(pilot, "#more"))
        assert "* model.quantization = nf4" in shown(pilot, "#more")
        await pilot.press("enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await judged(pilot)
        now = screen(pilot).draft.config
        assert now.model.quantization == "nf4" and now.data.dataset == before.data.dataset
        assert "compared with what it was before" in shown(pilot, "#state")
        assert "none" in line(pilot, "quantization")
        await pilot.press("equals_sign")
        await pilot.pause()
        assert not any("dropout" in text for text in lines(pilot))
        await pilot.press("u")
        assert screen(pilot).draft.config == before


async def test_it_is_compared_with_another_config_whose_values_are_taken(
    workspace: Workspace,
) -> None:
    (workspace.configs / "theirs.yaml").write_text("lora: {rank: 64, alpha: 128}\n")
    async with form(workspace) as pilot:
        await pilot.press("c", *"theirs", "enter")
        await until(pilot, lambda: "fields differ" in said(pilot))
        await pilot.pause()
        assert line(pilot, "rank").split()[-1] == "64"
        await find(pilot, "lora.rank")
        await pilot.press("t")
        assert screen(pilot).draft.config.lora.rank == 64
        assert screen(pilot).draft.config.lora.alpha == 32


async def test_saving_keeps_comments_and_asks_before_it_replaces_anothers_work(
    workspace: Workspace,
) -> None:
    path = workspace.configs / "mine.yaml"
    async with form(workspace) as pilot:
        screen(pilot).apply(["lora.rank=8"])
        await pilot.press("s")
        await pilot.pause()
        assert "# mine" in path.read_text() and "# small" in path.read_text()
        assert loading.load(path).lora.rank == 8 and "·  saved" in shown(pilot, "#state")
        path.write_text("# by another\nname: mine\n")
        screen(pilot).apply(["lora.rank=4"])
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        assert path.read_text() == "# by another\nname: mine\n"
        await write(pilot, "S", "other/name")
        assert "can't be the name" in shown(pilot, "#help")
        pilot.app.screen.query_one("#value", Input).value = "second"
        await pilot.press("enter")
        await pilot.pause()
        assert loading.load(workspace.configs / "second.yaml").lora.rank == 4
        assert "# mine" in (workspace.configs / "second.yaml").read_text()


def editor(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Names the editor; in a test no terminal is lent to it, since there is none."""
    from contextlib import nullcontext

    monkeypatch.setattr(WorkbenchApp, "suspend", lambda self: nullcontext())

    def name(command: str) -> None:
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setitem(os.environ, "EDITOR", command)

    return name


async def test_the_yaml_is_edited_outside_and_mistakes_are_mended_there(
    workspace: Workspace, tmp_path: Path, lent: Callable[[str], None]
) -> None:
    async with form(workspace) as pilot:
        lent(editor(tmp_path / "wrong", 'printf "lora: {rnak: 3}\\nname: [\\n" > "$1"'))
        await pilot.press("e")
        await pilot.pause()
        await until(pilot, lambda: "YAML" in shown(pilot, "#more"))
        lent(editor(tmp_path / "right", 'printf "# anew\\nlora: {rank: 3}\\n" > "$1"'))
        await pilot.press("enter")
        await pilot.pause()
        draft = screen(pilot).draft
        assert draft.config.lora.rank == 3 and draft.text.startswith("# anew")
        await pilot.press("u")
        assert screen(pilot).draft.config.lora.rank == 16


async def test_a_file_with_mistakes_shows_all_of_them_and_loses_nothing(
    workspace: Workspace,
) -> None:
    path = workspace.configs / "bad.yaml"
    path.write_text("lora:\n  rnak: 3\n  alpha: many\n")
    async with form(workspace) as pilot:
        before = screen(pilot).draft.config
        await write(pilot, "O", "bad")
        await until(pilot, lambda: "line 2" in shown(pilot, "#more"))
        assert "line 3" in shown(pilot, "#more") and "lora.rank" in shown(pilot, "#more")
        await pilot.press("escape")
        await pilot.pause()
        assert screen(pilot).draft.config == before and "rnak" in path.read_text()


async def test_a_base_without_tokenizer_or_weights_is_said_and_the_form_goes_on(
    workspace: Workspace, base: Path
) -> None:
    (base / "tokenizer.json").unlink()
    async with form(workspace) as pilot:
        text = shown(pilot, "#forecast")
        assert "tokenizer.json" in text and "in all" in text
        screen(pilot).apply(["model.base=./nowhere"])
        await judged(pilot)
        assert "nowhere" in shown(pilot, "#forecast")
        assert "memory unknown" in shown(pilot, "#summary")


async def test_q_queues_a_run_after_it_was_asked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.queue import attendance, entries

    monkeypatch.setattr(attendance, "start", lambda workspace: None)
    async with form(workspace) as pilot:
        await pilot.press("Q")
        await pilot.pause()
        question: Any = shown(pilot, "#question")
        assert "Queue mine" in question and "numbers" in question
        await pilot.press("y")
        await until(pilot, lambda: "is queued" in said(pilot))
        assert [entry.run for entry in entries.read(workspace)] == ["mine-0001"]


async def test_keys_that_come_at_once_are_acted_on_in_their_order(workspace: Workspace) -> None:
    async with form(workspace) as pilot:
        await find(pilot, "lora.")
        keys = ["j", "enter", "6", "4", "enter"]
        for key in keys:
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: screen(pilot).draft.config.lora.alpha == 64)
        assert pilot.app.current_mode == "config"
        assert screen(pilot).draft.config.lora.rank == 16


async def test_what_is_not_saved_is_there_again_after_leaving(workspace: Workspace) -> None:
    path = workspace.configs / "mine.yaml"
    async with form(workspace) as pilot:
        screen(pilot).apply(["lora.rank=8"])
        await pilot.press("q")
    assert "rank" not in path.read_text()
    app = WorkbenchApp(workspace, mode="config")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await judged(pilot)
        assert screen(pilot).draft.config.lora.rank == 8 and "not saved" in shown(pilot, "#state")
        assert "wasn't saved" in said(pilot)
        await pilot.press("s")
        await pilot.pause()
        assert loading.load(path).lora.rank == 8 and "# small" in path.read_text()
    assert not (workspace.configs / ".draft.json").exists()


async def test_a_sweep_is_told_and_kept_and_queued_as_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.queue import attendance, entries

    monkeypatch.setattr(attendance, "start", lambda workspace: None)
    path = workspace.configs / "mine.yaml"
    path.write_text(path.read_text() + "sweep: {fields: {lora.rank: [8, 4]}, budget: 2}\n")
    async with form(workspace) as pilot:
        assert "with a sweep" in shown(pilot, "#state")
        assert "sweep: 8, 4" in line(pilot, "rank")
        screen(pilot).apply(["lora.dropout=0.1"])
        await pilot.press("Q")
        assert "Save it first" in said(pilot)
        await pilot.press("s")
        await pilot.pause()
        assert "sweep: {fields" in path.read_text()
        await pilot.press("Q")
        await pilot.pause()
        assert "lora.rank" in shown(pilot, "#question")
        await pilot.press("y")
        await until(pilot, lambda: "2 runs are queued" in said(pilot))
        assert len(entries.read(workspace)) == 2


async def test_at_80x24_nothing_that_matters_is_cut_off(workspace: Workspace) -> None:
    async with form(workspace, (80, 24)) as pilot:
        screen(pilot).apply(["training.learning_rate=0.05", "lora.alpha=512"])
        await judged(pilot)
        line = pilot.app.screen.query_one("#summary")
        text = shown(pilot, "#summary")
        assert len(text) <= line.content_size.width
        assert "warning" in text or " W" in text
        assert all(0 < key.region.right <= 80 for key in pilot.app.screen.query("FooterKey"))
        await pilot.press("a")
        await pilot.pause()
        help = pilot.app.screen.query_one("#help")
        assert "source:" in shown(pilot, "#help") and help.size.height == help.virtual_size.height


async def test_in_a_pane_of_ten_lines_there_are_fields_and_choices(workspace: Workspace) -> None:
    async with form(workspace, (80, 10)) as pilot:
        assert screen(pilot).fields.size.height >= 4
        await pilot.press("c")
        await until(pilot, lambda: pilot.app.screen.query_one(RowTable).count > 2)
        await pilot.pause()
        assert pilot.app.screen.query_one(RowTable).size.height >= 3


async def test_a_key_behind_that_of_a_tab_is_its_screens(workspace: Workspace) -> None:
    async with form(workspace) as pilot:
        await pilot.press("1")
        for key in ("2", "x"):
            pilot.app.post_message(events.Key(key, key))
        await until(pilot, lambda: "Start mine" in _asked(pilot))
        await pilot.press("3")
        assert pilot.app.current_mode == "config"
        await pilot.press("n", "O", "3")
        assert pilot.app.current_mode == "config"


def _asked(pilot: Form) -> str:
    found = pilot.app.screen.query("#question")
    return str(found.first(Static).visual) if found else ""
