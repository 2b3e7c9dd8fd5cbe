"""Tables of the command line: whole in a file, fitted in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from tests.trained import Trained
from workbench.verbs.tables import lay_out

FIGURE = "0.3333 [0.1923, 0.5122]"
SYSTEMS = ["base", "adapter", "a-run-with-a-very-long-name-0001", "merged"]


def test_what_fits_is_as_it_is_with_numbers_to_the_right() -> None:
    told = lay_out(["name", "rows"], [["a", 1], ["longer", 1000], ["none", "–"]], 80)
    assert told.split("\n") == ["name    rows", "a          1", "longer  1000", "none       –"]


def test_figures_of_many_systems_come_in_blocks_with_the_first_column_in_each() -> None:
    rows = [[name, *[FIGURE] * 4] for name in ("loss", "exact match")]
    first, second = lay_out(["figure", *SYSTEMS], rows, 80).split("\n\n")
    assert first.split("\n") == [
        "figure       base                     adapter",
        f"loss         {FIGURE}  {FIGURE}",
        f"exact match  {FIGURE}  {FIGURE}",
    ]
    assert second.split("\n")[1:] == [
        f"loss         {FIGURE}           {FIGURE}",
        f"exact match  {FIGURE}           {FIGURE}",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200, None])
def test_no_line_is_wider_and_no_word_is_lost(columns: int | None) -> None:
    text = "What label best describes this news article about the bears of Wall Street?"
    rows = [[12, "3.12", text, "Science and technology"], [13, "–", "How many eggs?", text]]
    told = lay_out(["row", "loss", "prompt", "response"], rows, columns)
    if columns is not None:
        assert max(map(len, told.split("\n"))) <= columns
    for word in (text + " Science and technology How many eggs? 3.12 13").split():
        assert word in told


def test_a_word_that_is_wider_than_the_terminal_is_broken() -> None:
    told = lay_out(["x"], [["a" * 50]], 20)
    assert told.split("\n") == ["x", "a" * 20, "a" * 20, "a" * 10]


@pytest.mark.parametrize(("columns", "fits"), [(80, True), (200, False)])
def test_it_is_the_terminal_s_width_that_counts(
    trained_run: Trained, columns: int, fits: bool
) -> None:
    piped = trained_run.cli("runs", "list").stdout
    assert len(piped.splitlines()) == 2 and max(map(len, piped.splitlines())) > 80
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "WORKBENCH_HOME": str(trained_run.workspace.root)}
    command = [sys.executable, "-m", "workbench", "runs", "list"]
    process = subprocess.Popen(command, stdout=theirs, env=env, cwd=trained_run.base.parent)
    os.close(theirs)
    assert process.wait(timeout=240) == 0
    said = b""
    # What was written comes in any pieces; the end is an error.
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            said += part
    os.close(ours)
    lines = said.decode().replace("\r\n", "\n").rstrip("\n").split("\n")
    assert (max(map(len, lines)) <= 80) == fits and (len(lines) > 2) == fits
    headers, row = (line.split() for line in piped.splitlines())
    assert {*headers, *row[:6]} <= set("\n".join(lines).split())
