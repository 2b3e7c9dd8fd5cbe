"""Bases that bitsandbytes holds in 4 or 8 bits."""

from __future__ import annotations

import logging

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from workbench.config.schema import Model


def options(model: Model, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """What transformers is to quantise with; None for a base that is held as it is.

    `dtype` is what 4-bit weights are unpacked to for a product unless the config says
    otherwise; 8-bit ones are multiplied as they are, with inputs rounded to 8 bits (Dettmers
    et al. 2022, LLM.int8).
    """
    if model.quantization == "none":
        return None
    if model.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.quantization,
        bnb_4bit_use_double_quant=model.double_quantization,
        bnb_4bit_compute_dtype=named.get(model.compute_dtype, dtype),
    )


def misshapen(base: PreTrainedModel) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Quantised weights that don't fit their layer: name, shape, and the shape it should be.

    transformers holds only those against each other that it loads as they are.
    """
    found: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    if getattr(base, "hf_quantizer", None) is None:
        return found
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    for name, module in base.named_modules():
        if isinstance(module, Linear4bit | Linear8bitLt):
            # Of 4-bit weights, which are packed, it says what they were.
            state = getattr(module.weight, "quant_state", None)
            shape = tuple(module.weight.shape if state is None else state.shape)
            wanted = (module.out_features, module.in_features)
            if shape != wanted:
                found.append((f"{name}.weight", shape, wanted))
    return found


def settle(base: PreTrainedModel, model: Model) -> None:
    """What a quantised base needs once it is loaded; nothing for any other."""
    if model.quantization == "none":
        return
    _keep_weights(base)
    # It says at every product that inputs are rounded.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if model.upcast:
        _upcast(base)


def _keep_weights(base: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the 4-bit weights anew at the first evaluation.

    On processors with avx512_bf16 it does so in place, with scales rounded to bfloat16, for
    a product that passes no gradient on: training after it would learn next to nothing in
    the lower layers, and saving would change the weights once more.
    """
    from bitsandbytes.nn import Linear4bit

    for module in base.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _upcast(base: PreTrainedModel) -> None:
    """Norms, embeddings and head in float32, and with them all that flows between the
    quantised layers: in training as in evaluation, since it is done at loading."""
    for parameter in base.parameters():
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
