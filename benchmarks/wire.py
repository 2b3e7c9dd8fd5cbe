"""What the app writes to its terminal while it watches a run: bytes, redraws, processor, memory.

The real app on a pseudo-terminal, and a run that a process of this script acts: 20 steps a second,
an evaluation a minute's worth of them, and the machine with eight GPUs every 2 s. Prints a Markdown
table.

    .venv/bin/python benchmarks/wire.py [SECONDS] [--idle] [--size 160x45] ... [--keys '++w'] ...

A redraw is a burst of bytes with 60 ms of silence before it. `--idle`: the run has ended. `--keys`:
these are pressed once it has opened.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import multiprocessing
import os
import pty
import random
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from workbench.jobs.events import Evaluated, Finished, Sampled, Started, Step
from workbench.jobs.log import LogWriter
from workbench.jobs.state import JobState, beat, start_ticks
from workbench.tracking.finding import MANIFEST

SIZES = ((80, 8), (80, 24), (160, 45), (250, 70))
COLOURS = {"256": {}, "truecolor": {"COLORTERM": "truecolor"}}
STEPS_A_SECOND = 20
PAST = 2000
"""Steps that the run has behind it when it is opened."""
SETTLES = 6.0
"""Seconds in which the app opens and catches up; they don't count."""
PRESSED = 0.5
"""Seconds after each key."""
SILENCE = 0.06


def step(number: int) -> Step:
    noise = random.gauss(0, 0.05)
    loss = 1.2 + 1.5 * math.exp(-number / 800) + noise
    return Step(number, number / 4000, loss, 1e-4 * math.cos(number / 9000), 1 + noise, 4096,
                2048, 1 / STEPS_A_SECOND + noise / 100)  # fmt: skip


def around(mean: int, spread: int) -> int:
    return round(random.gauss(mean, spread))


def machine(number: int) -> Sampled:
    """A host with eight GPUs at work."""
    gib = 1 << 30
    gpus: list[dict[str, Any]] = [
        {
            "index": index, "name": "NVIDIA H100 80GB HBM3", "uuid": f"GPU-{index}",
            "memory_used": around(60 * gib, 1 << 26), "memory_total": 80 * gib,
            "memory_of_run": 59 * gib, "utilization": around(95, 2),
            "power": random.gauss(650, 20), "power_limit": 700.0,
            "temperature": around(64, 1),
        }
        for index in range(8)
    ]  # fmt: skip
    host = {
        "cpus": 96, "load1": round(random.gauss(20, 0.5), 2), "memory_total": 1000 * gib,
        "memory_used": around(200 * gib, gib), "memory_limit": None,
        "memory_limit_used": None, "rss": 9 * gib + number, "disk_free": 900 * gib - number,
    }  # fmt: skip
    return Sampled(host, gpus, None)


def act(folder: Path, *, ended: bool) -> None:
    """Be a run until killed; `ended`: write it all at once and end."""
    random.seed(1)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
    state = JobState("running", "train.jsonl", pid, ticks, pid, ticks, "", time.time())
    log, host = LogWriter(folder / "train.jsonl"), LogWriter(folder / "host.jsonl")
    log.write(
        Started(100_000, 20.0, 40_000, 400, 8_000_000, 5_000_000, 135_000_000, "cuda", "bfloat16")
    )
    for number in range(1, PAST):
        log.write(step(number))
    host.write(machine(0))
    if ended:
        log.write(Finished(stopped=False, step=PAST))
        replace(state, status="finished", ended=time.time(), text="Finished.").write(folder)
        return
    state.write(folder)
    (folder / "going").touch()
    number, due = PAST, time.monotonic()
    while True:
        number, due = number + 1, due + 1 / STEPS_A_SECOND
        log.write(step(number))
        if number % 1200 == 0:
            log.write(Evaluated(number, random.gauss(1.3, 0.02), 1000, 2.0))
        if number % (2 * STEPS_A_SECOND) == 0:
            host.write(machine(number))
            beat(folder)
        time.sleep(max(0.0, due - time.monotonic()))


def measure(
    workspace: Path,
    size: tuple[int, int],
    environment: dict[str, str],
    keys: str,
    seconds: float,
) -> dict[str, float]:
    """Watch the run for so long, after these keys."""
    pid, terminal = pty.fork()
    if pid == 0:
        for name in ("COLORTERM", "NO_COLOR"):
            os.environ.pop(name, None)
        os.environ.update(TERM="xterm-256color", WORKBENCH_HOME=str(workspace), **environment)
        os.execv(sys.executable, [sys.executable, "-m", "workbench", "attach"])  # noqa: S606
    columns, rows = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    try:
        read_for(terminal, SETTLES)
        for key in keys:
            os.write(terminal, key.encode())
            read_for(terminal, PRESSED)
        read_for(terminal, SETTLES if keys else 0)
        used, began = processor(pid), time.monotonic()
        count, bursts, largest = read_for(terminal, seconds)
        took = time.monotonic() - began
        return {
            "bytes": count / took,
            "redraws": bursts / took,
            "largest": largest,
            "processor": (processor(pid) - used) / took,
            "memory": resident(pid),
        }
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_for(terminal: int, seconds: float) -> tuple[int, int, int]:
    """Bytes read, bursts of them, and the largest burst."""
    until, last = time.monotonic() + seconds, -math.inf
    count = bursts = burst = largest = 0
    while (left := until - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        now = time.monotonic()
        size = len(os.read(terminal, 1 << 16))
        if now - last > SILENCE:
            bursts, burst = bursts + 1, 0
        last, count, burst = now, count + size, burst + size
        largest = max(largest, burst)
    return count, bursts, largest


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    parser.add_argument("--idle", action="store_true", help="watch a run that has ended")
    parser.add_argument("--size", action="append", metavar="COLUMNSxROWS")
    parser.add_argument("--keys", action="append", default=[], help="as if by hand, e.g. ++w")
    args = parser.parse_args()
    asked = [tuple(int(part) for part in size.split("x")) for size in args.size or ()]
    sizes = [(columns, rows) for columns, rows in asked] or SIZES
    print("| size | colours | KB/s | redraws/s | largest redraw, KB | processor | memory, MB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs" / "live-0001"
        run = multiprocessing.Process(target=act, args=(folder,), kwargs={"ended": args.idle})
        run.start()
        try:
            while run.is_alive() and not (folder / "going").exists():
                time.sleep(0.05)
            for size in sizes:
                for keys, (colours, environment) in product(args.keys or [""], COLOURS.items()):
                    got = measure(Path(name), size, environment, keys, args.seconds)
                    pressed = f" `{keys}`" if keys else ""
                    print(
                        f"| {size[0]}x{size[1]}{pressed} | {colours} | {got['bytes'] / 1000:.1f} "
                        f"| {got['redraws']:.1f} | {got['largest'] / 1000:.1f} "
                        f"| {got['processor']:.0%} | {got['memory']:.0f} |",
                        flush=True,
                    )
        finally:
            run.kill()
            run.join()


if __name__ == "__main__":
    main()
