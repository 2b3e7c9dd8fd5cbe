"""The kernels of a GPU beside the formulas that they stand for, wherever Triton runs them.

TRITON_INTERPRET=1 python -m tests.training.kernels           on a processor, by its interpreter
python -m tests.training.kernels 80 90                        compiled for GPUs, and not run
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.training import four_bits, pointwise

Case = tuple[Callable[..., Any], tuple[Any, ...]]
CPU = torch.device("cpu")
FLOAT = {"rtol": 1e-4, "atol": 1e-4}
COARSE = {"rtol": 0.05, "atol": 0.03}


def check(device: torch.device, dtype: torch.dtype, by: Any) -> None:
    """Hold the kernels `by` which something is computed on a device against the formulas."""
    close = FLOAT if dtype == torch.float32 else COARSE
    for function, given in _cases(dtype):
        there = [pointwise.moved(g, device) for g in given]
        ours, plain = function(by, *there), function(pointwise, *given)
        pairs = zip(ours, plain, strict=True) if isinstance(ours, tuple) else [(ours, plain)]
        for result, expected in pairs:
            torch.testing.assert_close(result.cpu(), expected, **close)


def _cases(dtype: torch.dtype, ranks: Sequence[int] = (3, 16, 80)) -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    gate, up, above = (noise(33, 1000) for _ in range(3))
    for rank in ranks:
        # As the columns of one product that they are.
        inner = (noise(33, 2 * rank) / rank).split(rank, dim=1)
        update = pointwise.Update(inner, [noise(1000, rank) for _ in range(2)])
        yield _named("silu_times"), (gate, up, update)
        yield _named("silu_times_back"), (above.clone(), gate, up, update)
    yield _named("rms_norm"), (gate, noise(1000), 1e-5)
    yield _named("rms_norm_back"), (above, gate, noise(1000), 1e-5)
    queries, keys = noise(5, 33, 96).transpose(0, 1), noise(33, 2, 96)
    for back in (False, True):
        yield _named("turned", back=back), (queries, keys, noise(33, 96), noise(33, 96))
    labels = torch.randint(0, 40_000, (7,), generator=generator)
    # More than are in registers at once.
    yield _loss_and_gradient, (noise(7, 40_000) * 3, labels)


def _named(name: str, **options: Any) -> Callable[..., Any]:
    def call(by: Any, *given: Any) -> Any:
        return getattr(by, name)(*given, **options)

    return call


def _loss_and_gradient(by: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits, losses = logits.clone(), torch.empty(len(labels), device=logits.device)
    by.cross_entropy_back(logits, labels, losses)
    return losses, logits


def compile_for(architecture: int) -> None:
    """Compile all of them for a GPU, which need not be there."""
    from bitsandbytes.functional import quantize_4bit
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.driver import CudaDriver
    from triton.runtime import driver, jit

    class Absent(CudaDriver):  # type: ignore[misc]
        def __init__(self) -> None:
            """There is none."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", architecture, 32)

        def get_current_device(self) -> int:
            return architecture

        def get_current_stream(self, device: int) -> int:
            return 0

    driver.set_active(Absent())
    jit.JITFunction.__getitem__ = lambda self, grid: partial(self.run, grid=grid, warmup=True)
    from workbench.training import triton_kernels

    # A T4 has no bfloat16.
    for dtype in (torch.float16, *[torch.bfloat16] * (architecture >= 80)):
        for function, given in _cases(dtype, ranks=(16,)):
            function(triton_kernels, *given)
        for nested in (False, True):
            noise = torch.randn(64, 64).to(dtype)
            four_bits.unpacked(*quantize_4bit(noise, compress_statistics=nested))


def interpret(base: Path) -> None:
    """Hold each against its formula on a processor, and a model with them against itself without.

    TRITON_INTERPRET is set before Triton is imported.
    """
    from tests.training import kernels_in_model
    from workbench.training import triton_kernels

    check(CPU, torch.float32, triton_kernels)
    # Not bfloat16, which the interpreter cuts off where it should round.
    check(CPU, torch.float16, triton_kernels)
    assert four_bits.problem(CPU) == ""
    for quantization in ("none", "nf4"):
        kernels_in_model.check(base, quantization)


if __name__ == "__main__":
    for given in sys.argv[1:]:
        if given.isdecimal():
            compile_for(int(given))
        else:
            interpret(Path(given))
