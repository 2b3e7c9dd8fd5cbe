"""Which metrics rows get: by name, else by what their references look like."""

from __future__ import annotations

import pytest

from workbench.errors import WorkbenchError
from workbench.evaluation.names import Settings
from workbench.evaluation.rows import Row, words
from workbench.evaluation.scoring import score

DEFAULT = Settings()
ALWAYS = ("rouge_l", "exact_match", "token_f1")


def chosen(references: list[str], settings: Settings = DEFAULT, task: str = "") -> tuple[str, ...]:
    rows = [
        Row(f"row-{n}", "?", (text,), {"base": text}, task=task, reference_words=words(text))
        for n, text in enumerate(references)
    ]
    found: tuple[str, ...] = score(rows, settings).result["metrics"][task]
    return found


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["Paris", "Rome", "a town"], ALWAYS),
        (["so\n#### 3", "thus\n#### 1,000"], ("numeric_match", *ALWAYS)),
        (["3", "$4.50"], ("numeric_match", *ALWAYS)),
        (["yes", "no"] * 4, ("accuracy", "macro_f1", "no_label", *ALWAYS)),
        (['{"a": 1}', "[2]"], ("json_valid", *ALWAYS)),
        (["word " * 40], (*ALWAYS, "rouge_1", "rouge_2", "rouge_lsum", "chrf")),
        (["東京", "京都"], (*ALWAYS, "chrf")),
    ],
)
def test_by_the_shape_of_the_references(references: list[str], names: tuple[str, ...]) -> None:
    assert chosen(references) == names


def test_by_name_for_all_or_for_a_task() -> None:
    rows = [
        Row("one", "?", ("3",), {"base": "it is 3"}, task="sums"),
        Row("two", "?", ("yes",), {"base": "Yes!"}, task="qa"),
    ]
    settings = Settings(metrics=("sums=numeric_match", "chrf"))
    result = score(rows, settings).result
    assert result["metrics"] == {"sums": ("numeric_match", "chrf"), "qa": ("chrf",)}
    assert result["systems"]["base"]["numeric_match"]["n"] == 1
    only = score(rows, Settings(metrics=("sums=numeric_match",))).result
    assert only["metrics"]["qa"] == ALWAYS, "no name for it: by the shape"


def test_labels_that_are_given_and_a_reference_that_is_none() -> None:
    settings = Settings(labels=("up", "down"), metrics=("accuracy",))
    rows = [
        Row("one", "?", ("up",), {"base": "down"}),
        Row("two", "?", ("sideways",), {"base": "up"}),
    ]
    result = score(rows, settings).result
    assert result["labels"][0]["labels"] == ["up", "down"]
    assert result["systems"]["base"]["accuracy"]["n"] == 1
    assert result["problems"][0]["what"] == "has a reference that is no label"


def test_a_pattern_is_checked_and_needed() -> None:
    assert chosen(["abc"], Settings(pattern="^a"))[-1] == "regex_match"
    with pytest.raises(WorkbenchError, match="has no pattern"):
        chosen(["abc"], Settings(metrics=("regex_match",)))
    with pytest.raises(WorkbenchError, match="are no labels"):
        chosen([f"text {n}" for n in range(200)], Settings(metrics=("accuracy",)))
