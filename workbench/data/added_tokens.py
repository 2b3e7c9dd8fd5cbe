"""Tokens that a run adds to its base's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def add(tokenizer: Tokenizer, names: Sequence[str], folder: Path) -> tuple[int, ...]:
    """Add tokens to the tokenizer of the model in `folder`; returns their ids, in order.

    They are found as they are written, before any normalising, and are no special tokens: an
    answer shows them. Raises WorkbenchError for those that it has already, since their
    embeddings are the base's.
    """
    from tokenizers import AddedToken

    known = [name for name in names if tokenizer.token_to_id(name) is not None]
    if known:
        raise WorkbenchError(
            f"model.new_tokens: the tokenizer in {folder} has {', '.join(known)} already.",
            "Take them out: they can be used as they are.",
        )
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    vocabulary = tokenizer.get_vocab() if names else {}
    return tuple(vocabulary[name] for name in names)
