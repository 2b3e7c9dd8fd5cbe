"""The time of a training step with nobody watching, and with terminals of several kinds.

One run of a tiny model goes on all the time, on one thread; the terminals come and go by turns.
Prints the median step of each kind and, since the machine's speed drifts, the median over the
rounds of its ratio to the steps of the same round that nobody watched.

    .venv/bin/python benchmarks/attached.py [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tiny import make_model
from workbench.jobs.events import Step
from workbench.jobs.log import read_all
from workbench.workspace import Workspace

SETTLES = 3.0
"""Seconds in which a terminal opens the app and catches up; they don't count."""


@contextmanager
def watching(
    workspace: Path, columns: int, rows: int, *, reads: bool, frozen: bool
) -> Iterator[None]:
    """The app attached on a terminal of its own.

    A terminal that doesn't read is one stopped with ctrl+s; a frozen app got SIGSTOP.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", WORKBENCH_HOME=str(workspace))
        os.execv(sys.executable, [sys.executable, "-m", "workbench", "attach"])  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                os.read(terminal, 1 << 16)
        except OSError:
            return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(SETTLES)
    if not reads:
        stop.set()
    if frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


@contextmanager
def nobody() -> Iterator[None]:
    time.sleep(SETTLES)
    yield


def kinds(workspace: Path) -> dict[str, Callable[[ExitStack], None]]:
    def one(stack: ExitStack) -> None:
        stack.enter_context(watching(workspace, 80, 24, reads=True, frozen=False))

    def unread(stack: ExitStack) -> None:
        stack.enter_context(watching(workspace, 80, 24, reads=False, frozen=False))

    def frozen(stack: ExitStack) -> None:
        stack.enter_context(watching(workspace, 80, 24, reads=True, frozen=True))

    def three(stack: ExitStack) -> None:
        one(stack)
        stack.enter_context(watching(workspace, 160, 45, reads=True, frozen=False))
        frozen(stack)

    return {
        "nobody": lambda stack: stack.enter_context(nobody()),
        "one at 80x24": one,
        "one that doesn't read": unread,
        "one with SIGSTOP": frozen,
        "three, one of them frozen": three,
    }


def start_run(folder: Path) -> Path:
    """A run of a tiny model that goes on for hours; returns its log."""
    base = make_model(folder / "base")
    rows = folder / "rows.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"prompt": f"Is {n} {'very ' * (n % 9)}odd?", "completion": "Ask it. " * 9})
            + "\n"
            for n in range(400)
        )
    )
    settings = {
        "model.base": base,
        "data.dataset": "rows",
        "training.max_steps": 10_000_000,
        "training.batch_size": 8,
        "training.accumulation": 1,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    environment = {**os.environ, "WORKBENCH_HOME": str(folder / "ws"), "OMP_NUM_THREADS": "1"}
    for arguments in (
        ["data", "import", str(rows), "--name", "rows"],
        ["config", "new", "long", *sets],
        ["train", "long"],
    ):
        command = [sys.executable, "-m", "workbench", *arguments]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    return Workspace(folder / "ws").runs / "long-0001" / "train.jsonl"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 8.0
    spans: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        log = start_run(Path(name))
        try:
            while not any(isinstance(record.event, Step) for record in read_all(log)):
                time.sleep(0.5)
            for _ in range(rounds):
                for kind, attach in kinds(Path(name) / "ws").items():
                    with ExitStack() as stack:
                        attach(stack)
                        began = time.time()
                        time.sleep(seconds)
                        spans.setdefault(kind, []).append((began, time.time()))
        finally:
            command = [sys.executable, "-m", "workbench", "stop", "--now"]
            environment = {**os.environ, "WORKBENCH_HOME": f"{name}/ws"}
            subprocess.run(command, check=False, env=environment, capture_output=True)
        steps = [(r.time, r.event.seconds) for r in read_all(log) if isinstance(r.event, Step)]
    report(steps, spans)


def report(steps: list[tuple[float, float]], spans: dict[str, list[tuple[float, float]]]) -> None:
    medians = {
        kind: [
            statistics.median(took for at, took in steps if begin < at < end)
            for begin, end in places
        ]
        for kind, places in spans.items()
    }
    print(f"{'who watches':28}{'step':>10}{'ratio':>8}")
    for kind, values in medians.items():
        ratios = [a / b for a, b in zip(values, medians["nobody"], strict=True)]
        step, ratio = statistics.median(values) * 1000, statistics.median(ratios)
        print(f"{kind:28}{step:7.2f} ms{ratio:8.3f}")
    print(f"{len(steps)} steps")


if __name__ == "__main__":
    main()
