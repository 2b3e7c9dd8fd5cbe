"""A small real job: `python -m tests.jobs.sample_job FOLDER`; `plan.json` says what it does."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from workbench.errors import JobFailed, WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs import launcher
from workbench.jobs.control import PREEMPT, Control
from workbench.jobs.events import CheckpointSaved, CommandHandled, Finished, Progress, Step
from workbench.jobs.log import LogWriter, read_all
from workbench.jobs.runner import run_job

_GIVES_UP_AFTER = 300.0
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
        case "eat memory":
            held = []
            while True:
                held.append(b"." * (1 << 20))
        case "ask for too much memory":
            bytearray(1 << 62)
        case "kill itself":
            os.kill(os.getpid(), plan["signal"])
        case "work in batches":
            for step in range(10_000):
                log.write(Progress("working", step, 10_000))
                control.end_if_asked(log)
                time.sleep(0.02)
        case "fail at first":
            # A line a start; the last one finishes.
            with (folder / "starts").open("a") as starts:
                starts.write("started\n")
            count = len((folder / "starts").read_text().splitlines())
            log.write(Progress("trying", count, len(plan["ways"]) + 1))
            if count <= len(plan["ways"]):
                work_as(plan["ways"][count - 1], log)
        case "hang":
            control.be_patient()
            log.write(Progress("hanging", 0, 1))
            while True:
                if control.poll():
                    print("asked to stop", file=sys.stderr, flush=True)
                time.sleep(0.02)
        case "work in ranks":
            if not launcher.is_rank():
                make_ready(folder, plan, log, control)
            return in_ranks(folder, log, control)
        case "work with a helper":
            # In a session of its own, as a launcher's ranks are.
            helper = subprocess.Popen(["sleep", "300"], start_new_session=True)
            (folder / "helper").write_text(str(helper.pid))
            return _until_told(folder, log, control)
        case "train by a recorded curve":
            for record in read_all(Path(plan["curve"])):
                if not isinstance(record.event, Finished):
                    log.write(record.event)
            if not plan.get("end"):
                return _until_told(folder, log, control)
        case "work":
            return _until_told(folder, log, control)
    return Finished(stopped=False, step=1, result="nothing")


def work_as(way: str, log: LogWriter) -> None:
    """Fail in one of several ways."""
    match way:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bad input":
            raise WorkbenchError("Row 7 is bad.", "Mend row 7.")
        case "an error":
            raise KeyError("oops")
        case "an error further on":
            log.write(Step(9, 0.5, 1.0, 1e-4, 1.0, 10, 10, 0.1))
            raise KeyError("oops")


def make_ready(folder: Path, plan: dict[str, Any], log: LogWriter, control: Control) -> NoReturn:
    """What one process does before there are ranks; until it is told, if the test wants that."""
    log.write(Progress("making ready", 0, 1))
    while plan.get("wait") and not (folder / "ready").exists():
        control.end_if_asked(log, put_off=True)
        time.sleep(0.02)
    launcher.become(folder, "tests.jobs.sample_job", plan["processes"], control)


def in_ranks(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Ranks that wait for each other at each step, as in data-parallel training."""
    import torch
    from torch import distributed

    control.be_patient()
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    (folder / f"rank-{rank}.pid").write_text(str(os.getpid()))
    for step in range(1, 3001):
        told = torch.tensor([(folder / "go").exists(), control.preempted], dtype=torch.int64)
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        log.write(Progress("working", step, 3000))
        for command in control.poll():
            log.write(CommandHandled(command.id, command.command, command.value))
        if told.any():
            break
        if rank and (folder / "spoil").exists():
            raise WorkbenchError("Row 7 is bad.", "Mend row 7.", "bad_row")
        time.sleep(0.02)
    distributed.destroy_process_group()
    return Finished(stopped=bool(told[1]), step=step, preempted=bool(told[1]))


def _until_told(folder: Path, log: LogWriter, control: Control) -> Finished:
    control.be_patient()
    deadline = time.monotonic() + _GIVES_UP_AFTER
    step = 0
    while not (folder / "go").exists() and time.monotonic() < deadline:
        step += 1
        log.write(Progress("working", step, 1000))
        for command in control.poll():
            log.write(CommandHandled(command.id, command.command))
            if command.command in ("stop", PREEMPT):
                return Finished(True, step, preempted=command.command == PREEMPT)
            log.write(CheckpointSaved(step, f"step-{step}", "asked for"))
        time.sleep(0.02)
    return Finished(stopped=False, step=step)


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
