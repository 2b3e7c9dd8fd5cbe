from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import Cli
from tests.e2e.conftest import Journey, Terminal
from tests.polling import eventually
from workbench.jobs.state import start_ticks
from workbench.tracking import finding, runs
from workbench.workspace import Workspace


@pytest.fixture
def trip(journey: Journey, tmp_path: Path, unhurried: None) -> Iterator[Journey]:
    """A copy of the journey's workspace, which the test may change; ends the runs left in it."""
    workspace = Workspace(Path(shutil.copytree(journey.workspace, tmp_path / "ws")))
    yield Journey(workspace.root, tmp_path, journey.base, journey.said)
    for run in finding.running(workspace):
        runs.command(workspace.runs / run, "stop_now")


def in_reverse(app: Terminal, text: str) -> bool | None:
    """Whether every character of `text` is in reverse; None where it isn't on the screen once, as
    while that is drawn."""
    shown, flags, reverse = "", [], False
    for part in re.split(r"(\x1b\[[\d;]*m)", app.screen(colours=True)):
        if part.startswith("\x1b["):
            for code in part[2:-1].split(";"):
                reverse = True if code == "7" else False if code in ("", "0", "27") else reverse
        else:
            shown += part
            flags += [reverse] * len(part)
    if shown.count(text) != 1:
        return None
    begin = shown.index(text)
    return all(flags[begin : begin + len(text)])


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (160, 45)])
def test_all_five_screens_by_keys(
    trip: Journey, terminals: list[Terminal], columns: int, rows: int
) -> None:
    app = Terminal(trip.workspace, columns, rows)
    terminals.append(app)
    app.start()
    reference = trip.said["import"]["reference"]
    app.wait("1 dataset version: enter opens one", reference)

    # Config: a saved one is opened, a field found and changed, the whole saved under a name.
    app.press("2")
    app.wait("not saved", "MODEL")
    app.press("o")
    app.wait("escape leaves")
    app.enter("tiny")
    app.wait("tiny  ·  saved")
    app.press("/")
    app.enter("max_steps")
    app.wait("Stop after this many optimiser steps")
    app.press("Enter")
    app.wait("training.max_steps  enter takes it, escape leaves")
    app.enter("100000")
    app.wait("* 100000", "not saved")
    app.press("S")
    app.enter("tiny-more")
    app.wait("tiny-more  ·  saved")
    saved = yaml.safe_load((trip.workspace / "configs" / "tiny-more.yaml").read_text())
    assert saved["training"]["max_steps"] == 100_000

    # Datasets: rows, one of them whole, its tokens by the config's base model, the filter.
    app.press("1")
    app.wait("enter opens one")
    app.press("Enter")
    app.wait("120 rows", "What is the colour of", "Answer in one word.")
    app.press("j", "t")
    app.wait("tokens are trained (in reverse)", "<|im_start|>")
    # In reverse, so that the trained tokens can be told without colours, too.
    app.press("z")
    app.wait_gone("split task")
    texts = ("It is green.<|im_end|>", "Answer in one word.<|im_end|>")
    eventually(lambda: [in_reverse(app, text) for text in texts] == [True, False])
    app.press("Escape")
    app.wait("split task")
    app.press("/")
    app.enter("number 77?")
    app.wait("1 of 120 rows", "number 77?")

    # Monitor: start the saved config, watch it, leave; it goes on.
    app.press("2")
    app.wait("tiny-more")
    app.press("x")
    app.wait("Start tiny-more: LoRA of rank 16")
    app.press("y")
    app.wait("RUNNING", "step", "/100,000", "tokens/s", "host", "validation")
    app.press("m")
    app.wait("tokens/s", "NVIDIA" if "NVIDIA" in app.screen() else "GPU")
    app.press("S")
    app.wait("Stop tiny-more-0002 after this step", "y  yes")
    app.press("n")

    # Review: a verdict, a tie, one taken back.
    app.press("4")
    app.wait("0 of 6 judged", "comparison 1 of 6")
    app.press("a")
    app.wait("1 of 6 judged")
    app.press("t")
    app.wait("2 of 6 judged")
    app.press("u")
    app.wait("1 of 6 judged")
    assert trip.run("review", "list")[0]["annotators"][0]["judged"] == 1

    # Runs: both, the main figures, and the past one on the Monitor. Digits are verdicts until
    # the session is left.
    app.press("Escape")
    app.wait("enter opens one")
    app.press("5")
    app.wait("2 of 2 runs", "tiny-0001", "finished", "tiny-more-0002", "running")
    app.press("j")
    app.wait("perplexity", "adapter")
    app.press("Enter")
    app.wait("tiny-0001  FINISHED", "step 60/60")

    # Help and commands, then detaching.
    app.press("?")
    app.wait("Keys: Monitor", "Save now")
    app.press("Escape")
    app.wait_gone("Keys: Monitor")
    app.press(":")
    app.wait("Search")
    app.enter("detach")
    app.wait("Detached. Training goes on: tiny-more-0002.", "workbench attach")
    assert trip.run("status")["status"] == "running"
    assert trip.run("stop")["acknowledged"]
    assert trip.run("attach")["status"] == "stopped"


