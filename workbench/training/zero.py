"""DeepSpeed: each rank holds a share of the optimiser's state (ZeRO 1), of the gradients too (2),
and of every weight (3).

Its engine adds up gradients and takes the steps, around an optimiser and by a learning rate of
ours; what a checkpoint has of it is what one process alone would have. Everything here but `held`
is a collective: every rank calls it, at the same place.

A weight that is spread by stage 3 is an empty parameter with DeepSpeed's own fields.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from workbench.training.batches import Batch

_MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""
_WEIGHTS = 3
"""The stage that spreads every weight."""
_LARGEST_BUCKET = 500_000_000
"""Numbers that DeepSpeed adds up over the ranks at once, unless it is told otherwise."""


class Zero:
    """DeepSpeed's engine around a model and its optimiser; a `stepping.Stepper`."""

    def __init__(
        self,
        measure: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: dict[str, Any],
        device: torch.device,
        little: Batch,
    ) -> None:
        """Spreads what `measure` holds, in place; by stage 3 a model on the CPU moves to `device`
        a weight at a time.

        `optimizer` is an AdamW over weights in float32. `settings` are DeepSpeed's, as
        `config.deepspeed.engine` has them. `little` is a batch with a trained token.
        """
        # Else it guesses, and warns.
        os.environ.setdefault("DS_ACCELERATOR", "cuda" if device.type == "cuda" else "cpu")
        import deepspeed

        # On processors it would compile an operation of its own, which changes no number.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        deepspeed.init_distributed(verbose=False)
        self._groups = [list(group["params"]) for group in optimizer.param_groups]
        settings = copy.deepcopy(settings)
        _fit_buckets(settings, sum(p.numel() for group in self._groups for p in group))
        if settings["zero_optimization"]["stage"] == _WEIGHTS:
            deepspeed.zero.Init(
                module=measure, config_dict_or_path=settings, dtype=self._groups[0][0].dtype
            )
            for module in measure.modules():
                for name, buffer in module.named_buffers(recurse=False):
                    module._buffers[name] = buffer.to(device)
        engine, *_ = deepspeed.initialize(model=measure, optimizer=optimizer, config=settings)
        self.model: nn.Module = engine
        self.optimizer = optimizer
        self.device = device
        self._engine: Any = engine
        self._little = little
        self._begin()

    def _begin(self) -> None:
        """Have the optimiser's state made, which is there from a step on: all zeros."""
        groups = self.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = 0.0
        # At its first step of one group DeepSpeed notes where the state of all of them is.
        with _zero_gradients(groups):
            self.optimizer.step()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            self._pass(self._little, 0.0)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        self._set_step(0)

    def adding_up(self, last: bool) -> AbstractContextManager[object]:
        """As `Stepper` has it."""
        self._engine.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """As `Stepper` has it. A loss that is no number makes a gradient that is none, which no
        rank takes a step by."""
        apart = loss.detach()
        self._engine.backward(loss * (apart - apart + 1))

    def step(self, loss: Tensor, summed: Callable[[], object]) -> Tensor:
        """As `Stepper` has it; DeepSpeed waits for the device, to know whether the norm is a
        number."""
        summed()
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return torch.as_tensor(norm, dtype=torch.float32, device=self.device).detach().clone()

    def give_up(self) -> None:
        """As `Stepper` has it, between two micro-batches."""
        self.rehearse(self._little)

    def rehearse(self, batch: Batch) -> None:
        """A batch forward and back, by gradients that are no numbers: they are dropped."""
        self._pass(batch, float("nan"))

    def _pass(self, batch: Batch, factor: float) -> None:
        self.model.train()
        self.adding_up(last=True)
        self._engine.backward(self.model(batch).sum() * factor)
        self._engine.step()

    def whole_state(self, *, keep: bool) -> dict[str, Any]:
        """What `state_dict` of the optimiser alone would give, on the CPU; without its `state`
        where that isn't kept."""
        from deepspeed.utils import safe_get_full_optimizer_state

        step = next(iter(self.optimizer.state.values()))["step"].cpu()
        state: dict[int, Any] = {}
        groups = []
        for group, parameters in zip(self.optimizer.param_groups, self._groups, strict=True):
            places = range(len(state), len(state) + len(parameters))
            for place, parameter in zip(places, parameters, strict=True):
                state[place] = {"step": step.clone()}
                for name in _MOMENTS:
                    whole = safe_get_full_optimizer_state(parameter, name)
                    state[place][name] = whole.cpu() if keep else None
            told = {name: value for name, value in group.items() if name != "params"}
            groups.append({**told, "params": list(places)})
        return {"state": state if keep else {}, "param_groups": groups}

    def load_whole_state(self, body: dict[str, Any]) -> None:
        """Take up what `whole_state` gave, or an optimiser alone; each rank has all of it.

        Raises ValueError when it is the state of another optimiser.
        """
        groups, state = body["param_groups"], body["state"]
        if [len(group["params"]) for group in groups] != [len(group) for group in self._groups]:
            raise ValueError("its optimiser has other groups of weights")
        for group, saved in zip(self.optimizer.param_groups, groups, strict=True):
            group |= {name: value for name, value in saved.items() if name != "params"}
        parameters = [parameter for group in self._groups for parameter in group]
        for place, parameter in enumerate(parameters):
            for name in _MOMENTS if place in state else ():
                _put_moment(parameter, name, state[place][name])
        # All weights have taken as many.
        self._set_step(max((float(values["step"]) for values in state.values()), default=0.0))

    def took_up_weights(self) -> None:
        """To be called once weights were put back: the engine steps from copies of its own."""
        self._engine.optimizer.refresh_fp32_params()

    def _set_step(self, step: float) -> None:
        for values in self.optimizer.state.values():
            values["step"].fill_(step)


