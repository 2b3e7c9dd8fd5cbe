"""Stands in for the training process: it starts in a moment and does as files in its folder say.

It works until there is a file `go`. What each start was given goes into `starts.jsonl`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Progress
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job

_GIVES_UP_AFTER = 300.0
"""So that a test that fails leaves nothing running."""


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    start = {"pid": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "t": time.time()}
    with (folder / "starts.jsonl").open("a") as stream:
        stream.write(json.dumps(start) + "\n")
    control.be_patient()
    log.write(Progress("working", 0, 1))
    deadline = time.monotonic() + _GIVES_UP_AFTER
    while not (folder / "go").exists() and time.monotonic() < deadline:
        control.end_if_asked(log)
        time.sleep(0.02)
    if (folder / "fail").exists():
        raise WorkbenchError("Row 7 is bad.")
    return Finished(stopped=False)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
