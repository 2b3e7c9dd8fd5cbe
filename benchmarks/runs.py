"""Thousands of runs: how soon the newest are there and the whole list is, beside reading each.

Makes so many run folders (manifest, log of 90 steps, state; one in three evaluated) and measures

- the plain reading of all, as a workspace is opened for the first time;
- the same of the next process, which knows them by their time stamps: the newest 60, all, a query
  over all, sorted;
- whole commands: `workbench runs --json`, `runs --where … --sort …`, `runs --limit 40`;
- the Runs screen on a pseudo-terminal of 160 by 45: from the key that opens it to the first lines
  of the list, beside the time from the start of the process to the first frame.

Medians of ROUNDS. What it makes is in FOLDER, which is used again when it is there.

    .venv/bin/python -m benchmarks.runs [COUNT] [ROUNDS] [FOLDER]
"""

from __future__ import annotations

import os
import pty
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import many_runs
from workbench.tracking import run_query
from workbench.tracking.listing import CACHE, Listing, list_runs
from workbench.workspace import Workspace

QUERY = "state:ended base:smol lora.r>=16 loss<1.5"


def timed(name: str, rounds: int, work: Callable[[], object]) -> None:
    """Print the median time of so many rounds, and that of a processor."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), _processor()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(_processor() - cpu)
    wall, cpu = (1000 * statistics.median(times) for times in (walls, cpus))
    print(f"{name:58} {wall:9.0f} ms  {cpu:9.0f} ms", flush=True)


def _processor() -> float:
    """Seconds that this process and those that it has waited for have computed."""
    used = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def newest(workspace: Workspace) -> None:
    next(iter(Listing(workspace).looks(first=60, every=500)))


def found(workspace: Workspace) -> None:
    lines = Listing(workspace).look()
    run_query.select(lines, QUERY, "-rouge_l")


def command(workspace: Workspace, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "workbench", *arguments, "--workspace", str(workspace.root)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def screen(workspace: Workspace, newest: str, rounds: int) -> None:
    """Times of the app on a terminal of 160 by 45."""
    starts, runs = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="160", LINES="45")
            arguments = ["-m", "workbench", "--workspace", str(workspace.root)]
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
        _until(terminal, b"1 Datasets")
        starts.append(time.perf_counter() - begun)
        time.sleep(1.0)
        pressed = time.perf_counter()
        os.write(terminal, b"5")
        _until(terminal, newest.encode())
        runs.append(time.perf_counter() - pressed)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    for name, times in (("app: first frame", starts), ("app: key 5 to the newest runs", runs)):
        print(f"{name:58} {1000 * statistics.median(times):9.0f} ms", flush=True)


def _until(terminal: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 1 << 16)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace(Path(sys.argv[3] if len(sys.argv) > 3 else temporary) / "ws")
        if not workspace.runs.exists():
            many_runs.make(workspace, count)
            time.sleep(2.5)  # what was changed this moment is not kept
        ids = [line.id for line in Listing(workspace).look()]
        cache = workspace.cache / CACHE
        print(f"{len(ids):,} runs{'':50} {'wall':>9}     {'processor':>9}")
        timed("each read: the newest 60", rounds, lambda: (cache.unlink(True), newest(workspace)))
        timed("each read: all", 1, Listing(workspace, cached=False).look)
        list_runs(workspace)
        print(f"{'the file that knows them':58} {cache.stat().st_size / 1e6:9.1f} MB")
        timed("known: the newest 60", rounds, lambda: newest(workspace))
        timed("known: all", rounds, lambda: Listing(workspace).look())
        listing = Listing(workspace)
        listing.look()
        timed("known: all, looked at again", rounds, listing.look)
        timed("known: all, a query with a config field, sorted", rounds, lambda: found(workspace))
        for arguments in (
            ("--version",),
            ("runs", "--limit", "40"),
            ("runs", "--json"),
            ("runs", "--where", QUERY, "--sort=-rouge_l"),
        ):
            name = f"workbench {' '.join(arguments)}"
            timed(name[:58], rounds, lambda given=arguments: command(workspace, *given))  # type: ignore[misc]
        screen(workspace, ids[0], rounds)


if __name__ == "__main__":
    main()
