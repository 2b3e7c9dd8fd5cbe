"""What every recogniser of personal data gives back, and how it looks around itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple


class Hit(NamedTuple):
    """Personal data in a text, from `start` up to `end`, in characters."""

    start: int
    end: int
    kind: str
    """`email`, `card`, …: a finding's kind."""
    rule: str
    """Which form of it: the span's label."""


Recogniser = Callable[[str], Iterator[Hit]]
"""Takes a text. The time it takes grows with the text's length and no faster: whatever repeats in
an expression is bounded, or can be read in one way only."""


@dataclass(frozen=True, slots=True)
class Nearby:
    """Words that say what a number beside them is."""

    words: re.Pattern[str]
    before: int
    """How many characters before the number they are looked for."""
    after: int

    def found(self, text: str, start: int, end: int) -> bool:
        """Whether one of the words is beside the characters from `start` up to `end`."""
        earlier = self.words.search(text, max(0, start - self.before), start)
        return earlier is not None or self.words.search(text, end, end + self.after) is not None


# What the expressions cost on a text that has nothing for them is most of the time: they are kept
# for texts that may have something.
_LONG_NUMBER = re.compile(r"[0-9](?:[^0-9A-Za-z,*=]{0,3}[0-9]){6}")


@lru_cache(maxsize=1)
def has_long_number(text: str) -> bool:
    """Whether seven digits stand together, with little between them: the fewest of an account, a
    card or a telephone number."""
    return _LONG_NUMBER.search(text) is not None


def mentions(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words, in small letters, is anywhere in a text."""
    plain = text.lower()
    return any(word in plain for word in words)


def digits_of(text: str) -> str:
    """The ASCII digits of a text: those that the expressions of numbers match."""
    return "".join(sign for sign in text if "0" <= sign <= "9")


def luhn(digits: str) -> bool:
    """Whether the last digit is right for the others (ISO/IEC 7812-1, annex B)."""
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0
