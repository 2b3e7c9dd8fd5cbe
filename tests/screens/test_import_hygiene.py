"""The screen process never loads the heavy libraries: they cost seconds and gigabytes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from workbench.data import stdlib_docs
from workbench.workspace import Workspace

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "bitsandbytes",
    "numpy",
    "pandas",
    "pyarrow",
)

FIRST_FRAME = """
import json, sys
from workbench.cli import main
import screens.app

def leave(app):
    with open(sys.argv[1], "w") as stream:
        json.dump(sorted(sys.modules), stream)
    app.exit()

screens.app.WorkbenchApp.action_detach = leave
sys.exit(main(["--workspace", sys.argv[2]]))
"""

UNTIL = """
import asyncio

async def until(pilot, condition):
    async with asyncio.timeout(60):
        while not condition():
            await pilot.pause(0.02)
"""

EVERY_SCREEN = """
import asyncio, json, sys
from pathlib import Path
from screens.app import WorkbenchApp
from workbench.workspace import Workspace

async def visit():
    app = WorkbenchApp(Workspace(Path(sys.argv[2])), base=sys.argv[3])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query("#sort"))
        await pilot.press("t")
        text = lambda: str(app.screen.query_one("#text").visual)
        await until(pilot, lambda: "tokens are" in text())
        seen = [text()]
        for key in "23456":
            before = app.current_mode
            await pilot.press(key)
            await until(pilot, lambda: app.current_mode != before)
            await pilot.pause()
            seen.append(app.current_mode)
    with open(sys.argv[1], "w") as stream:
        json.dump({"modules": sorted(sys.modules), "seen": seen}, stream)

asyncio.run(visit())
"""

OUTPUTS = """
import asyncio, json, sys
from pathlib import Path
from screens.app import WorkbenchApp
from screens.outputs import OutputsScreen
from workbench.evaluation.outputs import of_path
from workbench.workspace import Workspace

async def visit():
    app = WorkbenchApp(Workspace(Path(sys.argv[2])), mode="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(OutputsScreen([of_path(Path(sys.argv[3]))]))
        seen = lambda: str(app.screen.query_one("#legend").visual)
        await until(pilot, lambda: seen() and "–" not in seen())
        seen = seen()
    with open(sys.argv[1], "w") as stream:
        json.dump({"modules": sorted(sys.modules), "seen": seen}, stream)

asyncio.run(visit())
"""


def test_the_first_frame_is_there_without_a_heavy_library(tmp_path: Path) -> None:
    out = tmp_path / "modules.json"
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST_FRAME, str(out), str(tmp_path / "ws")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    shown = b""
    while b"1 Datasets" not in shown:
        shown += os.read(terminal, 1 << 16)
    os.write(terminal, b"q")
    _read_to_end(terminal)
    assert process.wait() == 0
    modules = json.loads(out.read_text())
    assert "textual.app" in modules
    assert [name for name in (*HEAVY, "pydantic") if name in modules] == []


def test_all_six_screens_and_the_tokens_come_without_a_heavy_library(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    stdlib_docs.build(workspace)
    tiny.make_tokenizer(tmp_path / "model")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_text('{"model_type": "llama"}')
    out = tmp_path / "seen.json"
    subprocess.run(
        [
            *(sys.executable, "-c", UNTIL + EVERY_SCREEN),
            *(str(out), str(workspace.root), str(tmp_path / "model")),
        ],
        check=True,
    )
    found = json.loads(out.read_text())
    assert found["seen"][1:] == ["config", "monitor", "review", "runs", "jobs"]
    assert "tokens are trained" in found["seen"][0]
    assert [name for name in HEAVY if name in found["modules"]] == []


def test_outputs_are_scored_and_read_without_a_heavy_library(tmp_path: Path) -> None:
    outputs, out = tmp_path / "mine.jsonl", tmp_path / "seen.json"
    outputs.write_text('{"prompt": "2+2?", "reference": "4", "outputs": {"a": "4", "b": "5"}}\n')
    script = UNTIL + OUTPUTS
    subprocess.run([sys.executable, "-c", script, out, tmp_path / "ws", outputs], check=True)
    found = json.loads(out.read_text())
    assert "a a 1.00   b b .000" in found["seen"]
    assert [name for name in HEAVY if name in found["modules"]] == []


@pytest.mark.parametrize("module", ["workbench.cli", "workbench.jobs.supervisor"])
def test_the_command_and_the_supervisor_load_no_heavy_library(module: str) -> None:
    probe = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def _read_to_end(terminal: int) -> None:
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # how a pseudo-terminal says that the other side has closed
        os.close(terminal)
