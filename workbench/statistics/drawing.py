"""Draws with replacement, by how often each kind comes: the inner loop of every bootstrap."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

_WORTH = 8
"""So many units a kind make it quicker to draw kinds than units."""


def draws(how_many: Sequence[int], resamples: int, seed: int) -> Iterator[list[int]]:
    """How often each kind comes when as many units are drawn, with replacement, as there are.

    `how_many` has the units of each kind. Judgements have few kinds: three thousand items that
    two people judged have six, so that a resample is six numbers instead of three thousand draws.
    The same arguments always give the same draws.
    """
    generator = random.Random(seed)  # noqa: S311 (statistics, no secret)
    n = sum(how_many)
    if n >= _WORTH * len(how_many):
        for _ in range(resamples):
            yield _multinomial(how_many, n, generator)
        return
    units = [kind for kind, many in enumerate(how_many) for _ in range(many)]
    kinds = range(len(how_many))
    for _ in range(resamples):
        counts = Counter(generator.choices(units, k=n))
        yield [counts[kind] for kind in kinds]


def _multinomial(how_many: Sequence[int], n: int, generator: random.Random) -> list[int]:
    counts = []
    left, among = n, n
    for many in how_many:
        count = binomial(left, many, among, generator)
        counts.append(count)
        left, among = left - count, among - many
    return counts


def binomial(n: int, many: int, among: int, generator: random.Random) -> int:
    """How many of n draws hit, each with the chance `many / among`, exactly.

    Each draw compares a random fraction with the chance, bit by bit from the highest: where the
    bits differ it is settled. Half of those unsettled are settled by each bit, all at once.
    """
    hits = 0
    while n and many:
        many *= 2
        ones = generator.getrandbits(n).bit_count()
        if many >= among:
            hits, n, many = hits + n - ones, ones, many - among
        else:
            n -= ones
    return hits
