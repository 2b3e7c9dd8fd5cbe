"""Time from the start of the process to the first frame, beside a bare Textual app.

Both run on a pseudo-terminal of their own, by turns; the frame counts once its text has
been read from the terminal. Prints the median of each and their ratio.

    .venv/bin/python benchmarks/first_frame.py [ROUNDS]
"""

from __future__ import annotations

import os
import pty
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

BARE = """
from textual.app import App
from textual.widgets import Footer, Static
class Bare(App):
    def compose(self):
        yield Static("first frame")
        yield Footer()
Bare().run()
"""


def first_frame(arguments: list[str], wanted: bytes) -> float:
    """Seconds until `wanted` was read from the terminal of `python ARGUMENTS`."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="80", LINES="24")
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 1 << 16)
    seconds = time.perf_counter() - started
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return seconds


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times: dict[str, list[float]] = {"bare": [], "workbench": []}
    with tempfile.TemporaryDirectory() as folder:
        workspace = str(Path(folder) / "ws")
        for _ in range(rounds + 1):
            times["bare"].append(first_frame(["-c", BARE], b"first frame"))
            times["workbench"].append(
                first_frame(["-m", "workbench", "--workspace", workspace], b"1 Datasets")
            )
    # The first round warms the file cache and does not count.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:10} {median * 1000:6.0f} ms")
    print(f"ratio      {medians['workbench'] / medians['bare']:6.2f}")


if __name__ == "__main__":
    main()
