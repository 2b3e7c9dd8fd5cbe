"""A process that works with a model starts without what it needs later, if at all."""

from __future__ import annotations

import gc
from typing import Any

import torch

from workbench.training import start_up


def test_a_function_is_compiled_when_it_is_first_called_and_once() -> None:
    compiled: list[tuple[str, dict[str, Any]]] = []

    def compile_now(function: Any, **options: Any) -> Any:
        compiled.append((function.__name__, options))
        return lambda *given, **named: (function(*given, **named), "compiled")

    put_off = start_up.when_called(compile_now)

    @put_off
    def double(number: int) -> int:
        return 2 * number

    @put_off(dynamic=False)
    def less(number: int, *, by: int) -> int:
        return number - by

    assert double.__name__ == "double"
    assert not compiled
    assert [double(2), double(3)] == [(4, "compiled"), (6, "compiled")]
    assert less(3, by=1) == (2, "compiled")
    assert compiled == [("double", {}), ("less", {"dynamic": False})]


def test_torch_and_the_collector_are_left_as_they_were() -> None:
    assert torch.compile.__module__ == "torch"
    assert gc.isenabled()
