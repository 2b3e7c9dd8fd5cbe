"""Fields of a config that can't be had together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.config.schema import RunConfig

_OWN_WEIGHTS = ("olora", "pissa", "pissa_niter_4", "pissa_niter_16")
"""Initialisations that take what the adapter begins with out of the base's weights."""
_WANT_NUMBERS = (*_OWN_WEIGHTS, "orthogonal")
"""Initialisations that PEFT reads off the base's weights, or makes in their number format."""


class Conflicts(ValueError):
    """Every combination of a config that can't be, as (path of a field, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in problems))
        self.problems = problems


def changes_base(initialisation: str) -> bool:
    """Whether an adapter that begins so changes the base's weights before the first step."""
    return initialisation in _OWN_WEIGHTS


def needs_whole_base(initialisation: str) -> bool:
    """Whether an adapter can't begin so on a quantised base."""
    return initialisation in _WANT_NUMBERS


def refuse(config: RunConfig) -> None:
    """Raises Conflicts naming both fields of each combination that can't be."""
    if problems := list(_conflicts(config)):
        raise Conflicts(problems)


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    model, lora = config.model, config.lora
    quantised = model.quantization != "none"
    holds = f"model.quantization is {model.quantization}"
    if config.training.method == "full" and quantised:
        yield (
            "training.method",
            f"full trains the base's own weights, and {holds}: quantised numbers can't be "
            "trained. Choose lora, or model.quantization none",
        )
    if needs_whole_base(lora.initialisation) and quantised:
        yield (
            "lora.initialisation",
            f"{lora.initialisation} needs the base's weights as they are, and {holds}. Choose "
            "default or gaussian, or model.quantization none",
        )
    if config.data.mixture and config.data.dataset:
        yield (
            "data.mixture",
            f"it stands in place of data.dataset, and that is {config.data.dataset}. Leave one of "
            "them empty",
        )
    if config.data.mixture_rows is not None and not config.data.mixture:
        yield "data.mixture_rows", "it counts rows of data.mixture, and that is empty"
    if 0 < (config.data.mixture_rows or 0) < len(config.data.mixture):
        yield (
            "data.mixture_rows",
            f"{config.data.mixture_rows} rows are too few for the {len(config.data.mixture)} "
            "versions of data.mixture",
        )
    if config.training.micro_batch_tokens is not None and config.training.micro_batch is not None:
        yield (
            "training.micro_batch_tokens",
            "it stands in place of training.micro_batch, and that is "
            f"{config.training.micro_batch}. Leave one of them empty",
        )
    if config.evaluation.patience is not None and not config.evaluation.every:
        yield (
            "evaluation.patience",
            "it counts validations, and evaluation.every is 0: there is one at the end alone. "
            "Set evaluation.every",
        )
    if lora.initialisation == "orthogonal" and lora.rank % 2:
        yield (
            "lora.initialisation",
            f"orthogonal needs an even rank, and lora.rank is {lora.rank}",
        )
    for name in lora.modules_to_save:
        if isinstance(lora.target_modules, list) and _is_one_of(name, lora.target_modules):
            yield (
                "lora.modules_to_save",
                f"{name} would be trained whole, and lora.target_modules gives it an adapter. "
                "Name it in one of them",
            )
    if model.compute_dtype != "auto" and model.quantization not in ("nf4", "fp4"):
        yield (
            "model.compute_dtype",
            f"it is for 4-bit bases (nf4, fp4), and {holds}. Leave it at auto",
        )
    if model.upcast and not quantised:
        yield (
            "model.upcast",
            f"it is for a quantised base, and {holds}. Set model.dtype to float32 instead",
        )


def _is_one_of(name: str, others: list[str]) -> bool:
    """Whether a module's name, or the end of it, is one of those."""
    return any(f".{name}".endswith(f".{o}") or f".{o}".endswith(f".{name}") for o in others)
