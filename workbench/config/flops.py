"""How many floating-point operations a pass over rows is, by part, from shapes alone.

A matrix product costs 2 operations a weight and token. Its backward pass costs as much for what
goes in, and as much again for the weights, where these are trained: of a frozen base it is one
pass more, of a trained one two. Only trained tokens meet the vocabulary (`training/loss.py`).
What isn't a matrix product (norms, activations, rotations) takes few operations and much memory
traffic; it is in the share of a machine's speed that is reached, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from workbench.config.base_facts import BaseFacts, Weight
from workbench.config.schema import RunConfig
from workbench.config.trained import TrainedTensors

if TYPE_CHECKING:
    from workbench.data.lengths import Lengths

_PRODUCT = 2
"""Operations of a multiplication and an addition."""
_ATTENTION = 2 * _PRODUCT
"""A token's look at another: a product with its key and one with its value."""
_ATTENTION_BACK = 2.5
"""Backward passes of attention to a forward one: five products to two, for scores are computed
again (Dao 2023, FlashAttention-2, section 4.1)."""


@dataclass(frozen=True, slots=True)
class Passing:
    """What goes through the model, of all rows together."""

    rows: float
    tokens: float
    """Padding not counted."""
    trained_tokens: float
    pairs: float
    """Looks of a token at one of its row, at itself too, where all before it are seen."""
    in_window: float
    """The same where a sliding window ends them."""

    @classmethod
    def of(cls, lengths: Lengths, config: RunConfig, facts: BaseFacts, rows: float) -> Passing:
        """Of `rows` like those of `lengths`, at the config's cutoff."""
        cutoff, too_long = config.data.max_length, config.data.too_long
        kept = lengths.at(cutoff, too_long)
        share = rows / kept.rows_kept if kept.rows_kept else 0.0
        return cls(
            rows,
            share * kept.tokens_kept,
            share * kept.trained_kept,
            share * lengths.pairs_at(cutoff, too_long),
            share * lengths.pairs_at(cutoff, too_long, facts.window),
        )

    @classmethod
    def of_equal(cls, rows: float, length: float, facts: BaseFacts) -> Passing:
        """Of rows of `length` tokens each, all trained."""
        window = min(facts.window or length, length)
        pairs = rows * length * (length + 1) / 2
        windowed = rows * (window * (window + 1) / 2 + window * (length - window))
        return cls(rows, rows * length, rows * length, pairs, windowed)

    def padded(self, by: float) -> Passing:
        """With `by` times as many tokens computed; attention grows by its square."""
        return Passing(
            self.rows,
            by * self.tokens,
            self.trained_tokens,
            by * by * self.pairs,
            by * by * self.in_window,
        )


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations."""

    forward: float
    """Matrix products of the layers."""
    backward: float
    recomputed: float
    """Forward passes again, for gradient checkpointing."""
    attention: float
    """All passes of it."""
    adapter: float
    """All passes of it."""
    head: float
    """All passes of trained tokens over the vocabulary."""

    @property
    def total(self) -> float:
        return float(sum(asdict(self).values()))


def of_training(
    config: RunConfig, facts: BaseFacts, trained: TrainedTensors, passing: Passing
) -> Flops:
    """Of forward and backward passes over `passing`; an optimiser's step is left out: some dozen
    operations a trained number and step."""
    full = config.training.method == "full"
    again = config.training.gradient_checkpointing
    by_layer = _by_layer(facts)
    # Nothing before the first thing that is trained has a gradient.
    first = 0 if full or again else _first_trained(facts, trained)
    forward = sum(by_layer)
    back = sum(by_layer[first:]) * (2 if full else 1)
    attention = _attention(facts, passing)
    share = (len(by_layer) - first) / max(1, len(by_layer))
    head = _PRODUCT * facts.vocabulary * facts.width * passing.trained_tokens
    return Flops(
        forward=_PRODUCT * forward * passing.tokens,
        backward=_PRODUCT * back * passing.tokens,
        recomputed=_PRODUCT * forward * passing.tokens if again else 0.0,
        attention=attention * (1 + _ATTENTION_BACK * share + (1 if again else 0)),
        # Once forward, once back to what went in, and once for A and B themselves.
        adapter=(4 if again else 3) * _PRODUCT * _adapter(config, facts, trained) * passing.tokens,
        # Its logits are computed again where its own weights are trained.
        head=head * (4 if trained.whole_ends else 2),
    )


def of_validation(
    config: RunConfig, facts: BaseFacts, trained: TrainedTensors, passing: Passing
) -> Flops:
    """Of a forward pass over `passing`."""
    return Flops(
        forward=_PRODUCT * sum(_by_layer(facts)) * passing.tokens,
        backward=0.0,
        recomputed=0.0,
        attention=_attention(facts, passing),
        adapter=_PRODUCT * _adapter(config, facts, trained) * passing.tokens,
        head=_PRODUCT * facts.vocabulary * facts.width * passing.trained_tokens,
    )


def _by_layer(facts: BaseFacts) -> list[float]:
    """Weights of each decoder layer that a token is multiplied with: of experts the chosen ones."""
    found = [0.0] * facts.layers
    chosen = facts.experts_per_token / facts.experts if facts.experts else 0.0
    for weight in facts.weights:
        if weight.layer is None or len(weight.shape) < 2 or facts.beside_text(weight):
            continue
        found[weight.layer] += weight.numel * (chosen if facts.is_expert(weight) else 1)
    return found


def _first_trained(facts: BaseFacts, trained: TrainedTensors) -> int:
    """The first decoder layer that a gradient goes through."""
    layers = [w.layer for w in facts.linear if w.module in trained.adapted and w.layer is not None]
    whole = len(trained.sizes) > 2 * len(trained.adapted)
    # What else is trained may be the embeddings.
    return 0 if whole else min(layers, default=0)


def _adapter(config: RunConfig, facts: BaseFacts, trained: TrainedTensors) -> float:
    """Weights of the matrices A and B of linear layers."""
    adapted: Sequence[Weight] = [w for w in facts.linear if w.module in trained.adapted]
    return float(config.lora.rank * sum(sum(w.shape) for w in adapted))


def _attention(facts: BaseFacts, passing: Passing) -> float:
    """Of a forward pass, all layers together."""
    size = facts.config.get("head_dim")
    inside = facts.heads * size if isinstance(size, int) else facts.width
    kinds = facts.config.get("layer_types")
    windowed = facts.layers if facts.window else 0
    if facts.window and isinstance(kinds, list):
        windowed = sum("sliding" in str(kind) for kind in kinds[: facts.layers])
    whole = facts.layers - windowed
    return _ATTENTION * inside * (whole * passing.pairs + windowed * passing.in_window)
