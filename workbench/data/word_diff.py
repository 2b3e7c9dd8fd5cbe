"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

Piece = tuple[Literal["=", "-", "+"], str]
"""Text that both have, that only the first has, or only the second."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_MOST = 4000
"""Words that are compared one by one, some 0.2 s; of longer texts the lines are."""


def word_diff(before: str, after: str) -> list[Piece]:
    """The pieces that, but for those of the other, make up each text."""
    first, second = _WORDS.findall(before), _WORDS.findall(after)
    if len(first) + len(second) > _MOST:
        first, second = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return list(_pieces(first, second))


def _pieces(first: list[str], second: list[str]) -> Iterator[Piece]:
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            yield "=", "".join(first[a:b])
            continue
        if a < b:
            yield "-", "".join(first[a:b])
        if c < d:
            yield "+", "".join(second[c:d])
