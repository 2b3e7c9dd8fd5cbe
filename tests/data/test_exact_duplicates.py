from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import pytest

from workbench.data import steps
from workbench.data.example import Example, Message
from workbench.data.making import Gone
from workbench.jobs.progress import untold


def row(number: int, source: int) -> Example:
    turns = (Message("user", f"Question {number}?"), Message("assistant", "Yes."))
    return Example(turns, source=f"rows.jsonl:{source}")


def gone(rows: list[Example]) -> dict[int, str]:
    """The places of rows that are removed, each with the reason."""
    found = {}
    for place, becomes in steps.exact_duplicates(rows, untold):
        assert isinstance(becomes, Gone)
        found[place] = becomes.reason
    assert list(found) == sorted(found)
    return found


@pytest.mark.parametrize("by_chance", [False, True])
def test_a_row_goes_for_the_first_that_is_the_same(
    monkeypatch: pytest.MonkeyPatch, by_chance: bool
) -> None:
    if by_chance:
        monkeypatch.setattr(steps, "_number", lambda data: 7)
    rows = [row(number, place) for place, number in enumerate([1, 2, 3, 2, 1, 3, 3, 4])]
    rows.append(replace(rows[0], split="validation"))
    assert gone(rows) == {
        3: "the same as rows.jsonl:1",
        4: "the same as rows.jsonl:0",
        5: "the same as rows.jsonl:2",
        6: "the same as rows.jsonl:2",
    }


def test_very_many_rows_that_are_all_the_same_take_no_pair_each() -> None:
    """20,000 rows have 200 million pairs, which were 1.6 GB."""
    rows = [row(1, 0)] * 20_000
    begun = time.process_time()
    tracemalloc.start()
    try:
        assert sum(1 for _ in steps.exact_duplicates(rows, untold)) == 19_999
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 10


def test_no_rows_have_no_duplicates() -> None:
    assert gone([]) == {}
