"""FSDP2: each rank holds a share of every weight, its gradient and its optimiser state.

By torch's `fully_shard` itself. accelerate's own FSDP needs a GPU (on processors its state never
becomes one of FSDP), and then wraps the optimiser's parameters after the fact; this is the same
on both, so that what is tested without a GPU is what runs with them.

A weight that is spread is a DTensor. Everything here that returns or takes whole tensors is a
collective: every rank calls it, at the same place. It takes those that DeepSpeed has spread, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from workbench.training import zero
from workbench.training.decoder import decoder_layers


def shard(measure: nn.Module, causal: PreTrainedModel, device: torch.device, ranks: int) -> None:
    """Spread the weights of a model over all ranks, in place; a model on the CPU moves to
    `device` a layer at a time.

    `measure` is what the loop calls: torch gathers a layer's weights when the module that they
    were spread under is called, so from here on the model is called through it alone. Frozen and
    trained weights may differ in their number format, the trained ones among themselves not.
    The optimiser is made afterwards: the parameters are others then.
    """
    # A second of imports that a process alone does without.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (ranks,))
    for layer in decoder_layers(causal):
        fully_shard(layer, mesh=mesh)
    # The embeddings, the head, which may be one with them, and what else stands outside a layer.
    fully_shard(measure, mesh=mesh)
    measure.register_forward_hook(_let_go)


def _let_go(measure: Any, inputs: Any, output: Any) -> None:
    """Spread again what stands outside a layer, which torch keeps together for the backward pass,
    where none follows: parameters are always found spread between two passes."""
    if not torch.is_grad_enabled():
        measure.reshard()


def add_up(measure: nn.Module, now: bool) -> None:
    """Whether the next backward pass adds the gradients up over the ranks (their mean), or keeps
    them for the last micro-batch of the step."""
    spread: Any = measure
    spread.set_requires_gradient_sync(now)


def whole(tensor: Tensor) -> Tensor:
    """A tensor without its gradient history, put together where it is spread."""
    if zero.is_spread(tensor):
        return zero.whole(tensor)
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(named: Iterable[tuple[str, Tensor]], *, keep: bool) -> dict[str, Tensor]:
    """Tensors by name, put together one after another, on the CPU where they were spread; none of
    them where they aren't to be kept."""
    found = {}
    for name, tensor in named:
        full = whole(tensor)
        if keep:
            found[name] = full.cpu() if is_spread(tensor) else full
    return found


def is_spread(tensor: Tensor) -> bool:
    """Whether this rank holds a share of it alone."""
    return isinstance(tensor, DTensor) or zero.is_spread(tensor)


def held(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor, without its gradient history."""
    if zero.is_spread(tensor):
        return zero.held(tensor)
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Scale the gradients down to a norm of `limit`, over all ranks; returns the norm before, of
    shape ()."""
    return whole(nn.utils.clip_grad_norm_(parameters, limit))


def optimizer_state(optimizer: torch.optim.Optimizer, *, keep: bool) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors on the CPU: what one process alone would have.

    Without its `state` where that isn't kept.
    """
    body = optimizer.state_dict()
    state = {index: _whole_by_name(values, keep=keep) for index, values in body["state"].items()}
    return {**body, "state": state if keep else {}}


def load_optimizer_state(optimizer: torch.optim.Optimizer, body: dict[str, Any]) -> None:
    """Give an optimiser the whole state that `optimizer_state` gave; each rank has all of it."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        index: {
            name: _like(parameters[index], value) if _is_of_weight(name, value) else value
            for name, value in values.items()
        }
        for index, values in body["state"].items()
    }
    optimizer.load_state_dict({**body, "state": state})


def _whole_by_name(values: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        full = whole(value) if isinstance(value, Tensor) else value
        if keep:
            # A clone: what isn't spread would go on changing.
            found[name] = full.cpu().clone() if isinstance(full, Tensor) else full
    return found


def _is_of_weight(name: str, value: Any) -> bool:
    """Whether a value of an optimiser's state is as its parameter: all but the count of steps."""
    return isinstance(value, Tensor) and name != "step"


def put(parameter: Tensor, value: Tensor) -> None:
    """Have a parameter be `value`, whole, of which each rank has all.

    Raises ValueError when it is of another shape.
    """
    shape = zero.shape(parameter) if zero.is_spread(parameter) else parameter.shape
    if value.shape != shape:
        raise ValueError(f"a weight of {tuple(shape)} is of {tuple(value.shape)} there")
    if zero.is_spread(parameter):
        zero.put(parameter, value)
    else:
        parameter.detach().copy_(_like(parameter, value))


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """This rank's share of a whole tensor, spread as `parameter` is; all of it where that is."""
    value = value.to(parameter.device, parameter.dtype)
    if not isinstance(parameter, DTensor):
        return value
    # Nobody sends anything: each rank cuts its own share.
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
