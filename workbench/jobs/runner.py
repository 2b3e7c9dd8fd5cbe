"""What every job's process does around its work: log it, and say how it failed."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs.control import Control, Stopped
from workbench.jobs.ending import DISK_FULL_EXIT
from workbench.jobs.events import Failed, Finished
from workbench.jobs.launch import read_job
from workbench.jobs.log import LogWriter

_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""What safetensors, which is written in Rust, has in the text of its own kind of error."""

Work = Callable[[Path, LogWriter, Control], Finished]


def run_job(work: Work, arguments: list[str]) -> int:
    """Do `work` in the folder that `arguments` name; returns the process's exit code.

    0 when it finished or was stopped, 2 for a person's to mend, 1 for anything else;
    the last line of the log says which, and a traceback goes to stderr.log alone. Where
    the disk is too full for either, DISK_FULL_EXIT says it.
    """
    folder = Path(arguments[0])
    _, log_name = read_job(folder)
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        with LogWriter(folder / log_name) as log:
            return _do(work, folder, log)
    except _Terminated:
        # What was being written is cleaned up by now; end as the signal would have it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise


def _do(work: Work, folder: Path, log: LogWriter) -> int:
    try:
        log.write(_result(work, folder, log))
    except Exception as error:
        failure = _explain(error)
        try:
            traceback.print_exc()
            print(failure.text, file=sys.stderr)
            log.write(failure)
        except (OSError, WorkbenchError):
            if failure.cause == "disk_full":
                return DISK_FULL_EXIT
            raise
        return 2 if failure.cause == "bad_input" else 1
    return 0


def _result(work: Work, folder: Path, log: LogWriter) -> Finished:
    try:
        return work(folder, log, Control())
    except Stopped:
        return Finished(stopped=True)


class _Terminated(BaseException):
    """Asked by SIGTERM to end at once; not an Exception, so that nothing takes it for one."""


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite."""


def _explain(error: Exception) -> Failed:
    if isinstance(error, WorkbenchError):
        return Failed(error.cause, error.message, error.hint)
    if isinstance(error, NonFiniteLoss):
        return Failed(
            "loss_not_finite",
            str(error),
            "Lower training.learning_rate or training.max_gradient_norm; the newest checkpoint "
            "is from before.",
        )
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch may not be imported here
        first = str(error).strip().splitlines()[0]
        return Failed(
            "out_of_gpu_memory",
            f"Out of GPU memory. {first}",
            "Lower training.batch_size or data.max_length, set training.gradient_checkpointing, "
            "or hold the base in 4 bits (model.quantization: nf4).",
        )
    if not isinstance(error, OSError) and any(words in str(error) for words in _NO_ROOM):
        return Failed(
            "disk_full", "The disk is full.", "Free some space, or name another workspace."
        )
    if isinstance(error, OSError):
        explained = explain_os_error(error, "go on")
        cause = "disk_full" if explained.cause == "disk_full" else "error"
        return Failed(cause, explained.message, explained.hint)
    return Failed("error", f"{type(error).__name__}: {error}", "See stderr.log for where.")
