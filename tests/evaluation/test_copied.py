"""The longest run of words that an output shares with training rows."""

from __future__ import annotations

import random

from workbench.data.example import Example, Message
from workbench.evaluation.copied import Copies


def longest(texts: list[str], rows: list[str]) -> list[int]:
    copies = Copies(texts)
    copies.look(Example((Message("user", "?"), Message("assistant", row))) for row in rows)
    return copies.longest()


def test_it_is_the_longest_run_within_one_turn() -> None:
    rows = ["The quick brown fox jumps.", "over the lazy dog"]
    assert longest(["a quick, Brown FOX jumps over"], rows) == [4], "not over the end of a turn"
    assert longest(["nothing is there", "", "the lazy dog", "fox over fox"], rows) == [0, 0, 3, 1]
    assert longest(["over the lazy dog"] * 2, rows) == [4, 4]
    assert longest(["x"], []) == [0]


def test_it_is_what_comparing_all_with_all_finds() -> None:
    chance = random.Random(5)
    for _ in range(60):
        texts = ["".join(chance.choices("abc", k=chance.randrange(12))) for _ in range(4)]
        rows = ["".join(chance.choices("abcd", k=chance.randrange(14))) for _ in range(3)]
        spaced = [" ".join(text) for text in texts]
        wanted = [
            max(
                (
                    end - start
                    for start in range(len(text))
                    for end in range(start + 1, len(text) + 1)
                    if any(text[start:end] in row for row in rows)
                ),
                default=0,
            )
            for text in texts
        ]
        assert longest(spaced, [" ".join(row) for row in rows]) == wanted
