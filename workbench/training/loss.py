"""The loss over trained tokens only.

Hidden states are gathered where the label is trained before the output layer, so the
logits of prompts are never computed, and in chunks, so the full logits never exist:
4 rows of 1,024 tokens with a vocabulary of 128,000 would be 2 GB in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.training.batches import Batch, Row, batches

OnRows = Callable[[int], None]
"""Told how many rows are done, after each batch."""

_PIECE = 64
"""Tokens that `check_loss` takes."""
_TOLERANCE = {torch.float32: 0.002}
"""Of the loss; the formats of half the size are some hundred times as coarse."""
CHUNK = 1024
"""Trained tokens whose logits exist at once."""


class TrainedTokenLoss(nn.Module):
    """A causal language model and the negative log-likelihood of its trained tokens."""

    def __init__(self, model: nn.Module) -> None:
        """`model` is a PreTrainedModel or a PeftModel around one."""
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Per-row sums of the loss in nats, shape (rows,), float32."""
        causal = causal_model(self.model)
        hidden = causal.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        row, before = batch.places
        losses = self._token_losses(causal, hidden[row, before], batch.labels)
        sums = torch.zeros(len(batch.input_ids), dtype=torch.float32, device=losses.device)
        return sums.index_add(0, row, losses)

    def _token_losses(self, causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
        if len(labels) <= CHUNK:
            return _chunk_losses(causal, hidden, labels)
        parts = [
            # The chunk's logits are computed again in the backward pass, not kept for it.
            checkpoint(_chunk_losses, causal, h, y, use_reentrant=False)
            for h, y in zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True)
        ]
        return torch.cat(parts)


def row_losses(
    measure: nn.Module, rows: Sequence[Row], *, batch_size: int, pad_id: int, on_rows: OnRows
) -> list[float]:
    """Sum of the loss over each row's trained tokens, in nats, in the order of `rows`.

    `measure` is a TrainedTokenLoss, or one that accelerate has prepared; it is left in
    evaluation mode. What `on_rows` raises ends it after the current batch.
    """
    measure.eval()
    device = next(measure.parameters()).device
    losses = [0.0] * len(rows)
    done = 0
    # Not inference_mode: training goes on with whatever the model keeps from here.
    with torch.no_grad():
        for batch in batches(rows, batch_size, pad_id, device):
            for place, value in zip(batch.rows, measure(batch).tolist(), strict=True):
                losses[place] = value
            done += len(batch.rows)
            on_rows(done)
    return losses


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
    device = next(measure.parameters()).device
    (ours,), (theirs,) = batches([padded], 1, pad_id, device), batches([piece], 1, pad_id, device)
    with torch.no_grad():
        loss = float(measure(ours)) / piece.trained_tokens
        logits = causal_model(model)(input_ids=theirs.input_ids, use_cache=False).logits
        place, before = theirs.places
        plain = float(nn.functional.cross_entropy(logits[place, before].float(), theirs.labels))
    tolerance = _TOLERANCE.get(logits.dtype, 0.05) * max(1.0, plain)
    # A loss that is no number is told where losses are.
    if math.isfinite(plain) and not abs(loss - plain) <= tolerance:
        raise WorkbenchError(
            f"The loss of this base model can't be computed here: it is {loss:.4f} where the "
            f"model's own logits give {plain:.4f}. {type(causal_model(model)).__name__} changes "
            "its logits, or treats padding, in a way that workbench doesn't know.",
            "Use a base model of another family.",
        )


def _piece(row: Row) -> Row:
    """At most _PIECE tokens around the first trained one, so that their logits are few."""
    first = int(torch.nonzero(row.trained[1:])[0]) + 1
    piece = slice(max(0, first - _PIECE // 2), first + _PIECE // 2)
    trained = row.trained[piece].clone()
    trained[0] = False
    return Row(row.ids[piece], trained, int(trained.sum()))


def token_logits(causal: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits in float32 of hidden states (tokens, width), as the model's own head gives them.

    Families finish their logits differently: Gemma 2 caps them softly, Granite divides,
    Cohere and Falcon-H1 multiply by a constant of the config. `check_loss` finds one that does
    yet otherwise.
    """
    logits: Tensor = causal.get_output_embeddings()(hidden).float()
    config: Any = causal.config.get_text_config()
    for name in ("logit_scale", "lm_head_multiplier"):
        if scale := getattr(config, name, None):
            logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def _chunk_losses(causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(token_logits(causal, hidden), labels, reduction="none")


def causal_model(model: nn.Module) -> PreTrainedModel:
    """The causal language model in `model`, whose layers may have adapters in them."""
    if isinstance(model, PeftModel):
        model = model.get_base_model()
    return cast(PreTrainedModel, model)
