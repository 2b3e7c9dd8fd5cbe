"""The pointwise parts of a decoder layer, and of the loss, and their gradients, without autograd.

Plain formulas, and kernels that compute the same on a GPU (`triton_kernels`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

Three = tuple[Tensor, Tensor, Tensor]


class Update(NamedTuple):
    """What adapters add to gate and up."""

    inner: Sequence[Tensor]
    """x A' of each, scaled, (tokens, rank); rows may lie apart."""
    b: Sequence[Tensor]
    """B of each, (width, rank)."""

    def added(self, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        """Both with it."""
        gate, up = (
            torch.addmm(out, inner, b.t())
            for out, inner, b in zip((gate, up), self.inner, self.b, strict=True)
        )
        return gate, up


def silu_times(gate: Tensor, up: Tensor, update: Update) -> Tensor:
    """silu(gate) * up of both, each (tokens, width), with their update."""
    if gate.is_cuda:
        return cast(Tensor, _kernels().silu_times(gate, up, update))
    gate, up = update.added(gate, up)
    return nn.functional.silu(gate) * up


def silu_times_back(above: Tensor, gate: Tensor, up: Tensor, update: Update) -> Three:
    """The same product again, and the gradients of both by its own, `above`, whose memory may be
    used."""
    if gate.is_cuda:
        return cast(Three, _kernels().silu_times_back(above, gate, up, update))
    gate, up = update.added(gate, up)
    x, dtype = gate.float(), gate.dtype
    share, of = torch.sigmoid(x), above.float()
    silu, slope = x * share, share * (1 + x * (1 - share))
    return (silu * up).to(dtype), (of * up * slope).to(dtype), (of * silu).to(dtype)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / rms(x) * weight over the last dimension, as Llama's norm rounds it."""
    if x.is_cuda:
        return cast(Tensor, _kernels().rms_norm(x, weight, epsilon))
    whole = x.float()
    inverse = (whole.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    return weight * (whole * inverse).to(x.dtype)


def rms_norm_back(above: Tensor, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The gradient of x by that of `rms_norm`."""
    if x.is_cuda:
        return cast(Tensor, _kernels().rms_norm_back(above, x, weight, epsilon))
    whole, scaled = x.float(), above.float() * weight.float()
    inverse = (whole.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    along = (scaled * whole).mean(-1, keepdim=True) * inverse.square()
    return ((scaled - whole * along) * inverse).to(x.dtype)


def turned(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *, back: bool = False
) -> tuple[Tensor, Tensor]:
    """q and k (tokens, heads, width) turned by their position, the first half of each head against
    the second, by cos and sin (tokens, width): contiguous; `back`: by the transpose of that, which
    gives the gradient of what was turned."""
    if q.is_cuda:
        q, k = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k))
        both = _kernels().turned(q, k, cos.contiguous(), sin.contiguous(), back)
        return cast(tuple[Tensor, Tensor], both)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    if back:
        return q * cos - _quarter(q * sin), k * cos - _quarter(k * sin)
    return q * cos + _quarter(q) * sin, k * cos + _quarter(k) * sin


def _quarter(x: Tensor) -> Tensor:
    """A quarter of a turn: (first, second) half of each head to (-second, first)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def cross_entropy_back(logits: Tensor, labels: Tensor, losses: Tensor) -> None:
    """Put the negative log-likelihood of `labels`, shape (tokens,), by logits (tokens, vocabulary)
    into `losses`, float32, and the gradient of each for its logits into their place."""
    if logits.is_cuda:
        _kernels().cross_entropy_back(logits, labels, losses)
        return
    whole = logits.float()
    losses.copy_(nn.functional.cross_entropy(whole, labels, reduction="none"))
    logits.copy_(whole.softmax(-1) - nn.functional.one_hot(labels, logits.shape[1]))


@functools.cache
def problem(device: torch.device) -> str:
    """Why the kernels can't be used on a GPU, empty where each gives what its formula gives."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = (torch.randn(5, 6, 48, generator=generator) for _ in range(3))
    weight = torch.rand(48, generator=generator)
    update = Update((x[0, :, :3], y[0, :, :3]), (z.view(48, -1)[:, :3].contiguous(),) * 2)
    cases: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
        (silu_times, (x[0], y[0], update)),
        (silu_times_back, (x[0], y[0], z[0], update)),
        (rms_norm, (x, weight, 1e-6)),
        (rms_norm_back, (x, y, weight, 1e-6)),
        (turned, (x, x[:, :2], y[:, 0], z[:, 0])),
        (functools.partial(turned, back=True), (x, x[:, :2], y[:, 0], z[:, 0])),
        (_loss_and_gradient, (x[0], torch.tensor([0, 47, 3, 3, 9, 20]))),
    )
    try:
        for function, given in cases:
            there = [moved(g, device) for g in given]
            ours, plain = function(*there), function(*given)
            pairs = zip(ours, plain, strict=True) if isinstance(ours, tuple) else [(ours, plain)]
            if not all(torch.allclose(a.cpu(), b, atol=1e-4) for a, b in pairs):
                return f"{function} computes something else than its formula"
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def moved(given: Any, device: torch.device) -> Any:
    """A copy of it on a device, where it has any tensors."""
    if isinstance(given, Update):
        return Update(*([t.to(device) for t in tensors] for tensors in given))
    return given.to(device, copy=True) if isinstance(given, Tensor) else given


def _loss_and_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits, losses = logits.clone(), torch.empty(len(logits), device=logits.device)
    cross_entropy_back(logits, labels, losses)
    return losses, logits


@functools.cache
def _kernels() -> Any:
    # Triton comes with torch for GPUs alone.
    from workbench.training import triton_kernels

    return triton_kernels
