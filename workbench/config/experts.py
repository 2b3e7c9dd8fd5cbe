"""What PEFT makes of `lora.target_modules` in families with experts.

transformers 5 holds a layer's experts in two tensors and its router in one, which are no linear
layers. In the families below PEFT 0.21 takes the names that they had for these tensors, wherever a
module of such a name is: a dense layer's, or a shared expert's, gets no adapter then. In any other
family experts get none (peft/utils/transformers_weight_conversion.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.config.base_facts import BaseFacts
from workbench.errors import WorkbenchError

_GATE_UP, _DOWN, _ROUTER = "gate_up_proj", "down_proj", "gate"
_MIXTRAL = {"gate": _ROUTER, "w1": _GATE_UP, "w3": _GATE_UP, "w2": _DOWN}
_QWEN = {"gate": _ROUTER, "gate_proj": _GATE_UP, "up_proj": _GATE_UP, "down_proj": _DOWN}
_FAMILIES = {
    **dict.fromkeys(["minimax", "minimax_m2", "mixtral"], _MIXTRAL),
    **dict.fromkeys(
        [
            "afmoe",
            "beam",
            "cohere2_moe",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "dots1",
            "ernie4_5_moe",
            "exaone_moe",
            "flex_olmo",
            "glm4_moe",
            "glm4_moe_lite",
            "glm4v_moe",
            "glm_moe_dsa",
            "hunyuan_v1_moe",
            "longcat_flash",
            "mellum",
            "olmoe",
            "qwen3_moe",
            "qwen3_next",
            "qwen3_omni_moe",
            "qwen3_omni_moe_text",
            "qwen3_omni_moe_thinker",
            "solar_open",
        ],
        _QWEN,
    ),
}


@dataclass(frozen=True)
class Named:
    """What `lora.target_modules` names in a base, by the ends of full names."""

    modules: frozenset[str]
    gate_up: bool = False
    """Whether the experts' first tensor gets an adapter, which holds two of the old matrices."""
    down: bool = False
    router: bool = False


def old_names(family: str) -> frozenset[str]:
    """The names of experts' matrices and routers by which PEFT knows their tensors in a family, by
    its `model_type`; none in families whose experts get no adapter."""
    return frozenset(_FAMILIES.get(family, ()))


def in_mlp(family: str) -> frozenset[str]:
    """Those of them that are of the preset `mlp`: a router is none."""
    return old_names(family) - {_ROUTER}


def named(names: Iterable[str], family: str) -> Named:
    """What PEFT finds by these names. Raises WorkbenchError where it can't take them."""
    tensors = _FAMILIES.get(family, {})
    owns = {name: name.rpartition(".")[2] for name in names}
    experts = {own for own in owns.values() if own in tensors}
    first = {own for own, tensor in tensors.items() if tensor == _GATE_UP}
    if 0 < len(first & experts) < len(first):
        raise WorkbenchError(
            f"lora.target_modules can't be used: {', '.join(first & experts)} without "
            f"{', '.join(first - experts)}, with which it is one tensor in this base's experts."
        )
    modules = frozenset(name for name, own in owns.items() if own not in tensors)
    found = {tensors[own] for own in experts}
    return Named(modules, _GATE_UP in found, _DOWN in found, _ROUTER in found)


def sizes(found: Named, rank: int, facts: BaseFacts) -> Iterator[int]:
    """Numbers of A and B of each layer's experts and router, as PEFT 0.21 lays them out: the
    experts' in one matrix each, at twice the rank for gate and up."""
    count, width = facts.experts, facts.width
    routers = [w for w in facts.weights if facts.is_router(w)]
    routed = {w.layer for w in routers if w.module.endswith(f".{_ROUTER}")}
    for layer in range(facts.layers):
        inside = facts.expert_width(layer)
        if found.gate_up and inside:
            yield from (2 * rank * count * width, 2 * rank * count * 2 * inside)
        if found.down and inside:
            yield from (rank * count * inside, rank * count * width)
        if found.router and layer in routed:
            yield from (rank * width, rank * count)
