"""Adapters that begin with a part of the base's own weights: PiSSA and OLoRA.

The part is taken out of the base, whose weights W become W - s B0 A0, so that base and
adapter together are at first what the base was. The beginning (A0, B0) is kept: with it a
trained adapter is told as an ordinary one of twice the rank for the unchanged base, since
(W - s B0 A0) + s B A = W + s [B, -B0] [A; A0].

PEFT does both as well, but rounds A0 and B0 to the base's format after it has subtracted
their product, and leaves everything but A and B out of what it converts.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workbench.errors import WorkbenchError
from workbench.training import sharding

_ADAPTER = "default"
Tensors = dict[str, Tensor]


def begin(adapted: PeftModel, initialisation: str, dtype: torch.dtype) -> None:
    """Begin the adapter, which is in `dtype`, with a part of each layer that it is on.

    Raises WorkbenchError for a rank over a layer's width, for OLoRA on GPT-2's layers, and for a
    layer that no part can be taken out of.
    """
    _check(adapted, initialisation)
    kept: Tensors = {}
    for name, layer in _layers(adapted):
        weight = layer.get_base_layer().weight
        own = weight.data
        # Decomposed in float32, whatever the base is held in; OLoRA writes into it.
        weight.data = own.to(torch.float32, copy=True)
        if initialisation == "olora":
            layer.olora_init(_ADAPTER)
        else:
            layer.pissa_init(_ADAPTER, initialisation)
        for part in ("lora_A", "lora_B"):
            parameter = getattr(layer, part)[_ADAPTER].weight
            parameter.data = parameter.data.to(dtype).contiguous()
            kept[f"{name}.{part}.weight"] = parameter.detach().clone()
        weight.data = (own.float() - _product(layer, name, kept)).to(own.dtype)
    _keep(adapted, kept)
    _config(adapted).init_lora_weights = initialisation


def beginning(adapted: PeftModel) -> Tensors:
    """A0 and B0 by name; empty for an adapter that left the base as it is."""
    kept: Tensors = getattr(adapted, "begun_with", {})
    return kept


def begin_with(adapted: PeftModel, saved: Tensors) -> None:
    """Take up a beginning that was made elsewhere, where it came out a little otherwise.

    On the same kind of processor the two are equal, and nothing is done. Raises ValueError
    when they are of other layers.
    """
    own = beginning(adapted)
    if own.keys() != saved.keys():
        raise ValueError("it begins with other layers")
    if all(torch.equal(own[name].cpu(), saved[name]) for name in own):
        return
    moved = {name: tensor.to(own[name]) for name, tensor in saved.items()}
    for name, layer in _layers(adapted):
        weight = layer.get_base_layer().weight
        base = sharding.whole(weight).float() + _product(layer, name, own)
        sharding.put(weight, base - _product(layer, name, moved))
    _keep(adapted, moved)


def as_plain_lora(adapted: PeftModel, tensors: Tensors) -> tuple[Tensors, LoraConfig]:
    """The adapter's tensors and config for the base as it was, with twice the rank.

    `tensors` are its present ones; what is no A or B of LoRA (DoRA's magnitudes, modules that
    are saved whole, new tokens) stays.
    """
    config = copy.deepcopy(_config(adapted))
    first = beginning(adapted)
    if not first:
        return tensors, config
    joined = dict(tensors)
    for name, tensor in first.items():
        sign, side = (1, 0) if ".lora_A." in name else (-1, 1)
        joined[name] = torch.cat([tensors[name], sign * tensor.to(tensors[name])], dim=side)
    config.init_lora_weights = True
    config.r *= 2
    # What the update is multiplied by stays: alpha/r, or alpha/sqrt(r).
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2
    return joined, config


def _check(adapted: PeftModel, initialisation: str) -> None:
    _check_kinds(adapted, initialisation)
    layers = [layer for _, layer in _layers(adapted)]
    narrowest = min(min(layer.get_base_layer().weight.shape) for layer in layers)
    rank = layers[0].r[_ADAPTER]
    if rank > narrowest:
        raise WorkbenchError(
            f"lora.initialisation {initialisation} can't be used: lora.rank is {rank}, and a "
            f"layer that gets an adapter has no more than {narrowest} singular values.",
            f"Set lora.rank to {narrowest} or less, or choose default.",
        )
    if initialisation == "olora" and any(layer.fan_in_fan_out for layer in layers):
        raise WorkbenchError(
            "lora.initialisation olora can't be used: this base holds its weights transposed, "
            "which PEFT decomposes as if they were not.",
            "Choose pissa or default.",
        )


def _check_kinds(adapted: PeftModel, initialisation: str) -> None:
    owners = Counter(id(p) for _, p in adapted.named_parameters(remove_duplicate=False))
    for name, layer in _layers(adapted):
        own = layer.get_base_layer()
        named = name.removeprefix("base_model.model.")
        if not isinstance(own, nn.Linear | Conv1D):
            raise WorkbenchError(
                f"lora.initialisation {initialisation} can't be used with an adapter on {named}: "
                f"it takes apart linear layers, and that is none ({type(own).__name__}).",
                f"Take {named} out of lora.target_modules, or choose default.",
            )
        if owners[id(own.weight)] > 1:
            raise WorkbenchError(
                f"lora.initialisation {initialisation} can't be used with an adapter on {named}: "
                "its weights are those of the embeddings as well, which would change with them.",
                f"Take {named} out of lora.target_modules, or choose default.",
            )


def _product(layer: Any, name: str, tensors: Tensors) -> Tensor:
    """s B A in float32, of the shape of the layer's weight."""
    a, b = (tensors[f"{name}.{part}.weight"].float() for part in ("lora_A", "lora_B"))
    product: Tensor = layer.scaling[_ADAPTER] * (b @ a)
    return product.T if layer.fan_in_fan_out else product


def _layers(adapted: PeftModel) -> Iterator[tuple[str, Any]]:
    return ((n, m) for n, m in adapted.named_modules() if isinstance(m, LoraLayer))


def _config(adapted: PeftModel) -> Any:
    return adapted.peft_config[_ADAPTER]


def _keep(adapted: PeftModel, tensors: Tensors) -> None:
    holder: Any = adapted
    holder.begun_with = tensors
