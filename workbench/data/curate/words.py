"""Words as the checks count them, and as reasons quote them."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Signs of scripts that put no space between words count as a word each; so do the syllables of
# Korean, which is written without them often enough.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
QUOTED = 60
"""Characters of a text that a reason quotes."""
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_SIGN = re.compile(rf"[{UNSPACED}]")
_SIGNS_OF_A_WORD = 2
"""A word of Chinese has some 1.7 signs on average."""


def gram(words: Sequence[str], length: int) -> int:
    """How many of these `words` are as long as so many words: a word that is a sign of a script
    without spaces is half a word."""
    joined = "".join(words)
    if joined.isascii():
        return length
    signs = len(_SIGN.findall(joined))
    return length * _SIGNS_OF_A_WORD if 2 * signs > len(words) else length


def quoted(text: str) -> str:
    """A text as a reason quotes it: on one line, and cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"
