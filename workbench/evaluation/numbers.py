"""The number that an answer comes to, as in GSM8K."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction

_NUMBER = re.compile(
    # A sign is none after a word, a number or a bracket: 5-3 is no -3.
    r"(?P<sign>(?<![\w)\]%])[-−])?"
    r"(?:[$€£¥₹]\s?(?P<inner>[-−])?)?"
    r"(?<![A-Za-z_\d.,])"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
    r"(?:/(?P<parts>\d+)(?![\d/]))?"
)
_MARK = "####"
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")


def answer(text: str) -> Fraction | None:
    """The number that a text comes to; None where it has none.

    That after the first `####`, GSM8K's mark of an answer; else that in the last `\\boxed{}`; else
    the last one. Commas between thousands, signs of currencies and units count for nothing, so
    `$1,234.00`, `1234` and `1234 km` are the same, and so are `50%` and `50`; `3/4` is a fraction.
    Source: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", whose script takes
    what follows the first `####`, and lm-evaluation-harness's `flexible-extract` for the last
    number.
    """
    _, marked, after = text.partition(_MARK)
    if marked:
        return _first(after.partition("\n")[0])
    if boxed := _BOXED.findall(text):
        return _first(boxed[-1])
    last = deque(_NUMBER.finditer(text), maxlen=1)
    return _value(last[0]) if last else None


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else, but for its currency or a sign of per cent."""
    found = _NUMBER.match(text.strip())
    return found is not None and text.strip()[found.end() :].strip() in ("", "%", ".")


def is_marked(text: str) -> bool:
    """Whether a text ends in GSM8K's mark with a number."""
    _, marked, after = text.rpartition(_MARK)
    return bool(marked) and is_number(after)


def _first(text: str) -> Fraction | None:
    found = _NUMBER.search(text)
    return _value(found) if found else None


def _value(found: re.Match[str]) -> Fraction | None:
    try:
        value = Fraction(found["digits"].replace(",", ""))
        value /= Fraction(found["parts"] or 1)
    except (ValueError, ZeroDivisionError):
        # Of thousands of digits, or a part of nothing.
        return None
    return -value if found["sign"] or found["inner"] else value
