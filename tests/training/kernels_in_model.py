"""A model's layers as on a GPU, by the kernels themselves, played by Triton's interpreter.

TRITON_INTERPRET=1 python -m tests.training.kernels_in_model BASE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.training.harness import encode
from tests.training.test_packing import all_in_one, assert_close, gradients, with_adapter
from workbench.training import (
    attention,
    compiled,
    compiling,
    fast_lora,
    fast_norm,
    four_bits,
    pointwise,
    rotation,
    triton_kernels,
)
from workbench.training.loss import TrainedTokenLoss, causal_model

OWN: dict[str, Any] = {name: getattr(pointwise, name) for name in (
    "silu_times", "silu_times_back", "rms_norm", "rms_norm_back", "turned", "cross_entropy_back"
)}  # fmt: skip
adapter, unpack = fast_lora._adapter, four_bits.whole


def put_back() -> None:
    """Have everything computed as on a processor."""
    for name, function in OWN.items():
        setattr(pointwise, name, function)
    fast_lora._adapter, four_bits.whole = adapter, unpack


def play() -> Counter[str]:
    """Have everything computed as on a GPU; returns how often each kernel is called from then."""
    calls: Counter[str] = Counter()

    def counted(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            calls[name] += 1
            tensors = [g for g in given if isinstance(g, Tensor)]
            # Heads lie as the projection has them: that kernel is told how.
            assert name == "turned" or all(t.is_contiguous() for t in tensors), name
            return kernel(*given, **options)

        return call

    for name in OWN:
        setattr(pointwise, name, counted(name, getattr(triton_kernels, name)))

    def turned(*given: Tensor, back: bool = False) -> Any:
        return counted("turned", triton_kernels.turned)(*given, back)

    def whole(weight: Tensor, state: Any, dtype: Any) -> Tensor:
        return counted("unpack", four_bits.unpacked)(weight, state).to(dtype)

    pointwise.turned, four_bits.whole = turned, whole
    fast_lora._adapter = lambda layer, x: fast_lora._adds(layer)
    # What isn't a kernel stays as it is, and the tiny model's norms are wide enough for theirs.
    compiling._compiled = lambda function, dynamic=None: function
    rotation._on_gpu = lambda given: True
    fast_norm._NARROWEST = 16
    return calls


def check(base: Path, quantization: str) -> None:
    """Losses and gradients are what they are without a kernel, and each kernel was called."""
    put_back()
    adapted = with_adapter(base, model={"quantization": quantization})
    attention.use_segments(causal_model(adapted))
    # The interpreter takes 2 ms for a token and kernel.
    batch = all_in_one(encode(base, 1), packed=True)
    measure = TrainedTokenLoss(adapted).train()
    theirs = gradients(adapted, measure(batch).sum() / 50)
    calls = play()
    fast_lora.speed_up(adapted)
    compiled.speed_up(adapted)
    assert_close(gradients(adapted, measure(batch).sum() / 50), theirs)
    compiled.take_back(adapted)
    assert calls.keys() == {*OWN, *["unpack"] * (quantization != "none")}, calls
