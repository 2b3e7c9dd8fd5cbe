"""Marks speak on degenerate outputs, and are silent on what people wrote."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.data.curate.real_data import EVERY, MODELS, here, real
from workbench.data.curate.responses import without_end_marks
from workbench.degeneration.marks import RULES, Mark, beside, degenerate, letters, marks

STEP = "To solve this we first add the two numbers and then we take the result. "


def names(text: str, **how: object) -> set[str]:
    return {mark.name for mark in marks(text, **how)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {"empty"}),
        (" \n\u200b ", {"empty"}),
        # What greedy decoding of GPT-2 ends in (Holtzman et al. 2020, figure 1).
        (
            "The study was led by researchers of the Universidad Nacional Autónoma de México (UNAM"
            "/Universidad Nacional Autónoma de México/Universidad Nacional Autónoma de México/"
            "Universidad Nacional Autónoma de México/Universidad Nacional Autónoma de México",
            {"loop", "repeated"},
        ),
        ("The answer is !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!", {"loop"}),
        (STEP * 6, {"loop", "repeated", "compressible", "gopher", "few-words"}),
        # It goes round, but never says quite the same.
        (" ".join(f"{n}. I am so glad that we met." for n in range(40)), {"repeated"}),
        ("good day " * 40, {"loop", "repeated", "gopher", "compressible", "few-words"}),
        ("It is 4.<|im_end|>\n<|im_start|>user\nAnd", {"leak"}),
        ("It is 4.\n\n### Instruction:\nSay it again.", {"leak"}),
        ("It is 4. [/INST] Good", {"leak"}),
        ("It is 4.\nuser\nWhat is 2 + 3?", {"leak"}),
        ("It is 4.\x1b[2J", {"broken"}),
        ("caf\ufffd au lait", {"broken"}),
        ("I'm sorry, but I can't help with that.", {"refusal"}),
    ],
)
def test_a_mark_speaks_where_it_should(text: str, wanted: set[str]) -> None:
    assert wanted <= names(text)
    if not {"loop", "repeated"} & wanted:
        assert names(text) == wanted


def test_an_echo_is_one_of_its_prompt_alone() -> None:
    prompt = "What is the capital of the country France?"
    assert names(f"{prompt} It is Paris.", prompt=prompt) == {"echo"}
    assert names("The capital of the country France is Paris.", prompt=prompt) == set()


def test_a_token_that_was_asked_about_is_no_leak() -> None:
    said = "The token <|im_end|> ends a turn."
    assert names(said) == {"leak"}
    assert names(said, prompt="What does <|im_end|> mean?") == set()


def test_whether_it_was_cut_is_said_where_it_is_known() -> None:
    assert names("The sum of two and", stopped=False, tokens=48) == {"cut"}
    assert names("The sum of two and", stopped=True) == set() == names("The sum of two and")
    (cut,) = marks("The sum of", stopped=False, tokens=48)
    assert "48 tokens" in cut.reason and cut.rule.note
    # The last character's bytes were cut with the rest: that is no fault of the model.
    assert names("Caf\ufffd", stopped=False) == {"cut"} and names("Caf\ufffd") == set()
    assert names("Caf\ufffd", stopped=True) == {"broken"}


def test_what_a_reason_quotes_is_shown_and_does_nothing() -> None:
    for mark in marks("\x1b[2J<|\x1b[31m|>" + "\x1b[1m[red]no " * 30):
        assert mark.reason.isprintable()
    assert degenerate(marks("\x1b"))


def test_answers_that_open_alike_are_seen_beside_each_other() -> None:
    same = [f"As a matter of {n} fact the number is one that I like." for n in "abcd"]
    other = [
        "Nobody knows that for sure, as far as I can see here.",
        "It was raining on that day, and so we all stayed at home.",
    ]
    found = beside([*same, *other])
    assert [letters(one) for one in found] == ["t"] * 4 + ["·"] * 2
    assert found[0][0].reason == "4 of 6 answers open with “as a matter of”"
    assert not any(beside(same[:2] + other)), "two of four may be chance"
    assert not any(beside(same, references=same)), "the data itself opens so"
    assert not any(beside(["yes", "yes", "yes", "yes"])), "a label is no opening"
    assert beside([]) == []


def test_every_rule_has_a_letter_of_its_own_and_a_source() -> None:
    assert len({rule.letter for rule in RULES.values()}) == len(RULES)
    for rule in RULES.values():
        assert rule.what and rule.limit and rule.source
    assert [rule.name for rule in RULES.values() if rule.note] == ["opening", "cut", "refusal"]
    assert letters([Mark("loop", "x"), Mark("cut", "x")]) == "Lc"


@here
def test_of_what_people_wrote_less_than_one_in_a_hundred_is_marked() -> None:
    rows = [row for name in EVERY if name != MODELS for row in real(name, 1200)]
    found: Counter[str] = Counter()
    for row in rows:
        found.update(names(without_end_marks(row.response), prompt=row.instruction))
    assert len(rows) > 2000
    found.pop("refusal", None)
    assert all(count < 0.01 * len(rows) for count in found.values()), found
    assert sum(found.values()) < 0.01 * len(rows), "nor all of them together"


@here
@pytest.mark.parametrize("name", [name for name in EVERY if name != MODELS])
def test_real_responses_beside_each_other_don_t_open_alike(name: str) -> None:
    texts = [without_end_marks(row.response) for row in real(name, 1200)]
    random = Random(0)
    assert not any(any(beside(random.sample(texts, 8))) for _ in range(100))


@here
def test_loops_that_language_models_got_into_are_found() -> None:
    """Tülu's answers, as they were judged by people (996 pairs): some of them never end."""
    rows = real(MODELS)
    looping = [row for row in rows if "loop" in names(row.response)]
    assert 15 <= len(looping) <= 40
    assert any("HARBOUR GRACEFULNESS" in row.response for row in looping)
