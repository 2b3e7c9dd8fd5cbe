from __future__ import annotations

import json
import random
import time
from itertools import accumulate, pairwise

import pytest

from workbench.data.lengths import LengthCounts, Lengths
from workbench.data.measure_worker import runs_of


def made(count: int, seed: int) -> list[list[bool]]:
    """Rows of one to three trained stretches, which may begin and end with their row."""
    random_ = random.Random(seed)
    rows = []
    for _ in range(count):
        widths = [random_.randrange(0, 12) for _ in range(random_.choice((2, 4, 6)))]
        row = [bool(place % 2) for place, width in enumerate(widths) for _ in range(width)]
        rows.append(row if any(row) else [*row, True])
    return rows


def counted(rows: list[list[bool]]) -> Lengths:
    counts = LengthCounts()
    for row in rows:
        counts.add(len(row), runs_of(row))
    # As it comes from disk, and as two halves that are added up.
    return Lengths.from_json([json.loads(json.dumps(counts.to_json()))])


def test_what_a_cutoff_keeps_is_what_cutting_each_row_keeps() -> None:
    rows = made(200, seed=1)
    lengths = counted(rows)
    assert (lengths.rows, lengths.tokens) == (200, sum(map(len, rows)))
    for cutoff in range(1, 80):
        kept = lengths.at(cutoff)
        cut = [row[:cutoff] for row in rows]
        used = [row for row in cut if any(row)]
        assert kept.whole == sum(len(row) <= cutoff for row in rows)
        assert kept.cut == len(rows) - kept.whole
        assert kept.wholly_lost == len(rows) - len(used)
        lost = sum(sum(row) > sum(short) for row, short in zip(rows, cut, strict=True))
        assert kept.partly_lost + kept.wholly_lost == lost
        assert kept.rows_kept == len(used)
        assert kept.tokens_kept == sum(map(len, used))
        assert kept.trained_kept == sum(map(sum, used))
        dropped, whole = lengths.at(cutoff, "drop"), [row for row in rows if len(row) <= cutoff]
        assert dropped.rows_kept == len(whole)
        assert dropped.tokens_kept == sum(map(len, whole))
        assert dropped.trained_kept == sum(map(sum, whole))
        assert dropped.trained_tokens == sum(map(sum, rows))


def test_splits_are_added_up() -> None:
    first, second = made(50, seed=2), made(70, seed=3)
    bodies = []
    for rows in (first, second):
        counts = LengthCounts()
        for row in rows:
            counts.add(len(row), runs_of(row))
        bodies.append(counts.to_json())
    both, whole = Lengths.from_json(bodies), counted([*first, *second])
    assert [both.at(cutoff) for cutoff in range(40)] == [whole.at(cutoff) for cutoff in range(40)]


def test_percentiles_are_lengths_that_occur_and_the_bars_hold_every_row() -> None:
    rows = [[True] * length for length in range(1, 1001)]
    lengths = counted(rows)
    assert lengths.spread() == {"p50": 500, "p90": 900, "p99": 990, "max": 1000}
    bars = lengths.histogram(7)
    assert (bars[0].low, bars[-1].high) == (1, 1001) and sum(bar.rows for bar in bars) == 1000
    assert all(after.low == before.high + 1 for before, after in pairwise(bars))
    short = lengths.histogram(4, top=100)
    assert [bar.rows for bar in short] == [25, 25, 25, 925] and short[-1].high == 1000


def test_of_no_rows_there_is_nothing() -> None:
    lengths = counted([])
    assert lengths.spread() == {"p50": 0, "p90": 0, "p99": 0, "max": 0}
    assert lengths.at(10).tokens_kept == 0
    assert sum(bar.rows for bar in lengths.histogram(5)) == 0


@pytest.mark.parametrize("too_long", ["truncate", "drop"])
def test_a_million_rows_of_any_length_are_cut_in_a_moment(too_long: str) -> None:
    """A person who moves the cutoff sees each place; 20 ms is a frame."""
    counts = LengthCounts().counts
    for length in range(20, 50_020):
        for name, key, count in (
            ("lengths", length, 20),
            ("trained", length, 200),
            ("begins", length - 12, 20),
            ("ends", length - 2, 20),
            ("heights", length - 12, 20),
        ):
            counts[name][key] += count
        counts["heights"][length - 2] -= 20
    lengths = Lengths(counts)
    assert lengths.rows == 1_000_000
    begun = time.process_time()
    for cutoff in range(0, 50_000, 500):
        lengths.at(cutoff, too_long)
    assert time.process_time() - begun < 100 * 0.02
    assert lengths.at(60_000, too_long).trained_kept == 10_000_000


def test_stretches_of_trained_tokens() -> None:
    assert runs_of([]) == [] and runs_of([False, False]) == []
    assert runs_of([True]) == [0, 1]
    assert runs_of([False, True, True, False, True]) == [1, 3, 4, 5]
    row = [bool(n) for n in accumulate((0, 1, 0, -1, 0, 1))]
    assert runs_of(row) == [1, 3, 5, 6]
