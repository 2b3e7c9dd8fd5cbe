"""The loss over trained tokens only.

Hidden states are gathered where the label is trained before the output layer, so the
logits of prompts are never computed, and in chunks, so the full logits never exist:
4 rows of 1,024 tokens with a vocabulary of 128,000 would be 2 GB in float32.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

CHUNK = 1024
"""Trained tokens whose logits exist at once."""


class TrainedTokenLoss(nn.Module):
    """A causal language model and the negative log-likelihood of its trained tokens."""

    def __init__(self, model: nn.Module) -> None:
        """`model` is a PreTrainedModel or a PeftModel around one."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, trained: Tensor) -> Tensor:
        """Per-row sums of the loss in nats, shape (rows,), float32.

        `input_ids`, `attention_mask` and `trained` have shape (rows, tokens); `trained`
        is true where the token itself is to be learnt, so it is predicted from the
        position before it.
        """
        causal = _causal_model(self.model)
        hidden = causal.base_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        rows, positions = torch.nonzero(trained[:, 1:], as_tuple=True)
        picked = hidden[rows, positions]
        labels = input_ids[rows, positions + 1]
        losses = self._token_losses(causal, picked, labels)
        sums = torch.zeros(len(input_ids), dtype=torch.float32, device=losses.device)
        return sums.index_add(0, rows, losses)

    def _token_losses(self, causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
        if len(labels) <= CHUNK:
            return _chunk_losses(causal, hidden, labels)
        parts = [
            # The chunk's logits are computed again in the backward pass, not kept for it.
            checkpoint(_chunk_losses, causal, h, y, use_reentrant=False)
            for h, y in zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True)
        ]
        return torch.cat(parts)


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


def _causal_model(model: nn.Module) -> PreTrainedModel:
    if isinstance(model, PeftModel):
        model = model.get_base_model()
    return cast(PreTrainedModel, model)
