"""Which item an annotator sees when, and which system stands on the left."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def order(seed: str, annotator: str, keys: Sequence[str]) -> list[str]:
    """The keys in the order in which this annotator sees them."""
    return sorted(keys, key=lambda key: _draw(seed, "order", annotator, key))


def left_systems(
    seed: str, annotator: str, keys: Sequence[str], systems: tuple[str, str]
) -> dict[str, str]:
    """The system on the left, by key, for this annotator.

    Each system is on the left for half of the keys (with an odd number, one more for
    one of them, by chance), and independently of the order. The same arguments always
    give the same sides, so they need not be stored before they are seen.
    """
    shuffled = sorted(keys, key=lambda key: _draw(seed, "side", annotator, key))
    first = _draw(seed, "first", annotator)[0] % 2
    return {key: systems[(rank + first) % 2] for rank, key in enumerate(shuffled)}


def _draw(*parts: str) -> bytes:
    """A number that looks random and depends on every part, and on nothing else."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
