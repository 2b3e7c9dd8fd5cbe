"""The heavy libraries, imported in two thirds of the time that they take.

What a process imports first when it works with a model. Two things are put off meanwhile:
Python's collector, which would go again and again over what is all there to stay, and torch's
compiler, which bitsandbytes has loaded for a few functions that hardly a run calls.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Compile = Callable[..., Any]


def when_called(compile_now: Compile) -> Compile:
    """What stands for `torch.compile`: it compiles a function when that is first called."""

    def put_off(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(put_off, **options)
        compiled = functools.cache(lambda: compile_now(function, **options))
        return functools.wraps(function)(lambda *given, **named: compiled()(*given, **named))

    return put_off


def _import_all() -> None:
    import torch

    compile_now = torch.compile
    torch.compile = when_called(compile_now)
    try:
        with suppress(ImportError):  # peft does without it, too
            import bitsandbytes  # noqa: F401
    finally:
        torch.compile = compile_now
    import peft  # noqa: F401


_was_on = gc.isenabled()
gc.disable()
try:
    _import_all()
finally:
    if _was_on:
        gc.enable()
