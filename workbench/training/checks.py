"""What is held against a plain computation before the first step."""

from __future__ import annotations

import math

import torch
from torch import nn

from workbench.errors import WorkbenchError
from workbench.training import attention
from workbench.training.batches import Batch, Layout, Row, collate
from workbench.training.loss import TrainedTokenLoss, causal_model

_PIECE = 64
"""Tokens of a row that are computed."""
_TOLERANCE = {torch.float32: 0.002}
"""Of the loss; the formats of half the size are some hundred times as coarse."""
_STRAY = 1e-5
"""Of a row's loss: many times what the order of summing can change."""


def check_loss(model: nn.Module, row: Row, pad_id: int) -> None:
    """Hold the loss of a piece of `row` against the one by the logits that the model gives.

    The piece is padded for ours alone, since padding must change nothing. Raises
    WorkbenchError when they differ by more than the number format explains: then the
    model does with its logits, or with padding, what isn't known here; and for one that
    has no part that gives hidden states alone.
    """
    causal = causal_model(model)
    if causal.base_model is causal:
        raise WorkbenchError(
            f"The loss of this base model can't be computed here: {type(causal).__name__} gives "
            "logits alone, and none of the hidden states that they are made of.",
            "Use a base model of another family.",
        )
    measure = TrainedTokenLoss(model).eval()
    piece = _piece(row)
    padding = torch.zeros(_PIECE)
    padded = Row(
        torch.cat([piece.ids, torch.full_like(padding, pad_id, dtype=torch.int32)]),
        torch.cat([piece.trained, padding.bool()]),
        piece.trained_tokens,
    )
    with torch.no_grad():
        loss = float(measure(_alone(padded, measure))) / piece.trained_tokens
        theirs = _alone(piece, measure)
        logits = causal(input_ids=theirs.input_ids, use_cache=False).logits
        place, before = theirs.places
        plain = float(nn.functional.cross_entropy(logits[place, before].float(), theirs.labels))
    if not _close(loss, plain, logits.dtype):
        raise WorkbenchError(
            f"The loss of this base model can't be computed here: it is {loss:.4f} where the "
            f"model's own logits give {plain:.4f}. {type(causal).__name__} changes "
            "its logits, or treats padding, in a way that workbench doesn't know.",
            "Use a base model of another family.",
        )


def pack(model: nn.Module, row: Row, pad_id: int) -> str:
    """Have `model` take packed rows, if each then has the loss that it has alone.

    That is tried with two pieces of `row`. Returns why it can't be, in words; empty where it
    can. A model that can't is left as it was.
    """
    causal = causal_model(model)
    measure = TrainedTokenLoss(model).eval()
    first = _piece(row)
    second, other = _backwards(first, 0), _backwards(first, 1)
    with torch.no_grad():
        alone = [float(measure(_alone(piece, measure))) for piece in (second, first)]
        attention.use_segments(causal)
        try:
            together = _packed(measure, [second, first], pad_id)
            _, beside_another = _packed(measure, [other, first], pad_id)
        except (NotImplementedError, TypeError, ValueError) as error:
            attention.use_own(causal)
            return f"the model can't: {' '.join(str(error).split())[:200]}"
    dtype = next(causal.parameters()).dtype
    agrees = all(_close(*pair, dtype) for pair in zip(together, alone, strict=True))
    # What a neighbour says changes nothing at all, but for the outliers of LLM.int8, which are
    # looked for in the whole batch.
    strays = abs(beside_another - together[1]) > _STRAY * max(1.0, together[1])
    if agrees and (not strays or getattr(causal, "is_loaded_in_8bit", False)):
        return ""
    attention.use_own(causal)
    return "an example would change its neighbour's loss"


def shares(model: nn.Module, row: Row, pad_id: int) -> bool:
    """Whether packed rows of `model` may have their beginning in common: each then has the loss
    that it has alone.

    Not where something is dropped at random, from what should be each row's own, nor in a model
    that hands a state on from token to token.
    """
    if any(isinstance(module, nn.Dropout) and module.p for module in model.modules()):
        return False
    measure = TrainedTokenLoss(model).eval()
    first = _piece(row)
    front = first.ids[: max(1, len(first) // 3)]
    second = _backwards(first, 0)
    second = Row(torch.cat([front, second.ids]), torch.arange(len(front) + len(second)) > 0, 1)
    rows = [second, first, _backwards(first, 1)]
    with torch.no_grad():
        alone = [float(measure(_alone(piece, measure))) for piece in rows]
        together = _packed(measure, rows, pad_id, tuple(front.tolist()))
    dtype = next(causal_model(model).parameters()).dtype
    return all(_close(*pair, dtype) for pair in zip(together, alone, strict=True))


def _packed(
    measure: nn.Module, rows: list[Row], pad_id: int, beginning: tuple[int, ...] = ()
) -> list[float]:
    longest = max(len(row) for row in rows)
    layout = Layout(len(rows), longest, pad_id, packed=True, beginning=beginning)
    device = next(measure.parameters()).device
    losses: list[float] = measure(collate(rows, list(range(len(rows))), layout, device)).tolist()
    return losses


def _backwards(row: Row, shift: int) -> Row:
    """Another text of about three quarters of the length; `shift` makes yet another one."""
    ids = row.ids.flip(0).roll(shift)[: len(row) * 3 // 4 + 1]
    return Row(ids, torch.arange(len(ids)) > 0, len(ids) - 1)


def _alone(row: Row, measure: nn.Module) -> Batch:
    layout = Layout(1, len(row), 0, packed=False)
    return collate([row], [0], layout, next(measure.parameters()).device)


def _close(ours: float, plain: float, dtype: torch.dtype) -> bool:
    # A loss that is no number is told where losses are.
    return not math.isfinite(plain) or abs(ours - plain) <= _TOLERANCE.get(dtype, 0.05) * max(
        1.0, plain
    )


def _piece(row: Row) -> Row:
    """At most _PIECE tokens around the first trained one, so that their logits are few."""
    first = int(torch.nonzero(row.trained[1:])[0]) + 1
    piece = slice(max(0, first - _PIECE // 2), first + _PIECE // 2)
    trained = row.trained[piece].clone()
    trained[0] = False
    return Row(row.ids[piece], trained, int(trained.sum()))
