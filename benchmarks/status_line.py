"""Time of `workbench status --line`, beside that of a Python that does nothing.

By turns, on a run with a log of a gigabyte. Prints the median of each.

    .venv/bin/python benchmarks/status_line.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workbench.jobs.events import Started, Step, encode
from workbench.jobs.state import JobState, start_ticks
from workbench.tracking.finding import MANIFEST

BYTES = 1 << 30


def make_run(folder: Path) -> None:
    """A run of this very process that has logged BYTES."""
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    lines = b"".join(
        encode(Step(n, 0.1, 1.842, 1e-4, 1.0, 1000, 500, 0.5), n, float(n)) for n in range(1, 5000)
    )
    with (folder / "train.jsonl").open("wb") as log:
        log.write(encode(Started(9999, 1.0, 1, 1, 1, 1, 1, "cuda", "bfloat16"), 0, 0.0))
        while log.tell() < BYTES:
            log.write(lines)
    pid, ticks = os.getpid(), start_ticks(os.getpid()) or 0
    JobState("running", "train.jsonl", pid, ticks, pid, ticks, "", 0.0).write(folder)


def seconds(arguments: list[str]) -> float:
    """How long a process takes from its start to its end."""
    began = time.perf_counter()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    workbench = str(Path(sys.executable).with_name("workbench"))
    times: dict[str, list[float]] = {"python -c pass": [], "status --line": []}
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder) / "runs" / "demo-0001")
        for _ in range(rounds + 1):
            times["python -c pass"].append(seconds([sys.executable, "-c", "pass"]))
            line = [workbench, "status", "--line", "--workspace", folder]
            times["status --line"].append(seconds(line))
    # The first round compiles modules and warms the file cache; it does not count.
    for name, values in times.items():
        print(f"{name:16} {statistics.median(values[1:]) * 1000:5.0f} ms")


if __name__ == "__main__":
    main()
