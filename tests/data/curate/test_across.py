from __future__ import annotations

import pytest

from workbench.data.curate import across, duplicates
from workbench.data.example import Example, Message


def row(text: str, split: str = "train") -> Example:
    return Example((Message("user", text), Message("assistant", "Yes, so it is.")), split=split)


def words(*numbers: int) -> str:
    return " ".join(f"word{n}" for n in numbers)


def test_a_validation_row_is_told_with_the_training_row_that_it_is_most_alike_to() -> None:
    rows = [
        row(words(*range(20))),
        row(words(*range(19), 99)),
        row(words(*range(19), 99), "validation"),
        row(words(*range(50, 70)), "validation"),
        row(words(*range(50, 70)), "validation"),
    ]
    (found,) = across.annotate(rows)
    assert found.other is not None
    assert (found.row, found.other.row, found.score) == (2, 1, 1.0)
    assert "the very words of row 2" in found.reason


def test_it_comes_before_or_after_what_it_is_alike_to() -> None:
    rows = [row(words(*range(20)), "validation"), row(words(*range(20)))]
    (found,) = across.annotate(rows)
    assert (found.row, found.other and found.other.row) == (0, 1)


def test_a_chain_of_small_changes_hides_no_leak() -> None:
    """The row that it is alike to is a duplicate of one that it is not alike to."""
    first, second, third = list(range(30)), list(range(30)), list(range(30))
    second[0:3] = [100, 101, 102]
    third[0:3], third[27:30] = [100, 101, 102], [200, 201, 202]
    rows = [row(words(*first)), row(words(*second)), row(words(*third), "validation")]
    assert [f.row for f in duplicates.annotate(rows)] == [1]
    (found,) = across.annotate(rows)
    assert (found.row, found.other and found.other.row) == (2, 1)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_of_one_split_are_none_of_its_business(split: str) -> None:
    assert list(across.annotate([row("a b c d e", split)] * 3)) == []
