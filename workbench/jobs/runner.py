"""What every job's process does around its work: log it, and say how it failed."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.jobs.control import Control, Interrupted, Stopped
from workbench.jobs.ending import UNSAID
from workbench.jobs.events import Finished
from workbench.jobs.failure import explain
from workbench.jobs.launch import read_job
from workbench.jobs.log import LogWriter, rank_log

DUMP_STACKS = signal.SIGUSR1
"""Has each process of a job write the stacks of its threads."""

Work = Callable[[Path, LogWriter, Control], Finished]


def run_job(work: Work, arguments: list[str]) -> int:
    """Do `work` in the folder that `arguments` name; returns the process's exit code.

    0 when it finished, was stopped or pre-empted, 2 for a person's to mend, 1 for anything
    else; the last line of the log says which, and a traceback goes to stderr.log alone. Where
    nothing can be written any more, a code of its own says why.
    """
    # What the imports have made stays to the end: the collector needn't go over it, not even
    # when the process ends, which takes a second with torch in it.
    gc.freeze()
    folder = Path(arguments[0])
    rank = int(os.environ.get("RANK", "0"))
    # One writer a log: what another rank has to say goes into one of its own.
    path = folder / (rank_log(rank) if rank else read_job(folder).log)
    control = Control()
    _dump_stacks_on_demand(folder / "stacks" / f"rank-{rank}.log")
    try:
        control.listen_to_signals()
        with LogWriter(path) as log:
            code = _do(work, folder, log, control)
        # Its last word is said. Python gives signals their own effect back as it ends, and what
        # was asked of it once more would look like a kill.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return code
    except Interrupted as asked:
        if asked.command == "stop_now":
            # What was being written is cleaned up by now; end as by the signal.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        # Opened anew: the signal may have come between a line and its being counted.
        with LogWriter(path) as log:
            log.write(Finished(stopped=True, preempted=control.preempted))
        return 0


def _do(work: Work, folder: Path, log: LogWriter, control: Control) -> int:
    try:
        log.write(_result(work, folder, log, control))
    except Exception as error:
        failure = explain(error)
        try:
            traceback.print_exc()
            print(failure.text, file=sys.stderr)
            log.write(failure)
        except (OSError, WorkbenchError):
            if failure.cause in UNSAID:
                return UNSAID[failure.cause]
            raise
        return 2 if failure.cause in ("bad_input", "bad_row") else 1
    return 0


def _result(work: Work, folder: Path, log: LogWriter, control: Control) -> Finished:
    try:
        return work(folder, log, control)
    except Stopped as stopped:
        return Finished(stopped=True, preempted=stopped.preempted)


def _dump_stacks_on_demand(path: Path) -> None:
    """Have DUMP_STACKS append the stacks of this process's threads to a file of its own."""
    with contextlib.suppress(OSError):  # a full disk must not keep a job from its work
        path.parent.mkdir(exist_ok=True)
        # Never closed: the signal may come at any time.
        faulthandler.register(DUMP_STACKS, file=path.open("a"), all_threads=True)
