"""Which modules of a base model get an adapter, by the names that its family gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workbench.config import experts
from workbench.config.lora import ALL_LINEAR, Lora
from workbench.config.parts import PARTS, part_of, without_adapter
from workbench.errors import WorkbenchError


def resolve(base: PreTrainedModel, lora: Lora) -> str | list[str]:
    """`lora.target_modules` as PEFT takes it: `all-linear`, a pattern, or module names.

    Raises WorkbenchError with the linear layers that there are when a preset finds none.
    """
    wanted = lora.target_modules
    if wanted == ALL_LINEAR or not isinstance(wanted, str) or wanted not in PARTS:
        return wanted
    names = linear_layers(base)
    found = [name for name in names if part_of(name) == wanted]
    inside = experts.in_mlp(base.config.model_type) if wanted == "mlp" else ()
    if inside:
        # A dense layer's names are among those that PEFT takes for the experts'.
        return sorted({name.rpartition(".")[2] for name in found} | inside)
    if not found:
        raise refusal(names, f"{wanted} names none of this base")
    return _short(found, names)


def refusal(layers: list[str], reason: str) -> WorkbenchError:
    """What is wrong with `lora.target_modules`, with the linear layers that there are."""
    names = sorted({name.rpartition(".")[2] for name in layers})
    return WorkbenchError(
        f"lora.target_modules can't be used: {reason}.",
        f"The base model's linear layers are {', '.join(names)}.",
    )


def why(error: Exception) -> str:
    """Why PEFT has put no adapter on anything, in words."""
    text = " ".join(str(error).split())
    if "incompatible with Mamba" in text:
        return (
            "the kernels of conv1d and out_proj in this family take their weights past an adapter"
        )
    if "exclude_modules" in text:
        return (
            "what it names is trained whole, as lora.modules_to_save says, or text doesn't pass "
            "through it"
        )
    return text[:200].rstrip(".")


def linear_layers(base: PreTrainedModel) -> list[str]:
    """The full names of the linear layers that text passes through, but for the head and what PEFT
    refuses; GPT-2's Conv1D is one."""
    head, never = base.get_output_embeddings(), excluded(base, ALL_LINEAR)
    return [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and not (never and re.fullmatch(never, name))
    ]


def excluded(base: PreTrainedModel, wanted: object) -> str:
    """A pattern of the modules that get no adapter by `lora.target_modules`; empty where there are
    none.

    Those that text doesn't pass through; routers to experts that are linear layers with something
    else for a result, as PhiMoE's, to which PEFT can add nothing; and of `all-linear` what PEFT
    refuses in this family: who asks for one by its name is told.
    """
    routers = [
        re.escape(name)
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and type(module).__name__.endswith("Router")
    ]
    refused = without_adapter(base.config.model_type) if wanted == ALL_LINEAR else ()
    own = [rf"(.*\.)?{name}" for name in sorted(refused)]
    return "|".join(filter(None, (beside_text(base), *routers, *own)))


def beside_text(base: PreTrainedModel) -> str:
    """A pattern of the modules that text doesn't pass through: the towers for images and sound
    of a base that takes them, and what stands between them and the text; empty for any other.

    An adapter on them would have no gradient from rows of text, in a model of the same names:
    Gemma 3's tower for images has a q_proj, too.
    """
    decoder: Any = base.get_decoder()
    kept = {decoder, base.get_input_embeddings(), base.get_output_embeddings()}
    found: list[str] = []

    def look(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if child in kept:
                # In Phi-4 the towers are in the very model that reads the text.
                found.extend(f"{prefix}{name}.{tower}" for tower in _towers(child))
            elif kept.isdisjoint(child.modules()):
                found.append(prefix + name)
            else:
                look(child, f"{prefix}{name}.")

    if decoder is not base:
        look(base, "")
    return "|".join(rf"{re.escape(name)}(\..*)?" for name in found)


def _towers(module: nn.Module) -> Iterator[str]:
    for name, inner in module.named_modules():
        if isinstance(inner, PreTrainedModel) and "text" not in inner.input_modalities:
            yield name


def _short(found: list[str], names: list[str]) -> list[str]:
    """Names as short as they can be and still match no other linear layer."""
    short = sorted({name.rpartition(".")[2] for name in found})
    matched = [name for name in names if name.rpartition(".")[2] in short]
    return short if matched == found else found
