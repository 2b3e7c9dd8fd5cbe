"""The loss over trained tokens only.

Hidden states are gathered where the label is trained before the output layer, so the
logits of prompts are never computed, and in chunks, so the full logits never exist:
4 rows of 1,024 tokens with a vocabulary of 128,000 would be 2 GB in float32. Where the output
layer is frozen, a chunk's gradient is taken while its logits are there: none are computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from workbench.config.activations import chunk
from workbench.training.attention import Segments
from workbench.training.batches import Batch, Layout, Row, collate, lengths_of, ship
from workbench.training.compiling import on_gpu
from workbench.training.neftune import Neftune, token_lengths
from workbench.training.ranks import ALONE, Ranks, share

_FINISHING = ("logit_scale", "lm_head_multiplier", "logits_scaling", "final_logit_softcapping")
OnRows = Callable[[int], None]
"""Told how many rows are done, after each batch."""


class TrainedTokenLoss(nn.Module):
    """A causal language model and the negative log-likelihood of its trained tokens."""

    def __init__(
        self, model: nn.Module, noise: Neftune | None = None, *, at_once: bool = False
    ) -> None:
        """`model` is a PreTrainedModel or a PeftModel around one; `noise` is what its embeddings
        get in training. `at_once`: its head is called once in each pass, however many tokens are
        trained, and all of their logits exist at once."""
        super().__init__()
        self.model = model
        self._noise = noise
        self._at_once = at_once

    def forward(self, batch: Batch) -> Tensor:
        """Per-row sums of the loss in nats, shape (rows,), float32; (1,) for a batch of none."""
        causal = causal_model(self.model)
        row, before = batch.places
        with self._noisy(batch):
            hidden = hidden_states(causal, batch)[row, before]
        losses_of = _chunk_losses if self._at_once else _token_losses
        losses = losses_of(causal, hidden, batch.labels)
        sums = torch.zeros(max(1, len(batch.rows)), dtype=torch.float32, device=losses.device)
        return sums.index_add(0, batch.owners, losses)

    def _noisy(self, batch: Batch) -> AbstractContextManager[None]:
        if self._noise is None or not self.training:
            return nullcontext()
        # A batch of no rows is one of padding, to which nothing is added.
        rows: list[Sequence[int]] = [batch.segments]
        if not batch.segments:
            rows = [[length] for length in batch.lengths] or [[]]
        lengths = token_lengths(rows, batch.input_ids.shape[1])
        return self._noise.of(ship(lengths, batch.input_ids.device))


def hidden_states(causal: PreTrainedModel, batch: Batch) -> Tensor:
    """The last hidden states of a batch, shape (rows, tokens, width)."""
    packed: dict[str, Any] = {}
    if batch.starts is not None:
        packed = {
            "position_ids": batch.position_ids,
            "segments": Segments(batch.segments, batch.shared, batch.starts),
            # What a family with a state knows itself where a row begins by.
            "cu_seq_lens_q": batch.starts,
        }
    out = causal.base_model(input_ids=batch.input_ids, use_cache=False, **packed)
    return cast(Tensor, out.last_hidden_state)


def _token_losses(causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Of each trained token, float32, shape (tokens,)."""
    if not torch.is_grad_enabled():
        return _in_chunks(causal, hidden, labels, _chunk_losses)
    if any(p.requires_grad for p in causal.get_output_embeddings().parameters()):
        return _in_chunks(causal, hidden, labels, _recomputed)
    apply: Any = _FrozenHead.apply
    losses: Tensor = apply(hidden, labels, causal)
    return losses


def _in_chunks(
    causal: PreTrainedModel,
    hidden: Tensor,
    labels: Tensor,
    losses_of: Callable[[PreTrainedModel, Tensor, Tensor], Tensor],
) -> Tensor:
    size = _chunk(causal)
    parts = zip(hidden.split(size), labels.split(size), strict=True)
    return torch.cat([losses_of(causal, h, y) for h, y in parts])