@contextmanager
def _zero_gradients(groups: list[dict[str, Any]]) -> Iterator[None]:
    """Within it each weight of an optimiser's groups has a gradient, of zeros unless it had one."""
    added = [p for group in groups for p in group["params"] if p.grad is None]
    for parameter in added:
        parameter.grad = torch.zeros_like(parameter)
    yield
    for parameter in added:
        parameter.grad = None


def _fit_buckets(settings: dict[str, Any], trained: int) -> None:
    """No more room for gradients that are added up at once than all of them take."""
    zero = settings["zero_optimization"]
    zero["reduce_bucket_size"] = min(int(zero.get("reduce_bucket_size", _LARGEST_BUCKET)), trained)


def is_spread(tensor: Tensor) -> bool:
    """Whether it is a parameter that stage 3 has spread."""
    return hasattr(tensor, "ds_id")


def held(parameter: Tensor) -> Tensor:
    """This rank's share of a spread parameter, flat, with zeros behind the last one's."""
    spread: Any = parameter
    share: Tensor = spread.ds_tensor
    return share.detach()


def whole(parameter: Tensor) -> Tensor:
    """A copy of a spread parameter, put together."""
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter]):
        return parameter.detach().clone()


def put(parameter: Tensor, value: Tensor) -> None:
    """Have a spread parameter be `value`, which every rank has."""
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
        parameter.data.copy_(value)


def shape(parameter: Tensor) -> torch.Size:
    """Of a spread parameter, put together."""
    spread: Any = parameter
    return torch.Size(spread.ds_shape)


def _put_moment(parameter: nn.Parameter, name: str, value: Tensor) -> None:
    """This rank's share of what the optimiser keeps of a weight."""
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    if not is_spread(parameter):
        safe_set_full_optimizer_state(parameter, value, name)
        return
    # DeepSpeed's own way for all of it knows no zeros behind the last share.
    size = held(parameter).numel()
    flat = value.flatten()[size * torch.distributed.get_rank() :][:size]
    padded = flat.new_zeros(size)
    padded[: len(flat)] = flat
    safe_set_local_optimizer_state(parameter, padded, name)
