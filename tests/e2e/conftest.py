from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.trained import let_it_be_sure
from workbench.tracking import runs

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0
"""Seconds that something may take to show on a screen of a busy machine: the first validation of a
run that was just started, for one."""


class Terminal:
    """`workbench ARGUMENTS` in a real tmux of its own, read as a person reads it."""

    def __init__(self, workspace: Path, columns: int = 80, rows: int = 24) -> None:
        self.workspace = workspace
        self._size = ["-x", str(columns), "-y", str(rows)]
        self._name = f"workbench-test-{uuid.uuid4().hex[:12]}"

    def start(self, *arguments: str, **environment: str) -> None:
        """Start the program; the shell that it runs in stays when it has ended."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        program = shlex.join(["env", *variables, sys.executable, "-m", "workbench", *arguments])
        self._tmux("-f", os.devnull, "new-session", "-d", *self._size, f"{program}; exec sh")
        self._tmux("set", "-g", "status", "off")

    def _tmux(self, *arguments: str) -> str:
        environment = {**os.environ, "WORKBENCH_HOME": str(self.workspace)}
        return subprocess.run(
            ["tmux", "-L", self._name, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout

    def tell(self, *command: str) -> None:
        """A command of tmux's own."""
        self._tmux(*command)

    def first_window(self, variable: str) -> str:
        """A variable of tmux's, of the window that the program is in."""
        return self._tmux("display-message", "-p", "-t", ":0", f"#{{{variable}}}").strip()

    def screen(self, *, colours: bool = False) -> str:
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: `Enter`, `C-p`, `q`."""
        self._tmux("send-keys", *keys)

    def enter(self, text: str) -> None:
        """Type a text and press enter."""
        self._tmux("send-keys", "-l", "--", text)
        self.press("Enter")

    def wait(self, *texts: str) -> str:
        """The screen once all of `texts` are on it; fails with the screen when they don't come."""
        deadline = time.monotonic() + PATIENCE
        while True:
            shown = self.screen()
            if all(text in shown for text in texts):
                return shown
            if time.monotonic() > deadline:
                pytest.fail(f"{texts} did not come:\n{shown}")
            time.sleep(0.05)

    def wait_gone(self, text: str) -> None:
        """Wait until `text` is no longer on the screen."""
        deadline = time.monotonic() + PATIENCE
        while text in (shown := self.screen()):
            if time.monotonic() > deadline:
                pytest.fail(f"{text} did not go:\n{shown}")
            time.sleep(0.05)

    def program(self) -> int:
        """The process id of the program in the pane's shell."""
        shell = self.first_window("pane_pid")
        return int(subprocess.check_output(["pgrep", "-P", shell], text=True).split()[0])

    def kill_program(self) -> None:
        os.kill(self.program(), signal.SIGKILL)

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does."""
        subprocess.run(["tmux", "-L", self._name, "kill-server"], capture_output=True)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.hang_up()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that only have to go on leave the processor to others."""
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).with_name('unhurried')}:{ROOT}")


@dataclass
class Journey:
    """A workspace in which the whole path was gone, and what each step said."""

    workspace: Path
    home: Path
    """Where the commands ran and where the exports lie."""
    base: Path
    said: dict[str, Any]

    def run(self, *arguments: object) -> Any:
        """`workbench ARGUMENTS --json`, its answer parsed. It must succeed."""
        ended = subprocess.run(
            [sys.executable, "-m", "workbench", *map(str, arguments), "--json"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.home,
            env={**os.environ, "WORKBENCH_HOME": str(self.workspace)},
            timeout=240,
        )
        assert ended.returncode == 0, f"{arguments}: {ended.stderr}"
        return json.loads(ended.stdout)

    def step(self, run: str) -> int:
        """The newest step of a run. For tests that wait for one: `workbench status` would take
        from the run half of the time that it needs."""
        return runs.summarise(self.workspace / "runs" / run).step


def _rows() -> list[dict[str, str]]:
    colours = ("red", "green", "blue", "black", "white")
    return [
        {
            "system": "Answer in one word.",
            "instruction": f"What is the colour of thing number {i}?",
            "output": f"It is {colours[i % 5]}.",
        }
        for i in range(120)
    ]


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory, _tiny_model: Path) -> Journey:
    """The whole path on a tiny model, each step as its own verb."""
    home = tmp_path_factory.mktemp("journey")
    (home / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _rows()))
    base = Path(shutil.copytree(_tiny_model, home / "tiny-base"))
    let_it_be_sure(base / "model.safetensors")
    trip = Journey(home / "ws", home, base, {})
    said = trip.said
    said["import"] = trip.run("data", "import", "colours.jsonl", "--task", "colour")
    said["check"] = trip.run("data", "check", "colours")
    settings = {
        "model.base": base,
        "data.dataset": said["import"]["reference"],
        "data.max_length": 256,
        "training.max_steps": 60,
        "training.learning_rate": "5e-3",
        "training.batch_size": 8,
        "training.accumulation": 1,
        "evaluation.every": 30,
        "evaluation.generate_rows": 6,
        "evaluation.max_new_tokens": 24,
        "checkpoints.every": 30,
    }
    flags = [flag for name, value in settings.items() for flag in ("--set", f"{name}={value}")]
    said["config"] = trip.run("config", "new", "tiny", *flags)
    said["tokens"] = trip.run("data", "show", "colours", "--tokens", "--model", base)
    said["train"] = trip.run("train", "tiny", "--wait")
    said["eval"] = trip.run("eval")
    said["review"] = trip.run("review", "create", "first")
    said["adapter"] = trip.run("export", "adapter", "latest", "--to", "out/adapter")
    said["merged"] = trip.run("export", "merged", "latest", "--to", "out/merged")
    said["report"] = trip.run("runs", "report")
    return trip
