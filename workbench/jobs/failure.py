"""What made a job fail, told from its exception: a cause, a sentence, and what to do."""

from __future__ import annotations

import errno
import os

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.jobs.events import Failed
from workbench.jobs.known_errors import MEMORY_ADVICE, recognise

_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""What safetensors, which is written in Rust, has in the text of its own kind of error."""


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite."""


def explain(error: Exception, memory_advice: str = MEMORY_ADVICE) -> Failed:
    """The event that tells of `error`; its cause is one of those that `Failed` lists.

    `memory_advice` is the hint where memory was short: what would help this very job.
    """
    if isinstance(error, WorkbenchError):
        return Failed(error.cause, error.message, error.hint)
    if isinstance(error, NonFiniteLoss):
        return Failed(
            "loss_not_finite",
            str(error),
            "Lower training.learning_rate or training.max_gradient_norm; the newest checkpoint "
            "is from before.",
        )
    words = f"{type(error).__name__}: {error}"
    if (known := recognise(words, memory_advice)) is not None:
        return known
    if isinstance(error, OSError):
        explained = explain_os_error(error, "go on")
        cause = explained.cause if explained.cause != "bad_input" else "error"
        return Failed(cause, explained.message, explained.hint)
    if any(words_of_it in str(error) for words_of_it in _NO_ROOM):
        return Failed(
            "disk_full", "The disk is full.", "Free some space, or name another workspace."
        )
    return Failed("error", words, "See stderr.log for where.")
