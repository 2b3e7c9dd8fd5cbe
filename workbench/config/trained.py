"""Which tensors a config trains, from the names and shapes of its base alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.config import experts
from workbench.config.base_facts import BaseFacts, Weight
from workbench.config.experts import Named
from workbench.config.lora import ALL_LINEAR, Lora
from workbench.config.parts import PARTS, part_of, without_adapter
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError


@dataclass(frozen=True)
class TrainedTensors:
    """What is trained."""

    adapted: frozenset[str]
    """The full names of the modules that get an adapter."""
    sizes: tuple[int, ...]
    """Numbers of each trained tensor."""
    largest: int
    """Numbers of the largest."""
    whole_ends: bool
    """Whether the head's weights are trained whole."""
    experts: bool = False
    """Whether experts get an adapter: their weights with it are made anew in each step."""

    @property
    def parameters(self) -> int:
        return sum(self.sizes)


def trained_tensors(
    config: RunConfig, facts: BaseFacts, new_ids: Sequence[int] = ()
) -> TrainedTensors:
    """What `config` trains of the base, or beside it; `new_ids` are those of `model.new_tokens`.

    Raises WorkbenchError when `lora.target_modules` or `lora.modules_to_save` name nothing there.
    """
    if config.training.method == "full":
        grown = added_rows(facts, new_ids) * facts.width
        sizes = [
            w.numel + (grown if w in (facts.embeddings, facts.head) else 0) for w in facts.loaded()
        ]
        return TrainedTensors(frozenset(), tuple(sizes), max(sizes), True)
    whole = _whole(config.lora, facts)
    targets, of_experts = _targets(config.lora, facts)
    adapted = [w for w in targets if w.module not in {x.module for x in whole}]
    added = tuple(experts.sizes(of_experts, config.lora.rank, facts))
    if not adapted and not added:
        raise WorkbenchError(
            f"lora.target_modules can't be used: {config.lora.target_modules} names none of this "
            "base's modules.",
            f"Its linear layers are {', '.join(_own_names(facts))}.",
        )
    sizes = [size for weight in adapted for size in _adapter(weight, config.lora, facts)]
    sizes += added
    sizes += [w.numel + _growth(w, facts, new_ids) for w in whole]
    sizes += [len(new_ids) * facts.width] * (len(_ends_of_new(facts, whole)) if new_ids else 0)
    names = frozenset(weight.module for weight in adapted)
    head = facts.embeddings if facts.head is None else facts.head
    remade = of_experts.gate_up or of_experts.down
    return TrainedTensors(names, tuple(sizes), max(sizes), head in whole, remade)


def added_rows(facts: BaseFacts, new_ids: Sequence[int]) -> int:
    """Rows that embeddings and head get for new tokens; families with rows to spare get none."""
    return max(0, max(new_ids, default=-1) + 1 - facts.vocabulary)


def _adapter(weight: Weight, lora: Lora, facts: BaseFacts) -> Iterator[int]:
    """Matrices A (rank, in) and B (out, rank), and DoRA's magnitudes (out,)."""
    rows, columns = weight.shape
    yield lora.rank * columns
    yield lora.rank * rows
    if lora.dora:
        yield columns if transposed(facts) or weight is facts.embeddings else rows


def transposed(facts: BaseFacts) -> bool:
    """Whether linear layers are held in × out, as GPT-2's are."""
    return facts.family in ("gpt2", "openai-gpt", "imagegpt")


def _targets(lora: Lora, facts: BaseFacts) -> tuple[list[Weight], Named]:
    """The modules that `lora.target_modules` names, and what it names of experts."""
    linear = [w for w in facts.linear if not facts.beside_text(w)]
    ends = [w for w in (facts.embeddings, facts.head) if w is not None]
    wanted = lora.target_modules
    if isinstance(wanted, str):
        modules = _by_text(wanted, linear, ends, facts.family)
        if not experts.old_names(facts.family):
            return modules, Named(frozenset())
        # PEFT goes on with their own names there: a layer's number in a pattern counts for nothing.
        names = {w.own for w in modules} | _old_names(wanted, facts)
    else:
        names = set(wanted)
    found = experts.named(names, facts.family)
    return [w for w in (*linear, *ends) if any(_ends_in(w.module, n) for n in found.modules)], found


def _by_text(
    wanted: str, linear: Sequence[Weight], ends: Sequence[Weight], family: str
) -> list[Weight]:
    if wanted == ALL_LINEAR:
        return [w for w in linear if w.own not in without_adapter(family)]
    if wanted in PARTS:
        return [w for w in linear if part_of(w.module) == wanted]
    return [w for w in (*linear, *ends) if re.fullmatch(wanted, w.module)]


def _old_names(wanted: str, facts: BaseFacts) -> frozenset[str]:
    """The names of experts' matrices and of routers that a text stands for."""
    if wanted == ALL_LINEAR:
        return experts.old_names(facts.family)
    if wanted in PARTS:
        return experts.in_mlp(facts.family) if wanted == "mlp" else frozenset()
    return frozenset(
        name
        for name in experts.old_names(facts.family)
        if any(re.fullmatch(wanted, module) for module in facts.expert_modules(name))
    )


def _whole(lora: Lora, facts: BaseFacts) -> list[Weight]:
    """The tensors of the modules that are trained whole."""
    found: list[Weight] = []
    for name in lora.modules_to_save:
        if facts.tied and name.rpartition(".")[2] in ("lm_head", "embed_out"):
            named = [facts.embeddings]
        else:
            named = [w for w in facts.weights if _is_under(w.module, name)]
        if not named:
            raise WorkbenchError(f"lora.modules_to_save: the base model has no module {name}.")
        found += [w for w in named if w not in found]
    return found


def _ends_of_new(facts: BaseFacts, whole: Sequence[Weight]) -> list[Weight]:
    """Embeddings and head, as far as rows of them are trained for new tokens; tied, as one."""
    return [w for w in (facts.embeddings, facts.head) if w is not None and w not in whole]


def _growth(weight: Weight, facts: BaseFacts, new_ids: Sequence[int]) -> int:
    is_end = weight in (facts.embeddings, facts.head)
    return added_rows(facts, new_ids) * facts.width if is_end else 0


def _ends_in(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _is_under(module: str, name: str) -> bool:
    parts = module.split(".")
    return any(_ends_in(".".join(parts[: n + 1]), name) for n in range(len(parts)))


def _own_names(facts: BaseFacts) -> list[str]:
    return sorted({weight.own for weight in facts.linear})
