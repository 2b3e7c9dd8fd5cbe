"""What is held against a plain computation before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.training import attention, memory
from workbench.training.batches import Batch, Layout, Row, collate, lengths_of
from workbench.training.decoder import decoder_layers
from workbench.training.loss import TrainedTokenLoss, causal_model

_PIECE = 64
"""Tokens of a row that are computed."""
_TOLERANCE = {torch.float32: 0.002}
"""Of the loss; the formats of half the size are some hundred times as coarse."""
_EXACT, _COARSE = 0.005, 0.2
"""Of a gradient, all in float32 and else: 1e-6 is right; compiled by torch 2.11 it was 0.6."""
_NOISE = 0.02
"""Of what begins as zeros."""
_HEARD = 1e-9
"""Of the largest gradient: a state that has died away; what is masked is 0."""
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


def pack(model: nn.Module, rows: Sequence[Row], pad_id: int) -> str:
    """Have `model` take packed rows, if each then has the loss that it has alone.

    That is tried with the longest of `rows`, since a window or a scale of positions shows in
    long rows only, beside a piece of one. Returns why it can't be, in words; empty where it
    can. A model that can't is left as it was.
    """
    causal = causal_model(model)
    measure = TrainedTokenLoss(model).eval()
    first = _longest(rows)
    second, other = (_backwards(_piece(first), shift) for shift in (0, 1))
    with torch.no_grad():
        alone = [float(measure(_alone(row, measure))) for row in (second, first)]
        attention.use_segments(causal)
        try:
            with attention.windows_seen() as windows:
                together = _packed(measure, [second, first], pad_id)
            _, beside_another = _packed(measure, [other, first], pad_id)
            heard = _reaches(measure, [second, first], pad_id)
        except (RuntimeError, TypeError, ValueError) as error:
            attention.use_own(causal)
            if memory.is_shortage(error):
                raise
            return f"the model can't: {' '.join(str(error).split())[:200].rstrip('.')}"
    dtype = next(causal.parameters()).dtype
    agrees = all(_close(*pair, dtype) for pair in zip(together, alone, strict=True))
    # What a neighbour says changes nothing at all, but for the outliers of LLM.int8, which are
    # looked for in the whole batch.
    strays = heard or abs(beside_another - together[1]) > _STRAY * max(1.0, together[1])
    config = causal.config.get_text_config()
    # Llama 4's chunks are in the mask alone.
    window = getattr(config, "sliding_window", None) or getattr(
        config, "attention_chunk_size", None
    )
    if window and len(first) > window and window not in windows:
        reason = f"its window of {window} tokens is known to its own attention alone"
    elif agrees and (not strays or getattr(causal, "is_loaded_in_8bit", False)):
        return ""
    else:
        reason = "an example would change its neighbour's loss"
    attention.use_own(causal)
    return reason


def check_compiled(model: nn.Module, rows: Sequence[Row], layout: Layout) -> None:
    """Hold the gradients of a model that torch.compile has compiled against its own.

    Raises WorkbenchError when they differ by more than the number format explains, as they did in
    torch 2.11 where a step of autograd's own was compiled: nobody is told, and the run learns less.
    """
    measure, row = TrainedTokenLoss(model).eval(), _longest(rows)
    batch = collate([row], [0], replace(layout, beginning=()), next(model.parameters()).device)
    learnt = [p for p in model.parameters() if p.requires_grad]
    ours = torch.autograd.grad(measure(batch).sum(), learnt)
    with torch.compiler.set_stance("force_eager"):
        plain = torch.autograd.grad(measure(batch).sum(), learnt)
    if share := apart(ours, plain, model):
        raise WorkbenchError(
            f"torch.compile of torch {torch.__version__} takes wrong gradients of this model: "
            f"they are {share:.1%} off.",
            "Set training.compile to false, or install another torch.",
        )


def first_gradients(model: nn.Module, row: Row) -> Sequence[Tensor]:
    """Those of what is trained of the first decoder layer that has some, by the loss of a piece of
    `row`: they have come through all layers behind it. A trained matrix as large as the
    embeddings would take as much memory again."""
    measure = TrainedTokenLoss(model).eval()
    for layer in decoder_layers(causal_model(model)):
        if learnt := [p for p in layer.parameters() if p.requires_grad]:
            with _not_zero(learnt):
                loss = measure(_alone(_piece(row), measure)).sum()
                return torch.autograd.grad(loss, learnt, allow_unused=True, materialize_grads=True)
    return ()


@contextmanager
def _not_zero(learnt: Sequence[Tensor]) -> Iterator[None]:
    """In which those that are all zeros are noise, always the same: while a B is zero its A has no
    gradient that could be wrong."""
    zeros = [tensor for tensor in learnt if not tensor.any()]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in zeros:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * _NOISE)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor in zeros:
                tensor.zero_()


def apart(ours: Sequence[Tensor], plain: Sequence[Tensor], model: nn.Module) -> float:
    """How far gradients are off, as a share of those that they should be, by their norms; 0.0
    where the order of summing and the number formats of `model` explain it, and where those that
    they should be are no numbers themselves."""
    off, whole = (
        float(torch.stack([gradient.float().norm() for gradient in gradients]).norm())
        for gradients in ([a - b for a, b in zip(ours, plain, strict=True)], plain)
    )
    share = off / whole if whole else off
    exact = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    explained = share <= (_EXACT if exact else _COARSE)
    # One that is no number is above any bound.
    return share if math.isfinite(whole) and not explained else 0.0


def positions_depend_on_batch(model: nn.Module, longest: int) -> str:
    """Why a row of a batch with one of `longest` tokens isn't computed as it is alone; empty
    where it is.

    Families that scale their positions beyond a length (Phi-3.5's longrope, dynamic NTK) do so
    for a whole batch, by its longest row.
    """
    for module in model.modules():
        kinds: Any = getattr(module, "rope_type", None)
        kinds = kinds.values() if isinstance(kinds, dict) else [kinds]
        if not any(isinstance(k, str) and ("dynamic" in k or k == "longrope") for k in kinds):
            continue
        config: Any = getattr(module, "config", None)
        known = getattr(config, "rope_parameters", None) or {}
        limit = known.get("original_max_position_embeddings") or config.max_position_embeddings
        if longest > limit:
            return f"rows over {limit:,} tokens change the positions of all others in their batch"
    return ""


def _longest(rows: Sequence[Row]) -> Row:
    lengths = lengths_of(rows)
    return rows[max(range(len(rows)), key=lambda place: lengths[place])]


def shares(model: nn.Module, row: Row, pad_id: int) -> bool:
    """Whether packed rows of `model` may have their beginning in common: each then has the loss
    that it has with a beginning of its own.

    Not where something is dropped at random, which should be each row's own, nor in a model with
    convolutions, which hands on from token to token what no position tells it to stop.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d) or (isinstance(module, nn.Dropout) and module.p):
            return False
    first = _piece(row)
    beginning = first.ids[: max(1, len(first) // 3)]
    ids = torch.cat([beginning, _backwards(first, 0).ids])
    second = Row(ids, torch.arange(len(ids)) > 0, len(ids) - 1)
    rows = [second, first, _backwards(first, 1)]
    measure = TrainedTokenLoss(model).eval()
    with torch.no_grad():
        apart = _packed(measure, rows, pad_id)
        together = _packed(measure, rows, pad_id, tuple(beginning.tolist()))
    # The very same numbers are added up, so that only the order of it can differ.
    coarse = _STRAY if next(model.parameters()).dtype == torch.float32 else 0.01
    return all(abs(a - b) <= coarse * max(1.0, a) for a, b in zip(apart, together, strict=True))


def _reaches(measure: TrainedTokenLoss, rows: Sequence[Row], pad_id: int) -> bool:
    """Whether the loss of the second of two packed rows has a gradient for the first one's
    embeddings, by pieces of both: what a model of small weights hands on from row to row may change
    a loss less than the order of summing does."""
    seen: list[Tensor] = []

    def look(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    rows = [_piece(row) for row in rows]
    embeddings = causal_model(measure.model).get_input_embeddings()
    hook = embeddings.register_forward_hook(look)
    try:
        layout = Layout(2, max(map(len, rows)), pad_id, packed=True)
        batch = collate(rows, [0, 1], layout, next(measure.parameters()).device)
        with torch.enable_grad():
            loss = measure(batch)[1]
            gradients = torch.autograd.grad(loss, seen, allow_unused=True)
    finally:
        hook.remove()
    ends = len(rows[0])
    return any(
        bool(g[:, :ends].abs().max() > _HEARD * g.abs().max()) for g in gradients if g is not None
    )


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
