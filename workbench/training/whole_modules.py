"""Modules that are trained whole beside an adapter: `lora.modules_to_save`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import PeftModel
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.training import embeddings


def names(base: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """The full names of the modules that are wanted by these, or by their last parts.

    Raises WorkbenchError for a name that is no module's, or one of quantised weights.
    """
    modules = {name: module for name, module in base.named_modules() if name}
    found: list[str] = []
    for end in wanted:
        named = [n for n in modules if n == end or n.endswith(f".{end}")]
        if not named:
            ends = sorted({n.rpartition(".")[2] for n, m in modules.items() if _has_weights(m)})
            raise WorkbenchError(
                f"lora.modules_to_save: the base model has no module {end}.",
                f"Its modules with weights are {', '.join(ends)}.",
            )
        if not all(p.is_floating_point() for name in named for p in modules[name].parameters()):
            raise WorkbenchError(
                f"lora.modules_to_save: the weights of {end} are quantised and can't be trained.",
                "Leave it to an adapter, or set model.quantization to none.",
            )
        found += [name for name in named if name not in found]
    return found


def check_tied(adapted: PeftModel) -> None:
    """Raises WorkbenchError when copies of embeddings and head, which were one, are two."""
    base: Any = adapted.get_base_model()
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    copied = any(isinstance(end, ModulesToSaveWrapper) for end in ends)
    if copied and not embeddings.are_tied(base):
        raise WorkbenchError(
            "lora.modules_to_save: embeddings and head of this base model have the same weights, "
            "and PEFT would train each apart.",
            "Leave them out, or train the model whole: training.method full.",
        )


def hold_in(adapted: PeftModel, dtype: torch.dtype) -> None:
    """Make the copies compute in `dtype`, which their weights are in, between layers of another.

    What goes in is converted to it, and what comes out to the format of what they are copies of.
    """
    for original, copy in _copies(adapted):
        own = next(original.parameters()).dtype
        if own != dtype:
            copy.register_forward_pre_hook(_Inputs(dtype))
            copy.register_forward_hook(_Outputs(own))


class _Inputs:
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(_as(value, self._dtype) for value in inputs)


class _Outputs:
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return _as(output, self._dtype)


def _as(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _copies(adapted: PeftModel) -> Iterator[tuple[nn.Module, nn.Module]]:
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            yield module.original_module, module.modules_to_save["default"]


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))
