"""Modules of a decoder layer by the names that families give them: which part each belongs to, and
which get no adapter."""

from __future__ import annotations

import re

PARTS = {
    # self_attn (Llama, Phi, OPT), attn (GPT-2, GPT-J), attention (NeoX), self_attention
    # (Falcon, BLOOM).
    "attention": re.compile(r"attn|attention"),
    # mlp (most), ffn (MPT), feed_forward (Llama 4), block_sparse_moe and its experts.
    "mlp": re.compile(r"mlp|ffn|feed_forward|moe|expert"),
}
_BARE_MLP = re.compile(r"fc\d|fc_\w+")
"""OPT's layers have theirs without a module around them."""

_STATE_SPACE = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
_WITHOUT_ADAPTER = frozenset({"conv1d", "out_proj"})


def without_adapter(family: str) -> frozenset[str]:
    """The own names of the modules that PEFT refuses to put an adapter on in a family, by its
    `model_type`: their kernels are given the weights themselves."""
    return _WITHOUT_ADAPTER if family in _STATE_SPACE else frozenset()


def part_of(name: str) -> str:
    """`attention`, `mlp` or nothing, for the full name of a linear layer."""
    *around, own = name.split(".")
    # The innermost module that says what it is: an attention inside an expert is attention.
    for module in reversed(around):
        for kind, pattern in PARTS.items():
            if pattern.search(module):
                return kind
    return "mlp" if _BARE_MLP.fullmatch(own) else ""
