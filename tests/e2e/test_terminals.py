"""Terminals of every kind: few colours, none, any size, one that stalls, one that is lost."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal
from tests.e2e.pseudo import Open, pseudo_terminals
from tests.polling import eventually

READY = "There is no dataset here yet"


@pytest.fixture
def open_on() -> Iterator[Open]:
    with pseudo_terminals() as start:
        yield start


def selections(written: bytes) -> set[str]:
    """The parameters of every SGR sequence, with those of a longer colour kept together."""
    found: set[str] = set()
    for codes in re.findall(rb"\x1b\[([\d;]*)m", written):
        found.update(re.findall(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|\d+", codes.decode()))
    return found


COLOURS = re.compile(r"[34]8;.*|[349][0-7]|10[0-7]")


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({"TERM": "xterm"}, r"[349][0-7]|10[0-7]"),
        ({"TERM": "linux"}, r"[349][0-7]|10[0-7]"),
        ({"TERM": "screen"}, r"[349][0-7]|10[0-7]"),
        ({"TERM": "xterm-256color"}, r"[34]8;5;.*|[349][0-7]|10[0-7]"),
        ({"TERM": "tmux-256color"}, r"[34]8;5;.*|[349][0-7]|10[0-7]"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, ".*"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "nothing"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "nothing"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_only_colours_that_the_terminal_has_are_written(
    tmp_path: Path, open_on: Open, environment: dict[str, str], allowed: str
) -> None:
    app = open_on(tmp_path / "ws", **environment)
    app.wait(READY)
    for key, text in (("3", "There are no runs yet"), ("2", "not saved"), ("?", "Keys")):
        before = len(app.written)
        app.press(key)
        app.wait(text, before)
    used = {one for one in selections(app.written) if COLOURS.fullmatch(one)}
    assert {one for one in used if not re.fullmatch(allowed, one)} == set()
    if allowed != "nothing":
        assert used


def test_a_dumb_terminal_is_refused_kindly(tmp_path: Path, open_on: Open) -> None:
    app = open_on(tmp_path / "ws", TERM="dumb")
    eventually(app.gone)
    app.read_to_end()
    assert b"can't show the app" in app.written and b"attach --plain" in app.written
    assert b"\x1b" not in app.written


def test_a_terminal_that_nobody_reads_costs_nothing_and_goes_on_when_read(
    tmp_path: Path, open_on: Open
) -> None:
    app = open_on(tmp_path / "ws")
    app.wait(READY)
    app.press("2")
    app.wait("not saved")
    app.leave_unread()
    keys = itertools.cycle("j...k...")

    def full() -> bool:
        # Now and then one: what comes in a burst is drawn once.
        if (key := next(keys)) != ".":
            app.press(key)
        return blocked(app.pid)

    # More than the terminal and Textual's queue of 30 writes hold.
    eventually(full)
    before = app.resident()
    app.press("32" * 20)
    assert app.resident() - before < 8 << 20
    app.read()
    place = len(app.written)
    app.press("5")
    app.wait("There are no runs yet", place)
    app.press("q")
    app.wait("Detached.")
    eventually(app.gone)


def blocked(pid: int) -> bool:
    """Whether one of its threads waits for the terminal to be read."""
    return waits_in(pid, "woken", "tty")


def waits_in(pid: int, *names: str) -> bool:
    """Whether one of its threads waits in a function of the kernel with such a name."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended since
            where = (task / "wchan").read_text()
            if any(name in where for name in names):
                return True
    return False


@pytest.mark.parametrize("ignored", [False, True], ids=["", "nohup"])
@pytest.mark.parametrize("unread", [False, True], ids=["", "stalled"])
def test_with_its_terminal_the_app_is_gone(
    tmp_path: Path, open_on: Open, ignored: bool, unread: bool
) -> None:
    app = open_on(tmp_path / "ws", ignore_hangup=ignored)
    app.wait(READY)
    if unread:
        app.leave_unread()
        app.press("32" * 20)
    used = app.processor_seconds()
    app.hang_up()
    last = [used]

    def gone() -> bool:
        if not app.gone():
            last.append(app.processor_seconds())
            return False
        return True

    eventually(gone)
    assert last[-1] - used < 2  # no core was kept busy meanwhile


def test_the_terminal_s_end_is_noticed_without_a_signal(tmp_path: Path) -> None:
    """As when sshd is killed and what it held is closed by the kernel."""
    side, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "WORKBENCH_HOME": str(tmp_path / "ws")},
    )
    try:
        os.close(terminal)
        seen = b""
        while READY.encode() not in seen:
            seen += os.read(side, 1 << 16)
        os.close(side)
        assert process.wait(timeout=60) == 129
    finally:
        process.kill()
        process.wait()


def test_a_storm_of_sizes_ends_with_the_right_picture(
    tmp_path: Path, terminals: list[Terminal]
) -> None:
    app, calm = (Terminal(tmp_path / "ws", 80, 24) for _ in range(2))
    for terminal in (app, calm):
        terminals.append(terminal)
        terminal.start()
        terminal.wait(READY)
        terminal.press("3")
        terminal.wait("There are no runs yet", "? Help")
    for turn in range(100):
        columns, rows = (20, 5) if turn % 2 else (250 - turn, 70 - turn // 2)
        app.tell("resize-window", "-x", str(columns), "-y", str(rows))
    app.tell("resize-window", "-x", "80", "-y", "24")
    # The other one's as it is now: what is waited for above may have come before the rest.
    eventually(lambda: app.screen() == calm.screen())


def test_any_size_is_survived_and_one_too_small_is_said(tmp_path: Path, open_on: Open) -> None:
    app = open_on(tmp_path / "ws", size=(1, 1))
    for columns, rows in ((1, 1), (2, 30), (200, 1), (30, 6), (39, 24), (80, 5)):
        place = len(app.written)
        app.resize(columns, rows)
        if columns * rows > 60:
            app.wait("Too small", place)
    place = len(app.written)
    app.resize(80, 24)
    app.wait(READY, place)
    for key, text in (("2", "not saved"), ("6", "There are no jobs yet")):
        place = len(app.written)
        app.press(key)
        app.wait(text, place)
    place = len(app.written)
    app.resize(20, 5)
    app.wait("Too small", place)
    app.press("q")
    app.wait("Detached.")
    eventually(app.gone)


@pytest.mark.parametrize(
    ("hanging", "fresh"), [("train.jsonl", False), ("state.json", False), ("state.json", True)]
)
def test_a_file_server_that_is_away_keeps_nobody_from_leaving(
    tmp_path: Path, open_on: Open, hanging: str, fresh: bool
) -> None:
    run = tmp_path / "ws" / "runs" / "live-0001"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    app = open_on(tmp_path / "ws")
    app.wait(READY)
    # Opening it hangs until somebody writes, as a file does whose server is away.
    os.mkfifo(run / hanging)
    if not fresh:
        # What is old is not looked at in search of the newest run.
        os.utime(run / hanging, (0, 0))
    app.press("3")
    eventually(lambda: hangs(app.pid))
    # Which run it is or how it is, the keys are answered: p, too, which asks the run's files.
    place = len(app.written)
    app.press("p" if hanging == "state.json" and not fresh else "3")
    app.press("2")
    app.wait("not saved", place)
    app.press("q")
    app.wait("Detached.")
    eventually(app.gone)


def hangs(pid: int) -> bool:
    """Whether one of its threads waits for a file to open."""
    return waits_in(pid, "partner", "fifo")
