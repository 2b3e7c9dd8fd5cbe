"""How long rows are, kept so that any cutoff can be tried at once.

Not a figure for each row but how many rows have each length, and where their trained tokens
begin and end: what a cutoff keeps is then two look-ups in sorted sums, exact, without numpy and
whatever the number of rows (some 10 µs). At most as many entries as the longest row has tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

TRUNCATE = "truncate"
"""What `data.too_long` is where rows are cut; they are left out by `drop`, and by `refuse` none
is used."""
_NAMES = ("lengths", "trained", "begins", "ends", "heights")


class LengthCounts:
    """Counts of rows, while they are measured."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[int]] = {name: Counter() for name in _NAMES}

    def add(self, tokens: int, runs: Sequence[int]) -> None:
        """Take in a row of so many tokens.

        `runs` are the stretches of trained ones, as start, end, start, end, …, in tokens.
        """
        counts = self.counts
        counts["lengths"][tokens] += 1
        counts["trained"][tokens] += sum(runs[1::2]) - sum(runs[::2])
        if runs:
            counts["begins"][runs[0]] += 1
            counts["ends"][runs[-1]] += 1
        for start in runs[::2]:
            counts["heights"][start] += 1
        for end in runs[1::2]:
            counts["heights"][end] -= 1

    def to_json(self) -> dict[str, Any]:
        """Of each kind of count, its keys in order and how often each was counted."""
        return {
            name: [[key, count] for key, count in sorted(counts.items())]
            for name, counts in self.counts.items()
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """What a cutoff leaves of rows."""

    cutoff: int
    """In tokens."""
    too_long: str
    """What becomes of longer rows, by the values of `data.too_long`."""
    rows: int
    """All of them; refused rows aren't among them."""
    whole: int
    """Rows of no more tokens than the cutoff."""
    cut: int
    """The others."""
    partly_lost: int
    """Of these, rows that would lose a part of their trained tokens, and with it the end marker."""
    wholly_lost: int
    """Rows that would lose every trained token."""
    rows_kept: int
    """Rows that are trained on."""
    tokens: int
    """Of all rows."""
    tokens_kept: int
    trained_tokens: int
    """Of all rows."""
    trained_kept: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bar:
    """Rows of `low` to `high` tokens, both included."""

    low: int
    high: int
    rows: int


class _Sums:
    """Amounts by a key, summed from the least key on."""

    def __init__(self, amounts: Mapping[int, int]) -> None:
        self.keys = sorted(amounts)
        self._sums = [0, *accumulate(amounts[key] for key in self.keys)]

    def up_to(self, key: int) -> int:
        """The amounts of all keys that are no larger."""
        return self._sums[bisect_right(self.keys, key)]

    @property
    def total(self) -> int:
        return self._sums[-1]

    def reaching(self, amount: int) -> int:
        """The least key up to which there is so much."""
        return self.keys[bisect_left(self._sums, amount, lo=1) - 1]


class Lengths:
    """What is asked of the lengths of rows, once all are counted."""

    def __init__(self, counts: Mapping[str, Mapping[int, int]]) -> None:
        """`counts` are those of LengthCounts."""
        lengths, heights = counts["lengths"], counts["heights"]
        self._rows = _Sums(lengths)
        self._tokens = _Sums({length: length * rows for length, rows in lengths.items()})
        self._squares = _Sums({length: length**2 * rows for length, rows in lengths.items()})
        self._trained = _Sums(counts["trained"])
        self._begins, self._ends = _Sums(counts["begins"]), _Sums(counts["ends"])
        # How many rows have a trained token at a place, by where that number changes.
        self._rises = _Sums(heights)
        self._placed = _Sums({place: place * rise for place, rise in heights.items()})

    @classmethod
    def from_json(cls, bodies: Iterable[Mapping[str, Any]]) -> Lengths:
        """Of what one or several `to_json` have written, together. Raises KeyError, TypeError or
        ValueError for anything else."""
        whole = LengthCounts().counts
        for body in bodies:
            for name, counts in whole.items():
                for key, count in body[name]:
                    counts[key] += count
        return cls(whole)

    @classmethod
    def of_rows(cls, tokens: Iterable[int], trained: Iterable[int]) -> Lengths:
        """Of rows that are as they are trained on: each has so many tokens, so many of them
        trained. Where these stand isn't known, so no shorter cutoff may be asked for."""
        counts: dict[str, Counter[int]] = LengthCounts().counts
        for length, learnt in zip(tokens, trained, strict=True):
            counts["lengths"][length] += 1
            counts["trained"][length] += learnt
        return cls(counts)

    @property
    def rows(self) -> int:
        return self._rows.total

    @property
    def tokens(self) -> int:
        return self._tokens.total

    @property
    def trained_tokens(self) -> int:
        return self._trained.total

    @property
    def longest(self) -> int:
        """Tokens of the longest row; 0 where there is none."""
        return self._rows.keys[-1] if self._rows.keys else 0

    def percentile(self, share: float) -> int:
        """The least length that so large a share of the rows has at most (nearest rank): one
        that occurs, and 0 where there is no row."""
        if not self.rows:
            return 0
        # In millionths: 0.95 * 20 is 19.000000000000004 for a float.
        rank = -(-self.rows * round(share * 1_000_000) // 1_000_000)
        return self._rows.reaching(max(1, rank))

    def spread(self) -> dict[str, int]:
        """Median, 90th and 99th percentile and most, in tokens."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        found = {name: self.percentile(share) for name, share in shares.items()}
        return {**found, "max": self.longest}

    def histogram(self, bars: int, top: int | None = None) -> list[Bar]:
        """How many rows are how long, in `bars` of the same width up to `top` tokens (default:
        the longest row); the last one has all that are longer, too."""
        top = self.longest if top is None else top
        width = max(1, -(-top // bars))
        found, before = [], 0
        for number in range(bars):
            low, high = number * width + 1, (number + 1) * width
            last = number == bars - 1 or high >= top
            high = max(high, self.longest) if last else high
            rows = self._rows.up_to(high)
            found.append(Bar(low, high, rows - before))
            before = rows
            if last:
                break
        return found

    def at(self, cutoff: int, too_long: str = TRUNCATE) -> Kept:
        """What is kept where no row may have more than `cutoff` tokens."""
        whole = self._rows.up_to(cutoff)
        cut = self.rows - whole
        wholly = self._begins.total - self._begins.up_to(cutoff - 1)
        partly = self._ends.total - self._ends.up_to(cutoff) - wholly
        rows_kept, tokens, trained = whole, self._tokens.up_to(cutoff), self._trained.up_to(cutoff)
        if too_long == TRUNCATE:
            # A row that would lose every trained token is left out, as training does.
            rows_kept += cut - wholly
            tokens += cutoff * (cut - wholly)
            trained = cutoff * self._rises.up_to(cutoff - 1) - self._placed.up_to(cutoff - 1)
        return Kept(
            cutoff=cutoff,
            too_long=too_long,
            rows=self.rows,
            whole=whole,
            cut=cut,
            partly_lost=partly,
            wholly_lost=wholly,
            rows_kept=rows_kept,
            tokens=self.tokens,
            tokens_kept=tokens,
            trained_tokens=self.trained_tokens,
            trained_kept=trained,
        )

    def squares_at(self, cutoff: int, too_long: str = TRUNCATE) -> int:
        """The sum of the squared lengths of the rows that are kept, as `at` keeps them."""
        squares = self._squares.up_to(cutoff)
        if too_long == TRUNCATE:
            kept = self.at(cutoff, too_long)
            squares += (kept.rows_kept - kept.whole) * cutoff**2
        return squares

    def pairs_at(self, cutoff: int, too_long: str = TRUNCATE, window: int | None = None) -> int:
        """How many times a token of the rows that are kept, as `at` keeps them, looks at one, at
        itself too: at all before it in its row, or at `window` of them."""
        reach = min(window or cutoff, cutoff)
        pairs = (self._squares.up_to(reach) + self._tokens.up_to(reach)) // 2
        kept = self.at(cutoff, too_long)
        rows, tokens = kept.rows_kept - self._rows.up_to(reach), kept.tokens_kept
        tokens -= self._tokens.up_to(reach)
        return pairs + rows * reach * (reach + 1) // 2 + reach * (tokens - rows * reach)

    def densest(self, rows: int) -> float:
        """The share of trained tokens, of all rows or of the longest `rows`, whichever is larger;
        1 where there is none."""
        if not self.tokens:
            return 1.0
        least = self._rows.reaching(max(1, self.rows - rows + 1))
        longest = self.tokens - self._tokens.up_to(least - 1)
        of_longest = (self.trained_tokens - self._trained.up_to(least - 1)) / longest
        return max(self.trained_tokens / self.tokens, of_longest)
