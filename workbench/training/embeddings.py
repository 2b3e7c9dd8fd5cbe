"""Rows of the embeddings for tokens that a run adds, and whether head and embeddings are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transformers import PreTrainedModel

from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.training.loss import causal_model
from workbench.training.saving import Trained
from workbench.training.token_cache import EncodedRows


def make_room(base: PreTrainedModel, ids: Sequence[int]) -> None:
    """Give the tokens `ids` rows in embeddings and head, each the mean of the rows before them.

    Some families have rows to spare; there they are set, else added. The mean is what the base
    knows of no token in particular (Hewitt 2021), the same at every start.
    """
    if not ids:
        return
    if max(ids) >= len(_ends(base)[0].weight):
        base.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    for module in _ends(base):
        weight = module.weight.data
        weight[list(ids)] = weight[: min(ids)].float().mean(0).to(weight.dtype)


def check_ids(model: Trained, template: ChatTemplate, splits: Iterable[EncodedRows]) -> None:
    """Raises WorkbenchError when a token of the rows, or that of padding, has no embedding.

    On a GPU it would end the process at the step that it is met in, and say nothing.
    """
    rows = len(_ends(causal_model(model))[0].weight)
    largest = max(template.pad_id, *(split.largest_id for split in splits))
    if largest >= rows:
        raise WorkbenchError(
            f"The tokenizer is not this base's own: token {largest}, "
            f"{template.decode([largest], skip_special=False)!r}, has no embedding, of which "
            f"there are {rows:,}.",
            "Put the base's own tokenizer there. A token of yours: take it out of tokenizer.json "
            "and name it in model.new_tokens, which gives it an embedding.",
        )


def are_tied(base: PreTrainedModel) -> bool:
    """Whether the head has the very weights of the embeddings."""
    embeddings, *head = _ends(base)
    return bool(head) and head[0].weight is embeddings.weight


def end_names(base: PreTrainedModel) -> list[str]:
    """The full names of embeddings and head; of the embeddings alone where there is no head."""
    by_module = {module: name for name, module in base.named_modules()}
    return [by_module[module] for module in _ends(base)]


def _ends(base: PreTrainedModel) -> list[Any]:
    both = (base.get_input_embeddings(), base.get_output_embeddings())
    return [module for module in both if module is not None]
