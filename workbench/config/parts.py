"""Which part of a decoder layer a module belongs to, by the names that families give them."""

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


def part_of(name: str) -> str:
    """`attention`, `mlp` or nothing, for the full name of a linear layer."""
    *around, own = name.split(".")
    # The innermost module that says what it is: an attention inside an expert is attention.
    for module in reversed(around):
        for kind, pattern in PARTS.items():
            if pattern.search(module):
                return kind
    return "mlp" if _BARE_MLP.fullmatch(own) else ""
