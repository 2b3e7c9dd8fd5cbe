"""Redaction puts a placeholder where a finding is, and changes nothing else."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from workbench.data.curate.findings import Finding, Span
from workbench.data.curate.pii import Options, annotate
from workbench.data.curate.redaction import Placeholders, redact
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

LIGHT = Options(engine="light")


def row(*turns: str) -> Example:
    roles = ("user", "assistant") * len(turns)
    return Example(
        tuple(Message(role, text) for role, text in zip(roles, turns, strict=False)),
        task="qa",
        source="rows.jsonl:1",
        extra={"id": 7},
    )


def redacted(example: Example, placeholders: Placeholders | None = None) -> Example:
    return redact(example, annotate([example], LIGHT), placeholders)


def finding(kind: str, *places: tuple[int, int], where: str = "text") -> Finding:
    return Finding(0, kind, "", spans=tuple(Span(where, a, b, "rule") for a, b in places))


def test_the_same_value_has_one_placeholder_and_another_value_another() -> None:
    example = row(
        "I'm a@example.com, she is b@example.com; call 212-555-0123.",
        "Wrote to A@example.com, rang (212) 555-0123; my card is 4111 1111 1111 1111.",
    )
    assert redacted(example) == replace(
        example,
        messages=(
            Message("user", "I'm [EMAIL_1], she is [EMAIL_2]; call [PHONE_1]."),
            Message("assistant", "Wrote to [EMAIL_1], rang [PHONE_1]; my card is [CARD_1]."),
        ),
    )


def test_a_plain_text_is_redacted_and_a_row_without_findings_is_as_it_was() -> None:
    assert redacted(Example(text="born on 1984-03-05.")).text == "born on [BIRTH_DATE_1]."
    example = row("Hello", "")
    assert redact(example, []) == example


def test_extra_fields_and_tools_are_redacted_and_stay_what_they_are() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "“As”\na@example.com"}}
    tools = json.dumps([tool, {**tool, "strict": True}], ensure_ascii=False)
    extra = {"by": ["a@example.com", None, 7], "a.b": {"c": "or b@example.com"}, "kept": 1.0}
    example = replace(row("Write to Ａ@example.com"), extra=extra, tools=tools)
    clean = redacted(example)
    assert clean.instruction == "Write to [EMAIL_1]"
    assert clean.extra == {
        "by": ["[EMAIL_1]", None, 7],
        "a.b": {"c": "or [EMAIL_2]"},
        "kept": 1.0,
    }
    assert clean.tools == tools.replace("a@example.com", "[EMAIL_1]")
    assert list(annotate([clean], LIGHT)) == []
    again = replace(row("c@example.com"), extra=clean.extra)
    assert redacted(again).instruction == "[EMAIL_3]", "of those in extra fields too"


def test_each_row_counts_for_itself_unless_the_placeholders_are_shared() -> None:
    rows = [row("a@example.com"), row("b@example.com and a@example.com")]
    assert [redacted(r).instruction for r in rows] == ["[EMAIL_1]", "[EMAIL_1] and [EMAIL_2]"]
    for _ in range(2):
        shared = Placeholders()
        texts = [redacted(r, shared).instruction for r in rows]
        assert texts == ["[EMAIL_1]", "[EMAIL_2] and [EMAIL_1]"]


def test_placeholders_that_are_there_already_are_given_out_to_nobody_else() -> None:
    assert (
        redacted(row("[EMAIL_2] is not a@example.com")).instruction == "[EMAIL_2] is not [EMAIL_3]"
    )
    rows = [row("a@example.com"), row("[EMAIL_1], [EMAIL_99999999999999999999] and [PHONE_4]")]
    shared = Placeholders()
    for each in rows:
        shared.reserve(each)
    assert [redacted(r, shared).instruction for r in rows] == ["[EMAIL_2]", rows[1].instruction]


def test_redacted_rows_have_nothing_left_to_find() -> None:
    example = row("a@example.com 212-555-0123 4111 1111 1111 1111 https://example.com 1999-12-31")
    assert list(annotate([redacted(example)], LIGHT)) == []


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([finding("a", (0, 3)), finding("b", (2, 6))], "[B_1]67"),
        ([finding("a", (0, 5)), finding("b", (1, 3))], "[A_1]567"),
        ([finding("a", (0, 2)), finding("b", (2, 4))], "[A_1][B_1]4567"),
        ([finding("a", (0, 2), (0, 2)), finding("a", (6, 8))], "[A_1]2345[A_2]"),
        ([finding("a", (0, 3), (2, 5), (4, 8))], "[A_1]"),
        ([finding("a", (0, 8)), finding("b", (0, 8))], "[A_1]"),
    ],
)
def test_spans_that_overlap_become_one_of_the_longest_ones_kind(
    places: list[Finding], text: str
) -> None:
    example = Example(text="01234567")
    assert redact(example, places).text == text
    assert redact(example, places[::-1]).text == text


@pytest.mark.parametrize(
    "place",
    [
        finding("a", (0, 9)),
        finding("a", (-1, 2)),
        finding("a", (3, 3)),
        finding("a", (0, 1), where="messages[0].content"),
    ],
)
def test_findings_of_another_row_are_refused(place: Finding) -> None:
    with pytest.raises(WorkbenchError, match="of another row"):
        redact(Example(text="01234567"), [place])


def test_the_placeholders_hold_no_value_and_go_nowhere() -> None:
    shared = Placeholders()
    redacted(row("a@example.com 4111 1111 1111 1111"), shared)
    assert "example" not in repr(vars(shared)) and "4111" not in repr(vars(shared))
    with pytest.raises(TypeError, match="stay in the process"):
        pickle.dumps(shared)
