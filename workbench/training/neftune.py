"""NEFTune: uniform noise on the embeddings in training (Jain et al. 2023).

Each number of an example of L tokens, embedded in d numbers, gets noise from
[-a/sqrt(L d), a/sqrt(L d)), where a is `training.neftune_alpha`. L is the example's own
length, whatever it is padded to or laid beside, so packing changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def add_noise(embeddings: Tensor, lengths: Tensor, alpha: float) -> Tensor:
    """Embeddings (rows, tokens, width) with noise by torch's own random numbers.

    `lengths` (rows, tokens), int64: of each token, how long its example is; 0 for padding,
    which gets none.
    """
    size = alpha / (lengths * embeddings.shape[-1]).clamp(min=1).sqrt()
    size = size.masked_fill(lengths == 0, 0.0).unsqueeze(-1)
    noise = torch.empty_like(embeddings, dtype=torch.float32).uniform_(-1, 1)
    return embeddings + (noise * size).to(embeddings.dtype)


def token_lengths(examples: Sequence[Sequence[int]], width: int) -> Tensor:
    """What `add_noise` takes as `lengths`, shape (rows, width).

    `examples` are the lengths of each row's examples, which lie end to end from its start; what
    is left of a row is padding. A row that isn't packed has one.
    """
    lengths = torch.zeros((len(examples), width), dtype=torch.long)
    for row, in_row in zip(lengths, examples, strict=True):
        of_each = torch.tensor(in_row, dtype=torch.long)
        row[: sum(in_row)] = of_each.repeat_interleave(of_each)
    return lengths


class Neftune:
    """Puts noise on what a model's embeddings give, in training mode and inside `of` alone."""

    def __init__(self, base: PreTrainedModel, alpha: float) -> None:
        """`base` is the causal model itself, with its adapter in it if it is to have one."""
        self._alpha = alpha
        self._lengths: Tensor | None = None
        base.get_input_embeddings().register_forward_hook(self._hook)

    @contextmanager
    def of(self, lengths: Tensor) -> Iterator[None]:
        """For a forward pass of tokens with these `lengths`, as `add_noise` takes them."""
        self._lengths = lengths
        try:
            yield
        finally:
            self._lengths = None

    def _hook(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if self._lengths is None or not module.training:
            return output
        return add_noise(output, self._lengths, self._alpha)
