from __future__ import annotations

import pytest

from workbench.data.example import Example, Message
from workbench.data.query import Known, Row, parse
from workbench.errors import WorkbenchError

ROWS = [
    Example(
        (
            Message("system", "Be brief."),
            Message("user", "What is rain?"),
            Message("assistant", "Water."),
        ),
        task="qa",
        source="a.jsonl:1",
        extra={"level": 3, "author": "Ann Lee"},
    ),
    Example(
        (Message("user", "Translate: Wasser"), Message("assistant", "water " * 30)),
        task="translate",
        split="validation",
        source="b.jsonl:1",
        extra={"level": 7},
    ),
    Example(text="A law: nobody shall carry water past 5:30.", source="c.jsonl:1"),
]
TOKENS = {"a.jsonl:1": 9, "b.jsonl:1": 600, "c.jsonl:1": 12}
KNOWN = Known({"email": {1}, "personal-data": {1, 2}}, lambda row: TOKENS[row.source])


def rows() -> list[Row]:
    """The rows, read from their lines as a search does."""
    lines = [example.to_line().encode() for example in ROWS]
    return [Row(n, line, lambda n, line: (ROWS[n], "")) for n, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [0, 1, 2]),
        ("water", [0, 1, 2]),
        ("WATER past", [2]),
        ("past water", []),
        ("past 5:30", [2]),
        ('"is rain"', [0]),
        ('-"is rain"', [1, 2]),
        ("task:qa", [0]),
        ("task:q", []),
        ("-task:qa", [1, 2]),
        ("split:train", [0, 2]),
        ("split:train water past", [2]),
        ("flag:email", [1]),
        ("flag:personal-data -flag:email", [2]),
        ("flag:bad", []),
        ("flag:quality", []),
        ("tokens>512", [1]),
        ("tokens>=12 tokens<600", [2]),
        ("tokens=9", [0]),
        ("turns>2", [0]),
        ("response>100", [1]),
        ("row<=2 row>1", [1]),
        ("level>5", [1]),
        ("author:lee", [0]),
        ('author:"ann lee"', [0]),
        ("source:b.jsonl", [1]),
        ("system:brief", [0]),
        ("prompt:rain", [0]),
        ("response:law", [2]),
        ("nofield:zz", []),
        ("level>high", []),
        ("5:30", [2]),
        ("-5:30", []),
        ("http://x", []),
        ('5"', []),
        ('"response>abc"', []),
    ],
)
def test_a_query_finds_its_rows(text: str, wanted: list[int]) -> None:
    query = parse(text)
    assert [row.number for row in rows() if query.fits(row, KNOWN)] == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("response>abc", "response>abc compares response with no number"),
        ("rain -tokens>>5", "-tokens>>5 compares tokens with no number"),
        ("row=", "row= compares row with no number"),
        ("turns<2x", "turns<2x compares turns with no number"),
        ('"is rain', "The quote in \"is rain isn't closed"),
        ('water "', "The quote in \" isn't closed"),
        ('-author:"ann lee', "The quote in -author:\"ann lee isn't closed"),
        ("flag:emial", "There is no flag emial"),
        ("-flag:BAD", "There is no flag BAD"),
        ("split:test", "There is no split test"),
    ],
)
def test_what_can_t_be_asked_is_said(text: str, words: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    assert words in caught.value.message


def test_whose_tokens_has_to_be_said() -> None:
    with pytest.raises(WorkbenchError, match="under a base model's template alone"):
        parse("tokens>5").fits(rows()[0], Known({}))
