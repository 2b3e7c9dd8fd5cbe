"""A run in the terminal's title and its bell, in a real tmux; terminals that look at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Journey, Terminal
from tests.polling import eventually


@pytest.fixture
def running(journey: Journey, unhurried: None) -> Iterator[str]:
    """A run that goes on."""
    config = journey.workspace / "configs" / "tiny.yaml"
    run = journey.run("train", config, "--set", "training.max_steps=100000")["id"]
    yield run
    if journey.run("status", run)["status"] in ("running", "paused"):
        journey.run("stop", "--now", run)


def open_at(
    workspace: Path, terminals: list[Terminal], size: tuple[int, int], *args: str
) -> Terminal:
    terminal = Terminal(workspace, *size)
    terminals.append(terminal)
    terminal.start(*args)
    # A window in front: only one that nobody looks at keeps a bell's flag.
    terminal.tell("new-window", "cat")
    return terminal


def test_at_a_runs_end_the_bell_rings_and_the_title_says_so_in_every_terminal(
    journey: Journey, terminals: list[Terminal], running: str
) -> None:
    small = open_at(journey.workspace, terminals, (80, 8), "attach", "--compact", running)
    plain = open_at(journey.workspace, terminals, (80, 24), "attach", "--plain", running)
    frozen = open_at(journey.workspace, terminals, (160, 45), "attach", running)
    for terminal in (small, plain, frozen):
        eventually(lambda t=terminal: t.first_window("pane_title").startswith(f"{running} step"))
        assert terminal.first_window("window_bell_flag") == "0"
    os.kill(frozen.program(), signal.SIGSTOP)
    before = journey.run("status", running)["step"]
    eventually(lambda: journey.step(running) > before)
    journey.run("stop", running)
    for terminal in (small, plain):
        eventually(lambda t=terminal: t.first_window("window_bell_flag") == "1")
        assert terminal.first_window("pane_title") == f"{running}: stopped"
    os.kill(frozen.program(), signal.SIGCONT)
    eventually(lambda: frozen.first_window("pane_title") == f"{running}: stopped")

    # What was there before is there again once the app is left.
    small.tell("select-window", "-t", ":0")
    lines = small.wait(f"{running}  STOPPED", "host").splitlines()
    assert len(lines) <= 8 and "1 Datasets" not in lines[0]
    small.press("q")
    small.wait("Detached.")
    eventually(lambda: running not in small.first_window("pane_title"))

    # Of a run that was over before one is told nothing.
    late = open_at(journey.workspace, terminals, (80, 24), "attach", running)
    late.tell("select-window", "-t", ":0")
    late.wait("STOPPED")
    assert running not in late.first_window("pane_title")
    late.press("q")
    late.wait("Detached.")