def _recomputed(causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """The chunk's logits are computed again in the backward pass, not kept for it."""
    return cast(Tensor, checkpoint(_chunk_losses, causal, hidden, labels, use_reentrant=False))


class _FrozenHead(torch.autograd.Function):
    """The tokens' losses, and the gradient of each for its hidden state, in one pass.

    A token's loss depends on its own hidden state alone, so the backward pass has only to
    multiply.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, causal: PreTrainedModel) -> Tensor:
        gradients = torch.empty_like(hidden)
        losses = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        take = getattr(causal, "fast_losses", losses_by_autograd)
        for place in range(0, len(labels), size := _chunk(causal)):
            part = slice(place, place + size)
            take(causal, hidden[part], labels[part], losses[part], gradients[part])
        ctx.save_for_backward(gradients)
        return losses

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * above[0].unsqueeze(1).to(gradients.dtype), None, None


def losses_by_autograd(
    causal: PreTrainedModel, hidden: Tensor, labels: Tensor, losses: Tensor, gradients: Tensor
) -> None:
    """Put the loss of each token into `losses`, and its gradient for the token's hidden state
    (tokens, width) into `gradients`."""
    with torch.enable_grad():
        chunk = hidden.detach().requires_grad_()
        of_chunk = _chunk_losses(causal, chunk, labels)
        gradients.copy_(torch.autograd.grad(of_chunk.sum(), chunk)[0])
    losses.copy_(of_chunk.detach())


def _chunk(causal: PreTrainedModel) -> int:
    """Tokens whose logits exist at once."""
    processor = causal.device.type != "cuda"
    return chunk(int(causal.config.get_text_config().vocab_size), processor=processor)


def row_losses(
    measure: nn.Module,
    rows: Sequence[Row],
    layout: Layout,
    on_rows: OnRows,
    ranks: Ranks = ALONE,
) -> list[float]:
    """Sum of the loss over each row's trained tokens, in nats, in the order of `rows`; of several
    ranks, which share the work, on the first, and zeros on the others.

    `measure` is a TrainedTokenLoss; it is left in evaluation mode. What `on_rows` raises ends it
    after the current batch.
    """
    measure.eval()
    device = next(measure.parameters()).device
    places: list[int] = []
    sums: list[Tensor] = []
    lengths = lengths_of(rows)
    groups = layout.groups(lengths, ranks.count)
    mine = share([sum(lengths[i] for i in group) for group in groups], ranks.count)[ranks.number]
    # Not inference_mode: training goes on with whatever the model keeps from here.
    with torch.no_grad():
        for turn, place in enumerate(mine, start=1):
            batch = collate(rows, [] if place is None else groups[place], layout, device)
            sums.append(measure(batch)[: len(batch.rows)].cpu())
            places += batch.rows
            on_rows(min(len(rows), math.ceil(len(rows) * turn / len(mine))))
    losses = [0.0] * len(rows)
    gathered = (ranks.gather(torch.tensor(places)), ranks.gather(torch.cat(sums)))
    for of_rank, totals in zip(*gathered, strict=True):
        for place, total in zip(of_rank.tolist(), totals.tolist(), strict=True):
            losses[place] = total
    return losses


def token_logits(causal: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits in float32 of hidden states (tokens, width), as the model's own head gives them.

    Families finish their logits differently: Gemma 2 caps them softly, Granite divides,
    Cohere and Falcon-H1 multiply by a constant of the config. `check_loss` finds one that does
    yet otherwise.
    """
    logits: Tensor = causal.get_output_embeddings()(hidden)
    return _finished(causal, logits).float()


def finishes_logits(causal: PreTrainedModel) -> bool:
    """Whether its family does something with what its head gives."""
    config: Any = causal.config.get_text_config()
    return any(getattr(config, name, None) for name in _FINISHING)


def _finished(causal: PreTrainedModel, logits: Tensor) -> Tensor:
    """In float32 where the family does something with them; else as they are."""
    config: Any = causal.config.get_text_config()
    if finishes_logits(causal):
        logits = logits.float()
    for name in ("logit_scale", "lm_head_multiplier"):
        if scale := getattr(config, name, None):
            logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def _chunk_losses(causal: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    logits = causal.get_output_embeddings()(hidden)
    return _cross_entropy(_finished(causal, logits), labels)


@on_gpu
def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of `labels`, shape (tokens,), in nats and float32, by logits
    (tokens, vocabulary) of any format."""
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def causal_model(model: nn.Module) -> PreTrainedModel:
    """The causal language model in `model`, whose layers may have adapters in them."""
    if isinstance(model, PeftModel):
        model = model.get_base_model()
    return cast(PreTrainedModel, model)
