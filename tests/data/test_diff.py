from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.data import versions
from workbench.data.diff import compare
from workbench.data.example import Example, Message
from workbench.data.versions import Version
from workbench.data.word_diff import word_diff
from workbench.workspace import Workspace


def row(number: int, answer: str = "It is so.") -> Example:
    turns = (Message("user", f"Question {number}?"), Message("assistant", answer))
    return Example(turns, source=f"x:{number}")


def made(workspace: Workspace, rows: Sequence[Example]) -> Version:
    return versions.create(workspace, "made", rows, sources=[], steps=[])


def test_rows_are_added_removed_rewritten_and_moved(workspace: Workspace) -> None:
    before = made(workspace, [row(n) for n in range(6)])
    rows = [
        row(0),
        replace(row(1), split="validation"),
        row(2, "It was so."),
        row(4),
        row(5),
        row(9),
    ]
    diff = compare(before, made(workspace, rows))
    assert (diff.rows, diff.same) == ((6, 6), 3)
    found = {change.what: change for change in diff.changes}
    assert len(found) == len(diff.changes) == 4
    assert found["moved"].after == rows[1]
    assert (found["changed"].before, found["changed"].after) == (row(2), rows[2])
    assert found["added"].after == row(9) and found["removed"].before == row(3)
    assert [piece for piece in found["changed"].pieces() if piece[0] != "="] == [
        ("-", "is"),
        ("+", "was"),
    ]


def test_rows_that_are_there_twice_are_counted(workspace: Workspace) -> None:
    before = made(workspace, [row(1), row(1), row(2)])
    diff = compare(before, made(workspace, [row(1), row(2)]))
    assert (diff.same, diff.count("removed"), len(diff.changes)) == (2, 1, 1)


def test_the_pieces_of_a_diff_make_up_both_texts() -> None:
    before = "The cat sat on\nthe mat, didn't it?" * 3
    for after in ("", "The dog sat on the mat!", before, before.replace("cat", "Katze")):
        pieces = word_diff(before, after)
        assert "".join(text for what, text in pieces if what != "+") == before
        assert "".join(text for what, text in pieces if what != "-") == after
    long = "word " * 5000
    assert "".join(text for what, text in word_diff(long, f"{long}x") if what != "-") == f"{long}x"
