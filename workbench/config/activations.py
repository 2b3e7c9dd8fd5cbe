"""What a step keeps for its backward pass, and what it holds for a moment, by the shapes of layers.

Counted are the tensors that autograd keeps in the code that runs here (`training/attention.py`,
`fast_lora.py`, `loss.py`, PEFT's own layers where those don't apply). No matrix of attention scores
is among them: torch's attention keeps queries, keys, values, what comes out and one number a head
and token (Dao 2023, FlashAttention-2). Three things do keep one: a sliding window outside of varlen
attention, as a mask, a base with dropout of its attention on a processor, and attention in float32
with fewer keys than queries on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.config.base_facts import BaseFacts, Weight
from workbench.config.parts import part_of
from workbench.config.schema import RunConfig
from workbench.config.trained import TrainedTensors, transposed

_CHUNK, _CHUNK_ON_GPU = 1 << 25, 1 << 27
"""Logits that exist at once: 128 MiB in float32, the fewest bytes at which the product of a chunk
is as fast as the whole one (two cores, vocabulary of 49,152); on a GPU 256 MiB in bfloat16, where
fewer would be bound by reading the head (a vocabulary of 128,256 has 1,046 tokens at once)."""
_FLOAT = 4
_LOGIT, _CAPPED = 3 * _FLOAT, 4 * _FLOAT
"""Bytes: the log-softmax of a chunk, its gradient and that of the logits, in float32, at once; and
where logits are capped, as Gemma 2's, what came out of the cap."""
_FLASH_ROWS = 128
"""Tokens that flash attention's backward pass adds to each row in its own sums."""
_AFTER_ATTENTION = ("o_proj", "out_proj", "dense", "c_proj", "wo", "proj")
_DOWN = ("down_proj", "fc2", "fc_out", "c_proj", "w2", "dense_4h_to_h", "linear_v")


@dataclass(frozen=True, slots=True)
class Work:
    """The largest batch, as the loop lays it out."""

    tokens: int
    """That go through the model, padding included."""
    longest: int
    """Of its rows."""
    trained_tokens: int
    evaluated_tokens: int
    """Of the largest batch of validation; 0 without one."""


@dataclass(frozen=True, slots=True)
class Formats:
    """In what numbers a run computes, and by which code."""

    base: int
    """Bytes of a number that flows between layers."""
    trained: int
    """Bytes of a trained number."""
    processor: bool
    """No GPU: attention computes in float32."""
    varlen: bool
    """Whether attention is torch's varlen kernel."""
    checkpointed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of a step beside what stays from step to step."""

    activations: int
    """Kept from the forward pass for the backward one."""
    loss: int
    """Logits of a chunk, with what their gradients take."""
    working: int
    """What the backward pass holds on top of the loss's share when it holds most."""
    copies: int
    """Adapters in the base's number format, whatever the batch is."""