def test_training_outlives_a_lost_terminal_and_a_killed_app(
    trip: Journey, terminals: list[Terminal]
) -> None:
    run = trip.run("train", "tiny", "--set", "training.max_steps=100000")["id"]
    for end in (Terminal.hang_up, Terminal.kill_program):
        app = Terminal(trip.workspace)
        terminals.append(app)
        app.start("attach", run)
        # Everything since the first step: the chart begins at step 0.
        app.wait("RUNNING", "step 0", "tokens/s")
        before = trip.run("status", run)["step"]
        program = app.program()
        end(app)
        # It must not linger and spin on a terminal that is gone.
        eventually(lambda pid=program: start_ticks(pid) is None)
        now = trip.run("status", run)
        assert now["status"] == "running"
        assert now["step"] >= before
    trip.run("stop", run)
    ended = trip.run("attach", run)
    assert ended["status"] == "stopped"
    assert "with a checkpoint" in ended["text"]


def test_the_app_says_what_to_do_in_an_empty_workspace(
    tmp_path: Path, terminals: list[Terminal]
) -> None:
    app = Terminal(tmp_path / "ws")
    terminals.append(app)
    app.start("--ascii")
    app.wait("There is no dataset here yet.", "workbench data import FILE")
    for key, wanted in (
        ("2", "not saved"),
        ("3", "There are no runs yet."),
        ("4", "No review session yet."),
        ("5", "There are no runs yet."),
        ("6", "There are no jobs yet."),
    ):
        app.press(key)
        app.wait(wanted)
    app.press("q")
    app.wait("Detached. No training is running.")


def test_the_app_has_the_terminal_s_size_whatever_a_shell_has_exported(
    tmp_path: Path, terminals: list[Terminal]
) -> None:
    app = Terminal(tmp_path / "ws", 100, 12)
    terminals.append(app)
    app.start(COLUMNS="80", LINES="24")
    for columns, rows in ((100, 12), (60, 20)):
        app.tell("resize-window", "-x", str(columns), "-y", str(rows))

        def drawn(rows: int = rows) -> bool:
            lines = app.screen().splitlines()
            return len(lines) == rows and "1 Datasets" in lines[0] and "Detach" in lines[-1]

        eventually(drawn)
    app.press("q")
    app.wait("Detached. No training is running.")


def test_a_terminated_app_gives_the_terminal_back(
    tmp_path: Path, terminals: list[Terminal]
) -> None:
    app = Terminal(tmp_path / "ws")
    terminals.append(app)
    app.start()
    app.wait("There is no dataset here yet.")
    program = app.program()
    os.kill(program, signal.SIGTERM)
    app.wait_gone("There is no dataset here yet.")
    # Until then it may take from the shell what is typed.
    eventually(lambda: start_ticks(program) is None)
    app.enter("echo the shell is $((6 * 7))")
    app.wait("the shell is 42")


def test_a_file_that_can_not_be_browsed_is_said_without_opening_the_app(cli: Cli) -> None:
    ended = cli("--dataset", "nowhere.jsonl")
    assert ended.returncode == 2
    assert "There is no file nowhere.jsonl" in ended.stderr
