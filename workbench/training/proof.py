"""Proof that a base stays what it was, and that what is trained moves.

A fingerprint is an exact whole number a tensor: the sum of its bytes taken as whole numbers,
made where the tensor is, with one wait for the device at the end. An optimiser's step changes
it; what it can't see is numbers that change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.training import sharding

Fingerprint = dict[str, int]
"""By tensor."""
_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers by their bytes."""
_PIECE = 1 << 20
"""Numbers that are added up at once: 8 MiB as they are widened, beside whatever a run holds."""
_LISTED = 3


class Moved(NamedTuple):
    """What became of the trained tensors, by name."""

    moved: list[str]
    still: list[str]


class Proof:
    """Holds a model after its first steps against what it was before."""

    STEPS = 3

    def __init__(self, model: nn.Module) -> None:
        self._base = base_fingerprint(model)
        self._trained = trained_fingerprint(model)

    def check(self, model: nn.Module, *, learnt: bool) -> None:
        """Raises WorkbenchError when a frozen weight has changed, or, `learnt` being whether a
        step was taken with a learning rate, no trained one has."""
        check_base(self._base, model)
        if learnt:
            adapter_moved(self._trained, model)


def base_fingerprint(model: nn.Module) -> Fingerprint:
    """Of every frozen weight; of a 4-bit one its packed bytes and its scales."""
    return _sums(_frozen(model))


def trained_fingerprint(model: nn.Module) -> Fingerprint:
    """Of every weight that is trained."""
    return _sums((name, p) for name, p in model.named_parameters() if p.requires_grad)


def check_base(before: Fingerprint, model: nn.Module) -> None:
    """Raises WorkbenchError naming the frozen weights that are not what they were."""
    after = base_fingerprint(model)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if changed:
        raise WorkbenchError(
            f"Training has changed {len(changed)} weights of the base, which must stay: "
            f"{_listed(changed)}.",
            "This is a fault of workbench or of a library; the run is ended before its adapter "
            "is worth nothing.",
            "error",
        )


def adapter_moved(before: Fingerprint, model: nn.Module) -> Moved:
    """Which trained weights have changed since `trained_fingerprint`, and which have not.

    Some may well stand still for three steps: an embedding's rows of tokens that didn't come.
    Raises WorkbenchError when all do, since then nothing is learnt.
    """
    after = trained_fingerprint(model)
    moved = [name for name in after if before.get(name) != after[name]]
    still = [name for name in after if before.get(name) == after[name]]
    if not moved:
        raise WorkbenchError(
            f"No trained weight has changed, among them {_listed(still)}: nothing is learnt.",
            "The learning rate may be too small for the number format (lora.dtype, model.dtype).",
        )
    return Moved(moved, still)


def _frozen(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            continue
        yield name, parameter
        state = getattr(parameter, "quant_state", None)
        while state is not None:
            yield f"{name}, scales of {tuple(state.absmax.shape)}", state.absmax
            # Scales may be quantised themselves.
            state = state.state2


def _sums(tensors: Iterable[tuple[str, Tensor]]) -> Fingerprint:
    # Of what is spread over ranks, what this one has of it.
    sums = {name: _sum(sharding.held(tensor)) for name, tensor in tensors}
    by_device: dict[torch.device, list[str]] = {}
    for name, total in sums.items():
        by_device.setdefault(total.device, []).append(name)
    return {
        name: value
        for names in by_device.values()
        for name, value in zip(
            names, torch.stack([sums[name] for name in names]).tolist(), strict=True
        )
    }


def _sum(tensor: Tensor) -> Tensor:
    numbers = tensor.reshape(-1).view(_WHOLE[tensor.element_size()])
    # Piece by piece: torch widens what it adds up to 64 bits first, and a head of 128,000 by
    # 4,096 would be 4 GB. Wraps around at 64 bits, which a sum may.
    return torch.stack([part.sum(dtype=torch.int64) for part in numbers.split(_PIECE)]).sum()


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + more