def chunk(vocabulary: int, *, processor: bool) -> int:
    """Tokens whose logits exist at once."""
    return max(1, (_CHUNK if processor else _CHUNK_ON_GPU) // vocabulary)


def held(
    config: RunConfig, facts: BaseFacts, trained: TrainedTensors, formats: Formats, work: Work
) -> Held:
    """What a step of this batch takes at most."""
    layers = [
        _Layer(config, facts, trained, formats, number, weights)
        for number, weights in enumerate(_by_layer(facts))
    ]
    each = [layer.kept(work) for layer in layers]
    ends = work.tokens * (_FLOAT * facts.width + 2 * facts.width // facts.heads * formats.base)
    backward = max(layer.backward(work) for layer in layers)
    if formats.checkpointed:
        kept = len(layers) * work.tokens * facts.width * formats.base
        kept += work.tokens * sum(layer.kept_anyway() for layer in layers)
        backward += max(each)
        if formats.base == _FLOAT:
            # What goes into a layer is what its first norm keeps.
            backward -= work.tokens * facts.width * formats.base
    else:
        kept = sum(each)
    if trained.whole_ends and facts.tied:
        # The head's gradient waits for that of the embeddings.
        backward += facts.vocabulary * facts.width * formats.trained
    loss = _loss(facts, trained, formats, work, compiled=config.training.compile)
    evaluating = max(layer.forward(work.evaluated_tokens) for layer in layers)
    # While rows are evaluated nothing is kept.
    beyond = max(0, max(backward, evaluating - kept - ends) - loss)
    if trained.whole_ends and facts.tied:
        # Last come the gradient of the embeddings, which has as many numbers, and the sum of both.
        table = facts.vocabulary * facts.width * formats.trained
        beyond = max(beyond, 3 * table - kept - ends - loss)
    return Held(kept + ends, loss, beyond, sum(layer.copies() for layer in layers))


def _loss(
    facts: BaseFacts, trained: TrainedTensors, formats: Formats, work: Work, *, compiled: bool
) -> int:
    """Only trained tokens meet the vocabulary, and of these a chunk at a time."""
    at_once = min(work.trained_tokens, chunk(facts.vocabulary, processor=formats.processor))
    hidden = 2 * work.trained_tokens * facts.width * formats.base
    logits = at_once * facts.vocabulary
    capped = facts.config.get("final_logit_softcapping")
    # On a GPU a chunk's gradient takes the place of its logits (`fast_head`); with whole layers
    # compiled it lies beside them.
    of_one = _LOGIT if formats.processor else (1 + compiled) * formats.base
    most = logits * (_CAPPED if capped else of_one)
    if trained.whole_ends:
        # The head's gradient comes when the logits' alone is left; that of an earlier chunk waits.
        head = facts.vocabulary * facts.width * formats.trained
        most = max(most, logits * _FLOAT + head)
        most += head if at_once < work.trained_tokens else 0
    return most + hidden


def _by_layer(facts: BaseFacts) -> list[list[Weight]]:
    layers: list[list[Weight]] = [[] for _ in range(facts.layers)]
    for weight in facts.weights:
        if weight.layer is not None and not facts.beside_text(weight):
            layers[weight.layer].append(weight)
    return layers


class _Layer:
    """One decoder layer: sizes in numbers a token, results in bytes."""

    def __init__(
        self,
        config: RunConfig,
        facts: BaseFacts,
        trained: TrainedTensors,
        formats: Formats,
        number: int,
        weights: Sequence[Weight],
    ) -> None:
        self._config, self._facts, self._trained = config, facts, trained
        self._formats, self._number, self._weights = formats, number, weights
        self._full = config.training.method == "full"
        lora, quantised = config.lora, config.model.quantization != "none"
        unpacked = config.model.quantization in ("nf4", "fp4") and not formats.processor
        self._by_peft = bool((quantised and not unpacked) or lora.dora or lora.dropout)
        """Not by `fast_lora`: each adapter keeps its own input."""
        linear = [weight for weight in weights if weight.name in facts.linear_names]
        self._linear = linear
        attention = [w for w in linear if part_of(w.module) == "attention"]
        mlp = [w for w in linear if part_of(w.module) == "mlp"]
        self._after = [w for w in attention if w.own in _AFTER_ATTENTION]
        self._before = [w for w in attention if w not in self._after]
        self._down = [w for w in mlp if w.own in _DOWN]
        self._up = [w for w in mlp if w not in self._down]
        self._queries = sum(self._in(w) for w in self._after)
        together = sum(self._out(w) for w in self._before)
        self._keys_values = max(0, together - self._queries)
        self._inner = sum(self._in(w) for w in self._down)
        fast = not (self._by_peft or self._full or config.training.compile)
        self._copied = fast and config.job.sharding == "none" and formats.base != formats.trained
        """Whether adapters are cast to the base's number format once a forward, and stay so."""
        # On a GPU what comes out of a norm is made again (`fast_norm`), and the product in the
        # middle of a gated unit (`fast_mlp`).
        again = fast and not formats.processor
        self._norm_again = again and any(_is_rms(w, facts.width, weights) for w in weights)
        silu = facts.config.get("hidden_act") == "silu"
        self._unit_again = again and self._gated() and silu and self._adapts_mlp()
        self._of_experts = facts.expert_width(number)
        self._expert_numbers = sum(w.numel for w in weights if facts.is_expert(w))

    def kept(self, work: Work) -> int:
        """Bytes that autograd keeps of a batch."""
        a_token = self._of_norms() + self._of_attention() + self._of_mlp() + self._of_experts_kept()
        if not self._formats.checkpointed and self._formats.trained != self._formats.base:
            # Else adapters keep the very same.
            a_token += self.kept_anyway()
        total = work.tokens * a_token + self._of_scores(work)
        if self._trained.experts:
            total += self._expert_numbers * self._formats.base
        return total

    def copies(self) -> int:
        """Bytes of adapters in the base's number format, which stay."""
        if not self._copied:
            return 0
        adapted = [w for w in self._linear if w.module in self._trained.adapted]
        numbers = self._config.lora.rank * sum(self._in(w) + self._out(w) for w in adapted)
        return numbers * self._formats.base

    def kept_anyway(self) -> int:
        """Bytes of a token that stay where activations are recomputed, too: bitsandbytes holds
        what goes into 8-bit weights where autograd doesn't see it."""
        if self._config.model.quantization != "int8":
            return 0
        groups = (
            (self._before, self._facts.width),
            (self._after, self._queries),
            (self._up, self._facts.width),
            (self._down, self._inner),
        )
        return sum(width for modules, width in groups if modules) * self._formats.base

    def backward(self, work: Work) -> int:
        """Bytes that its backward pass holds for a moment, on top of what was kept."""
        size, width = self._formats.base, self._facts.width
        widest = max(2 * self._inner, self._facts.experts_per_token * self._of_experts + 2 * width)
        attention = 2 * self._queries + self._keys_values + 2 * width
        most = max(
            work.tokens * widest * size,
            work.tokens * attention * size + self._of_attention_back(work),
            self._expert_numbers * size if self._trained.experts else 0,
        )
        most += self._of_matrices()
        # The product in the middle, where its gradient was, and the gradients of both its factors.
        return max(most, work.tokens * 3 * self._inner * size if self._unit_again else 0)

    def _of_attention_back(self, work: Work) -> int:
        """What a GPU's kernel for attention makes for its backward pass, beside the gradients."""
        if self._formats.processor:
            return 0
        if self._formats.base == _FLOAT:
            # The gradient of a row's scores, and that of what they became, where there are any.
            return 2 * self._scores(work.longest) if self._has_scores() else 0
        # Flash attention sums the gradient of queries in float32, and that of keys and values for
        # each head of the queries (torch's mha_varlen_bwd). Rows are taken to have half of the
        # longest one's tokens.
        rows = 2 * -(-work.tokens // max(1, work.longest))
        summed = (work.tokens + _FLASH_ROWS * rows) * (self._queries + self._facts.heads) * _FLOAT
        shared = self._keys_values < 2 * self._queries
        return summed + (2 * work.tokens * self._queries * self._formats.base if shared else 0)

    def _has_scores(self) -> bool:
        """Whether a GPU's attention makes scores: in float32 of fewer keys than queries, which
        only flash attention takes as they are, and it takes no float32."""
        in_float = not self._formats.processor and self._formats.base == _FLOAT
        return in_float and self._keys_values < 2 * self._queries

    def _scores(self, length: int) -> int:
        """Bytes of a row's scores, of all heads, in float32."""
        return self._facts.heads * length * length * _FLOAT

    def forward(self, tokens: int) -> int:
        """Bytes that its forward pass holds for a moment where nothing is kept."""
        chosen = self._facts.experts_per_token * 3 * self._of_experts
        widest = max(3 * self._inner, chosen) + 3 * self._facts.width
        return tokens * self._formats.base * widest

    def _of_matrices(self) -> int:
        """A matrix of weights made for one product: unpacked, of gradients, or DoRA's own."""
        largest = max((w.numel for w in self._linear), default=0)
        if self._full:
            return largest * self._formats.trained
        taken = 0
        if self._config.model.quantization != "none":
            taken = largest * self._formats.base
        if self._config.lora.dora:
            inputs = [self._in(w) for w in self._linear if w.module in self._trained.adapted]
            taken += (max(inputs, default=0) ** 2 + 2 * largest) * _FLOAT
        return taken

    def _of_norms(self) -> int:
        """Of each norm what goes in, by transformers' code for an RMS norm in float32; trained,
        also what it scales."""
        total, size, width = 0, self._formats.base, self._facts.width
        biased = {w.module for w in self._weights if w.name.endswith(".bias")}
        norms = [w for w in self._weights if len(w.shape) == 1 and w.name.endswith(".weight")]
        wide = [w for w in norms if w.shape[0] == width and not self._of_heads(w)]
        for weight in wide:
            as_it_came = weight.module in biased or not self._formats.processor
            total += width * (size if as_it_came else _FLOAT) + 2 * _FLOAT
            total += width * size if self._full and weight.module not in biased else 0
        for weight in norms:
            if self._of_heads(weight):
                keys = self._keys_values // 2
                numbers = self._queries if "q_norm" in weight.name else keys
                in_float = _FLOAT if self._formats.processor else size
                total += numbers * (in_float + (size if self._full else 0))
        frozen_start = not self._full and not self._formats.checkpointed
        if self._number == 0 and frozen_start and wide:
            # Nothing before the first adapter has a gradient.
            total -= width * (_FLOAT if self._formats.processor else size)
        return total

    def _of_heads(self, weight: Weight) -> bool:
        return "q_norm" in weight.name or "k_norm" in weight.name

    def _of_attention(self) -> int:
        size = _FLOAT if self._formats.processor else self._formats.base
        around = 2 * self._queries + self._keys_values
        total = around * size + self._facts.heads * _FLOAT
        # The first norm's own input has no gradient, and is kept for this alone.
        there = self._norm_again and (self._number > 0 or self._formats.checkpointed)
        total += self._inputs(self._before, self._facts.width, there=there)
        # What varlen attention gives is what the next layer keeps.
        return total + self._inputs(self._after, self._queries, there=self._formats.varlen)

    def _of_mlp(self) -> int:
        if not self._down:
            return 0
        # What the activation gave is computed again on a GPU, in the same kernel.
        inside = (3 if self._formats.processor else 2) if self._gated() else 1
        if self._facts.config.get("activation_function") == "gelu_new":
            # Computed in eight operations.
            inside = 4
        total = inside * self._inner * self._formats.base
        total += self._inputs(self._up, self._facts.width, there=self._norm_again)
        return total + self._inputs(self._down, self._inner, there=self._unit_again)

    def _gated(self) -> bool:
        return bool(self._down) and 2 * sum(map(self._out, self._up)) >= 3 * self._inner

    def _adapts_mlp(self) -> bool:
        adapted = [w.module in self._trained.adapted for w in (*self._up, *self._down)]
        return len(adapted) == 3 and all(adapted)

    def _of_experts_kept(self) -> int:
        """What goes into the experts of a token and out of them, and what lies between."""
        if not self._of_experts:
            return 0
        width, size = self._facts.width, self._formats.base
        a_choice = 2 * width + 4 * self._of_experts
        return size * (self._facts.experts_per_token * a_choice + width)

    def _of_scores(self, work: Work) -> int:
        """Matrices of every token with every other of its row."""
        rows = -(-work.tokens // max(1, work.longest))
        a_row = work.longest * work.longest
        size = _FLOAT if self._formats.processor else self._formats.base
        total = 0
        window = self._facts.window if self._has_window() else None
        if window and work.longest > window and not self._formats.varlen:
            total += rows * a_row * (1 + size)
        if self._facts.attention_dropout and self._formats.processor:
            total += 3 * rows * self._facts.heads * a_row * size
        if self._has_scores():
            # What they became, and keys and values for each head of the queries.
            total += rows * self._scores(work.longest) + 2 * work.tokens * self._queries * _FLOAT
        return total

    def _has_window(self) -> bool:
        kinds: Any = self._facts.config.get("layer_types")
        if not isinstance(kinds, list) or self._number >= len(kinds):
            return True
        return "sliding" in str(kinds[self._number])

    def _inputs(self, modules: Sequence[Weight], width: int, *, there: bool = False) -> int:
        """What linear layers of one input keep of it; `there`: something keeps it already."""
        if self._full:
            return 0 if there or not modules else width * self._formats.base
        lora, formats = self._config.lora, self._formats
        adapted = [w for w in modules if w.module in self._trained.adapted]
        if not adapted:
            return 0
        inner = len(adapted) * lora.rank
        once = 0 if there else width * formats.base
        if not self._by_peft:
            return once + inner * formats.base
        total = inner * formats.trained
        if lora.dropout:
            mask = formats.trained if formats.processor else 1
            total += len(adapted) * width * (formats.trained + mask)
        elif formats.trained == formats.base:
            total += once
        else:
            total += len(adapted) * width * formats.trained
        if lora.dora:
            total += 2 * sum(self._out(w) for w in adapted) * max(formats.trained, formats.base)
        return total

    def _in(self, weight: Weight) -> int:
        return weight.shape[0 if transposed(self._facts) else 1]

    def _out(self, weight: Weight) -> int:
        return weight.shape[1 if transposed(self._facts) else 0]


def _is_rms(weight: Weight, width: int, weights: Sequence[Weight]) -> bool:
    """Whether it is that of a norm of what flows between layers, and none with a bias."""
    return (
        weight.shape == (width,)
        and weight.name.endswith("norm.weight")
        and not any(w.name == f"{weight.module}.bias" for w in weights)
    )
