"""The number that an answer comes to, and the label that it gives."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from workbench.evaluation import metrics, numbers
from workbench.evaluation.labels import Labels, of_references

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The first two rows of GSM8K's test set.
        ("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18", 18),
        ("So the total amount of fabric is 2+1=<<2+1=3>>3 bolts of fabric\n#### 3", 3),
        ("#### 1,234,567", 1234567),
        ("#### $-5.50 per day", Fraction(-11, 2)),
        ("#### 7\n\nQuestion: and 9?\n#### 9", 7),
        ("#### none, or 3?", 3),
        ("#### none\n3", None),
        ("The answer is $1,234.00.", 1234),
        ("In all 12 apples and 30 pears, so 42 km", 42),
        ("It is 5-3=2", 2),
        ("-5", -5),
        ("−5 °C", -5),
        ("from 5-10", 10),
        ("50%", 50),
        ("3/4", Fraction(3, 4)),
        ("1/0", None),
        (".5", Fraction(1, 2)),
        ("\\boxed{7}, not 8", 7),
        ("GPT4 says so", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_the_number_of_an_answer(text: str, value: int | Fraction | None) -> None:
    assert numbers.answer(text) == value


def test_a_match_of_numbers_needs_a_number_in_the_reference() -> None:
    assert metrics.numeric_match("so it is $18.00", ["… #### 18"]) == 1
    assert metrics.numeric_match("no idea", ["#### 18"]) == 0
    assert metrics.numeric_match("19", ["#### 18", "#### 19"]) == 1
    assert metrics.numeric_match("18", ["no number"]) is None


@pytest.mark.skipif(not DATA.exists(), reason="the data isn't here")
def test_every_answer_of_gsm8k_has_the_number_behind_its_mark() -> None:
    """And the last number of its text without the mark is the same."""
    with (DATA / "gsm8k_test.jsonl").open() as stream:
        answers = [json.loads(line)["answer"] for line in stream]
    assert len(answers) == 1319
    for text in answers:
        wanted = Fraction(text.rpartition("#### ")[2].replace(",", ""))
        assert numbers.answer(text) == wanted == numbers.answer(text.replace("####", "so"))
        assert numbers.is_marked(text)


NEWS = Labels(["World", "Sports", "Business", "Sci/Tech"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Business", "Business"),
        ("  business.\nBecause of the bank, of the World Bank.", "Business"),
        ("sci tech!", "Sci/Tech"),
        ("I think of sports. The label is: World", "World"),
        ("Business, since it is of banks", "Business"),
        ("This is about sports, of course.", "Sports"),
        ("It may be sports or business.", None),
        ("None of these", None),
        ("", None),
    ],
)
def test_the_label_of_an_answer(text: str, label: str | None) -> None:
    assert NEWS.find(text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A", "A"),
        ("(B)", "B"),
        ("B) for", "B"),
        ("Answer: B", "B"),
        ("A dog", None),
        ("in a b", None),
    ],
)
def test_a_label_of_one_letter_is_no_word_of_a_sentence(text: str, label: str | None) -> None:
    assert Labels(["A", "B"]).find(text) == label


def test_references_are_labels_where_they_are_few_and_short() -> None:
    assert of_references(["yes", "no", "Yes ", "no"]) == ("no", "yes")
    assert of_references(["yes", "no", "maybe"]) == (), "each is an answer of its own"
    assert of_references(["yes"] * 9) == (), "nothing is told apart"
    assert of_references(["a b c d e f", "no"] * 9) == ()
    assert of_references(["", "no"] * 9) == ()
