"""A lack of memory, told with the settings of the run that would help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.config.memory_advice import Doing, memory_advice
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.jobs.failure import explain

_SHORT = ("out_of_gpu_memory", "out_of_host_memory")


@contextmanager
def advised(config: RunConfig, doing: Doing) -> Iterator[None]:
    """Raises WorkbenchError with advice where memory runs out inside; the rest goes through."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        failure = explain(error, memory_advice(config, doing))
        if failure.cause not in _SHORT:
            raise
        raise WorkbenchError(failure.text, failure.hint, failure.cause) from error
