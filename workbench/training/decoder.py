"""The layers of a decoder: what is compiled, and spread over ranks, one by one."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def decoder_layers(causal: PreTrainedModel) -> list[nn.Module]:
    """The modules that the family says stay whole; where it says nothing, those of its list that
    has the most parameters.

    Without them all weights of the model would come together at once in a sharded run, which
    then fits no better than an unsharded one.
    """
    names = set(causal._no_split_modules or ())
    named = [module for module in causal.modules() if type(module).__name__ in names]
    if named:
        return named
    lists = [module for module in causal.modules() if isinstance(module, nn.ModuleList)]
    return list(max(lists, key=_parameters, default=()))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
