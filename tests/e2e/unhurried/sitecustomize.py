"""Put on PYTHONPATH: a training process rests after each step, and leaves the processor to what
the test is about."""

from __future__ import annotations

import sys
import time


def _rest_after_steps() -> None:
    from workbench.jobs.events import Event, Step
    from workbench.jobs.log import LogWriter

    write = LogWriter.write

    def write_and_rest(self: LogWriter, event: Event) -> None:
        write(self, event)
        if isinstance(event, Step):
            time.sleep(0.1)

    LogWriter.write = write_and_rest  # type: ignore[method-assign]


if "workbench.training.job" in sys.orig_argv:
    _rest_after_steps()
