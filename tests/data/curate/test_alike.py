from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from workbench.data.curate.alike import Join
from workbench.data.curate.duplicates import jaccard, shingles
from workbench.data.example import Example
from workbench.jobs.progress import untold


def text(words: Sequence[str]) -> Example:
    return Example(text=" ".join(words))


class Every:
    """All pairs; or those of an odd and an even row."""

    def __init__(self, apart: int = 0) -> None:
        self.apart = apart

    def worth(self, first: Any, second: Any) -> Any:
        return (first != second) & ((not self.apart) | (first % 2 != second % 2))

    def ahead(self, rows: Any) -> Any:
        return rows % 2 == 0

    def settled(self, rows: Any) -> bool:
        return len(rows) < 2


def pairs(rows: Sequence[Example], threshold: float) -> dict[tuple[int, int], float]:
    return {(a, b): s for a, b, s in Join(rows, threshold, untold).pairs(Every())}


def counted_out(rows: Sequence[Example], threshold: float) -> dict[tuple[int, int], float]:
    """Every pair, compared."""
    held = [shingles(row.text) for row in rows]
    found = {}
    for a, b in itertools.combinations(range(len(rows)), 2):
        if (similarity := jaccard(held[a], held[b])) >= threshold:
            found[a, b] = similarity
    return found


def edited(rng: random.Random, words: Sequence[str], vocabulary: Sequence[str]) -> list[str]:
    return [rng.choice(vocabulary) if rng.random() < 0.05 else word for word in words]


@pytest.mark.parametrize("size", [5, 40, 400])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1])
def test_the_pairs_are_those_that_comparing_all_finds(size: int, threshold: float) -> None:
    """Of few words many rows are alike, and share more shingles than are compared at once."""
    rng = random.Random(size)
    vocabulary = [f"word{n}" for n in range(size)]
    rows: list[list[str]] = []
    for _ in range(150):
        fresh = [rng.choice(vocabulary) for _ in range(rng.randint(0, 40))]
        rows.append(edited(rng, rng.choice(rows), vocabulary) if rng.random() < 0.6 else fresh)
        rows[-1] = rows[-1] or ["empty"]
    examples = [text(row) for row in rows]
    expected = counted_out(examples, threshold)
    assert pairs(examples, threshold) == expected
    assert expected


def test_no_rows_and_one_row_have_no_pairs() -> None:
    assert pairs([], 0.7) == {}
    assert pairs([text(["a", "b"])], 0.7) == {}


def test_rows_are_only_compared_where_it_is_worth_it() -> None:
    rows = [text([f"w{n}" for n in range(30)])] * 4
    found = {(a, b) for a, b, _ in Join(rows, 0.7, untold).pairs(Every(apart=1))}
    assert found == {(0, 1), (0, 3), (1, 2), (2, 3)}


def test_what_all_rows_say_makes_no_candidates() -> None:
    """An instruction of 60 words before each text: of 1,000 rows each pair would be compared."""
    rng = random.Random(0)
    prompt = [f"do{n}" for n in range(60)]
    vocabulary = [f"w{n}" for n in range(2000)]
    rows = [text([*prompt, *(rng.choice(vocabulary) for _ in range(20))]) for _ in range(1000)]
    rows.append(text([*rows[7].text.split()[:-1], "other"]))
    join = Join(rows, 0.7, untold)
    candidates = sum(len(first) for first, _ in join._candidates(Every()))
    assert candidates < 10
    assert [(a, b) for a, b, _ in join.pairs(Every())] == [(7, 1000)]


def test_what_makes_most_of_every_row_is_not_compared_row_by_row() -> None:
    """A template of 75 words before 25 others is among the rarest shingles of each row, yet too
    far down in all of them: of 2,000 rows each pair would be looked at, for each such shingle."""

    class Counted(Every):
        looked_at = 0

        def worth(self, first: Any, second: Any) -> Any:
            self.looked_at += len(first)
            return super().worth(first, second)

    rng = random.Random(0)
    template = [f"do{n}" for n in range(75)]
    vocabulary = [f"w{n}" for n in range(5000)]
    rows = [text([*template, *rng.sample(vocabulary, 25)]) for _ in range(2000)]
    rows.append(text([*rows[7].text.split()[:-1], "other"]))
    counted = Counted()
    assert {(a, b) for a, b, _ in Join(rows, 0.7, untold).pairs(counted)} == {(7, 2000)}
    assert counted.looked_at < 2000
