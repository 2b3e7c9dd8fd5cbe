"""Opening a run of millions of events: time and memory, each in a process of its own.

Makes a log of `--events` steps (10 million are 2.9 GB) in a temporary folder, gone at the end.

    .venv/bin/python benchmarks/history.py [--events N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from workbench.history.history import History
from workbench.jobs.events import CheckpointSaved, Evaluated, Started, Step, encode

_NUMBER = 7_000_000_000
"""Stands in a line for the number of the step, and one more for that of the event."""


def make_log(path: Path, events: int) -> None:
    """Steps as on a GPU, an evaluation and a checkpoint every 10,000."""
    step = Step(
        _NUMBER,
        1.5,
        2.0625,
        1.25e-4,
        1.125,
        8192,
        4096,
        0.25,
        32768.0,
        21 << 30,
        20 << 30,
        22 << 30,
    )
    line = encode(step, _NUMBER + 1, 1.7e9).decode()
    line = line.replace("%", "%%").replace("1700000000.0", "%.3f").replace("2.0625", "%.4f")
    line = line.replace(str(_NUMBER + 1), "%d").replace(str(_NUMBER), "%d")
    with path.open("wb") as log:
        log.write(encode(Started(events, 2.0, 1, 1, 1, 1, 1, "cuda", "bfloat16"), 0, 1.7e9))
        for first in range(1, events + 1, 10_000):
            numbers = range(first, min(first + 10_000, events + 1))
            # Some noise, and a spike that is one step wide.
            losses = (
                9.5 if n == events // 3 else 2 + 1e4 / (n + 1e4) + n % 97 / 500 for n in numbers
            )
            rows = [(n, 1.7e9 + n * 0.25, n, loss) for n, loss in zip(numbers, losses, strict=True)]
            log.write("".join(line % row for row in rows).encode())
            last, now = numbers[-1], 1.7e9 + numbers[-1] * 0.25
            log.write(encode(Evaluated(last, 2.1, 100, 1000, 8.0), last, now))
            log.write(encode(CheckpointSaved(last, f"checkpoints/{last}", "save"), last, now))


def forget(path: Path) -> None:
    """Have a file out of the kernel's cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def highest() -> int:
    """The most memory that this process has held, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def opening(run: Path) -> str:
    """From nothing to the whole line of the loss."""
    from workbench.tracking.follower import RunFollower

    before, began = highest(), time.perf_counter()
    follower = RunFollower(run)
    news = follower.read()
    history = news.history or History()
    line = history.line("training", "loss")
    took = time.perf_counter() - began
    span = history.span() or (0, 0)
    follower.close()
    told = f"{len(line)} buckets up to step {span[1]:,.0f}, exact for {news.looked_through:.0%}"
    return f"{took * 1000:.0f} ms, {(highest() - before) / 1024:.0f} MiB more: {told}"


def exact_pass(run: Path) -> str:
    """The exact pass as the screen has it: another process; memory is that of the reader."""
    from workbench.tracking.follower import RunFollower

    before, began = highest(), time.perf_counter()
    follower = RunFollower(run)
    news = follower.read()
    while news.looked_through < 1 or news.history is None:
        time.sleep(0.25)
        news = follower.read()
    took = time.perf_counter() - began
    high = max(news.history.line("training", "loss").high)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = (run / "history.cache").stat().st_size
    told = f"the highest loss is {high}, the cache has {size / 2**20:.1f} MiB"
    other = f"{used.ru_utime:.0f} s of a core and {used.ru_maxrss / 1024:.0f} MiB at most"
    return f"{took:.0f} s ({other}), {(highest() - before) / 1024:.0f} MiB more here: {told}"


def windows(run: Path) -> str:
    """Exact events of stretches at ten places."""
    from workbench.history import reading, window
    from workbench.history.logs import Logs

    logs = Logs(run, run / "train.jsonl", run / "host.jsonl")
    history = reading.read(logs)
    whole = (history.span() or (0, 0))[1]
    told = []
    for width in (1000, 10_000, 50_000):
        if whole < 11 * width:
            continue
        before, took = highest(), []
        for place in range(1, 11):
            left = whole * place / 11
            began = time.perf_counter()
            wanted = window.window(history, left, left + width)
            part = wanted and window.read(wanted, logs.training, logs.machine)
            took.append(time.perf_counter() - began)
            if part is None or len(part.line("training", "loss")) < min(width, 10_000):
                raise SystemExit(f"there is less to be read at {left} than there should be")
        more = (highest() - before) / 1024
        told.append(f"{width:,} steps {sorted(took)[5] * 1000:.0f} ms, {more:.0f} MiB")
    return "; ".join(told)


def feeding(run: Path) -> str:
    """What a screen spends on each new event, and on a line."""
    from workbench.history import reading
    from workbench.history.logs import Logs
    from workbench.jobs.events import Record

    history = reading.read(Logs(run, run / "train.jsonl", run / "host.jsonl"))
    last = round((history.span() or (0, 0))[1])
    count = 200_000
    records = [
        Record(n, 1.7e9 + n, Step(n, 1.5, 2.0, 1e-4, 1.0, 8192, 4096, 0.25, 3e4))
        for n in range(last + 1, last + 1 + count)
    ]
    began, slowest = time.perf_counter(), 0.0
    for record in records:
        now = time.perf_counter()
        history.feed([record])
        slowest = max(slowest, time.perf_counter() - now)
    each = (time.perf_counter() - began) / count
    began = time.perf_counter()
    for _ in range(100):
        history.line("training", "loss")
    line = (time.perf_counter() - began) / 100
    told = f"{each * 1e6:.1f} µs an event, {slowest * 1000:.0f} ms the slowest"
    return f"{told}; a line of all buckets {line * 1000:.2f} ms"


MEASURES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "opening": ("open, nothing known", opening),
    "pass": ("exact, by another process", exact_pass),
    "again": ("open with the cache", opening),
    "windows": ("exact events of a stretch", windows),
    "feeding": ("feed", feeding),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", choices=MEASURES)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(MEASURES[args.measure][1](args.folder)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run = Path(folder)
        log = run / "train.jsonl"
        began = time.perf_counter()
        make_log(log, args.events)
        size = log.stat().st_size / 2**30
        print(f"{size:.2f} GiB made in {time.perf_counter() - began:.0f} s", flush=True)
        for name, (title, _) in MEASURES.items():
            forget(log)
            command = [sys.executable, __file__, "--measure", name, "--folder", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{title:26} {json.loads(done.stdout)}", flush=True)


if __name__ == "__main__":
    main()
