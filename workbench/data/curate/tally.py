"""Counting texts that are often there, in eight bytes a text."""

from __future__ import annotations

from array import array
from hashlib import blake2b


class Tally:
    """How often each text was added. The texts themselves aren't kept: one that is asked for is
    known by its hash."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._often: dict[int, int] = {}

    def add(self, text: str) -> None:
        """Count a text."""
        self._keys.append(_key(text))

    def keep(self, least: int) -> None:
        """Forget what was added fewer times."""
        import numpy as np

        keys, counts = np.unique(np.frombuffer(self._keys, np.uint64), return_counts=True)
        often = counts >= least
        self._often = dict(zip(keys[often].tolist(), counts[often].tolist(), strict=True))
        self._keys = array("Q")

    def __bool__(self) -> bool:
        """Whether there is a text that was kept."""
        return bool(self._often)

    def count(self, text: str) -> int:
        """How often a text was added, of those that were kept; 0 for others."""
        return self._often.get(_key(text), 0)


def _key(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
