"""The loss over trained tokens only.

Hidden states are gathered where the label is trained before the output layer, so the
logits of prompts are never computed, and in chunks, so the full logits never exist:
4 rows of 1,024 tokens with a vocabulary of 128,000 would be 2 GB in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from workbench.training.batches import Batch, Row, batches

OnRows = Callable[[int], None]
"""Told how many rows are done, after each batch."""

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


def token_logits(causal: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits in float32 of hidden states (tokens, width), as the model's own head gives them.

    Families finish their logits differently: Gemma 2 caps them softly, Granite divides
    and Cohere multiplies by a constant of the config.
    """
    logits: Tensor = causal.get_output_embeddings()(hidden).float()
    config: Any = causal.config.get_text_config()
    if scale := getattr(config, "logit_scale", None):
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
