"""A small real job: `python -m tests.jobs.sample_job FOLDER`; `plan.json` says what it does."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

from workbench.errors import JobFailed, WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs.control import Control
from workbench.jobs.events import CheckpointSaved, CommandHandled, Finished, Progress
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job

_GIVES_UP_AFTER = 60.0
"""So that a test that fails leaves nothing running."""


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    plan = json.loads((folder / "plan.json").read_text())
    match plan["do"]:
        case "finish":
            log.write(Progress("counting", 1, 1))
        case "bad input":
            raise WorkbenchError("Row 7 is bad.", "Mend row 7.")
        case "bug":
            raise KeyError("oops")
        case "bad input that speaks of a full disk":
            raise WorkbenchError("There is no dataset named the disk is full.")
        case "another job failed":
            raise JobFailed("Killed by signal 9 (SIGKILL).", "", "killed")
        case "disk full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "quota used up":
            raise explain_os_error(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "write it")
        case "disk full in safetensors":
            raise RuntimeError("I/O error: No space left on device (os error 28)")
        case "exit":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(plan["code"])
        case "kill itself":
            os.kill(os.getpid(), plan["signal"])
        case "work in batches":
            for step in range(1000):
                log.write(Progress("working", step, 1000))
                control.end_if_asked(log)
                time.sleep(0.02)
        case "work":
            return _until_told(folder, log, control)
    return Finished(stopped=False, step=1, result="nothing")


def _until_told(folder: Path, log: LogWriter, control: Control) -> Finished:
    deadline = time.monotonic() + _GIVES_UP_AFTER
    step = 0
    while not (folder / "go").exists() and time.monotonic() < deadline:
        step += 1
        log.write(Progress("working", step, 1000))
        for command in control.poll():
            log.write(CommandHandled(command.id, command.command))
            if command.command == "stop":
                return Finished(stopped=True, step=step)
            log.write(CheckpointSaved(step, f"step-{step}", "asked for"))
        time.sleep(0.02)
    return Finished(stopped=False, step=step)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
