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


def check_loss(model: nn.Module, row: Row, pad_id: int) -> None:
    """Hold the loss of a piece of `row` against the one by the logits that the model gives.

    The piece is padded for ours alone, since padding must change nothing. Raises
    WorkbenchError when they differ by more than the number format explains: then the
    model does with its logits, or with padding, what isn't known here.
    """
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
        logits = causal_model(model)(input_ids=theirs.input_ids, use_cache=False).logits
        place, before = theirs.places
        plain = float(nn.functional.cross_entropy(logits[place, before].float(), theirs.labels))
    # A loss that is no number is told where losses are.
    if math.isfinite(plain) and not _close(loss, plain, logits.dtype):
        raise WorkbenchError(
            f"The loss of this base model can't be computed here: it is {loss:.4f} where the "
            f"model's own logits give {plain:.4f}. {type(causal_model(model)).__name__} changes "
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
    # Another text of another length: one that its neighbour would change.
    ids = first.ids.flip(0)[: len(first) * 3 // 4 + 1]
    second = Row(ids, torch.arange(len(ids)) > 0, len(ids) - 1)
    layout = Layout(2, len(first), pad_id, packed=True)
    with torch.no_grad():
        apart = [float(measure(_alone(piece, measure))) for piece in (first, second)]
        attention.use_segments(causal)
        try:
            device = next(measure.parameters()).device
            together = measure(collate([first, second], [0, 1], layout, device)).tolist()
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
            attention.use_plain(causal)
            return f"the model can't: {' '.join(str(error).split())[:200]}"
    dtype = next(causal.parameters()).dtype
    for alone, packed in zip(apart, together, strict=True):
        if math.isfinite(alone) and not _close(alone, packed, dtype):
            attention.use_plain(causal)
            return f"an example would change its neighbour's loss, {alone:.4f} to {packed:.4f}"
    return ""


def _alone(row: Row, measure: nn.Module) -> Batch:
    layout = Layout(1, len(row), 0, packed=False)
    return collate([row], [0], layout, next(measure.parameters()).device)


def _close(ours: float, plain: float, dtype: torch.dtype) -> bool:
    return abs(ours - plain) <= _TOLERANCE.get(dtype, 0.05) * max(1.0, plain)


def _piece(row: Row) -> Row:
    """At most _PIECE tokens around the first trained one, so that their logits are few."""
    first = int(torch.nonzero(row.trained[1:])[0]) + 1
    piece = slice(max(0, first - _PIECE // 2), first + _PIECE // 2)
    trained = row.trained[piece].clone()
    trained[0] = False
    return Row(row.ids[piece], trained, int(trained.sum()))
