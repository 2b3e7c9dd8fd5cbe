"""The result of an evaluation, of rows whose figures are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError
from workbench.evaluation import measures
from workbench.evaluation.names import Settings
from workbench.evaluation.rows import Row
from workbench.evaluation.scoring import score
from workbench.statistics.proportions import mcnemar, wilson

LONG = " ".join(f"word{n}" for n in range(60))


def rows(
    outputs: list[tuple[str, str]], references: list[str] | None = None, **more: Any
) -> list[Row]:
    """Rows with an output of base and adapter each."""
    references = references or ["right"] * len(outputs)
    return [
        Row(
            f"row-{n}",
            "Say it.",
            (reference,),
            dict(zip(("base", "adapter"), of, strict=True)),
            line=n + 1,
            **more,
        )
        for n, (of, reference) in enumerate(zip(outputs, references, strict=True))
    ]


def of_measure(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in result["comparisons"] if one["measure"] == name]
    return dict(found)


def test_a_share_has_wilson_s_interval_and_mcnemar_s_test() -> None:
    """Fagerland et al. 2013, table 1: 1 against 7 pairs have a mid-p of .039."""
    pairs = [("wrong", "right")] * 7 + [("right", "wrong")] + [("right", "right")] * 12
    result = score(rows(pairs)).result
    base = result["systems"]["base"]["exact_match"]
    assert (base["value"], base["n"]) == (13 / 20, 20)
    assert (base["low"], base["high"]) == wilson(13, 20)
    change = of_measure(result, "exact_match")
    assert change["value"] == pytest.approx(0.3) and change["low"] <= 0.3 <= change["high"]
    assert (change["only_from"], change["only_to"], change["differ"]) == (1, 7, 8)
    assert change["p"] == mcnemar(1, 7)[1] == pytest.approx(0.0391, abs=5e-5)
    assert change["test"] == "McNemar, mid-p"
    assert change["p_holm"] >= change["p"]


def test_the_same_rows_and_seed_give_the_same_result() -> None:
    some = rows([("wrong", "right"), ("right", "right"), ("so right", "right on")] * 5)
    first, again = score(some, seed=4).result, score(some, seed=4).result
    assert first == again
    assert (
        first["systems"]["base"]["token_f1"]
        != score(some, seed=5).result["systems"]["base"]["token_f1"]
    )
    json.dumps(first, allow_nan=False)


def test_few_rows_that_all_gain_are_no_proof() -> None:
    """The sign test of three rows can't go below 2 / 2^3."""
    result = score(rows([("wrong", "so right")] * 3)).result
    assert of_measure(result, "token_f1")["p"] == 0.25


@pytest.mark.parametrize(
    ("said", "wanted", "accuracy", "macro"),
    [
        # scikit-learn's documentation of f1_score(average="macro") and of accuracy_score.
        ("a c b a a b", "a b c a b c", 2 / 6, 0.26667),
        # and of classification_report.
        ("x x z z y", "x y z z z", 0.6, 0.49),
    ],
)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(
    said: str, wanted: str, accuracy: float, macro: float
) -> None:
    pairs = [(text, text) for text in said.split()]
    settings = Settings(metrics=("accuracy",))
    result = score(rows(pairs, wanted.split()), settings).result
    figures = result["systems"]["base"]
    assert figures["accuracy"]["value"] == pytest.approx(accuracy)
    assert figures["macro_f1"]["value"] == pytest.approx(macro, abs=5e-3)


def test_what_is_no_label_is_wrong_counted_and_shown() -> None:
    wanted = ["yes", "no"] * 5
    pairs = [("who knows", "yes"), ("no", "no")] * 5
    result = score(rows(pairs, wanted)).result
    base = result["systems"]["base"]
    assert result["metrics"][""][:3] == ("accuracy", "macro_f1", "no_label")
    assert (base["accuracy"]["value"], base["no_label"]["value"]) == (0.5, 0.5)
    (task,) = result["labels"]
    assert task["labels"] == ["no", "yes"]
    assert task["systems"]["base"] == {"no_label": 5, "answers": {"no": {"no": 5}, "yes": {"": 5}}}
    # yes: 0 found; no: all.
    assert base["macro_f1"]["value"] == 0.5


@pytest.mark.parametrize(
    ("name", "said", "wanted", "published"),
    [
        # sacrebleu, test/test_bleu.py, test_corpus_bleu_cases: the example of its README.
        (
            "bleu",
            ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."],
            [
                ("The dog bit the man.", "The dog had bit the man."),
                ("It was not unexpected.", "No one was surprised."),
                ("The man bit him first.", "The man had bitten the dog."),
            ],
            48.530827,
        ),
        # test/test_chrf.py, with an order that makes beta count for nothing.
        ("chrf", ["a", "b"], [("a",), ("c",)], 50.0),
        ("chrf", ["aa"], [("ab",)], 25.0),
        ("chrf", [""], [("reference",)], 0.0),
    ],
)
def test_bleu_and_chrf_are_those_of_sacrebleu(
    name: str, said: list[str], wanted: list[tuple[str, ...]], published: float
) -> None:
    some = [
        Row(f"row-{n}", "", of, {"base": text})
        for n, (text, of) in enumerate(zip(said, wanted, strict=True))
    ]
    result = score(some, Settings(metrics=(name,))).result
    assert result["systems"]["base"][name]["value"] == pytest.approx(published, abs=1e-6)


def test_several_references_and_rows_without_one() -> None:
    some = [
        Row("one", "?", ("Paris", "City of Paris"), {"base": "the city of Paris"}),
        Row("two", "?", (), {"base": "whatever"}),
        Row("three", "?", ("",), {"base": ""}),
    ]
    result = score(some, Settings(metrics=("exact_match",))).result
    assert result["systems"]["base"]["exact_match"]["value"] == 1
    assert result["systems"]["base"]["exact_match"]["n"] == 2
    assert result["rows"]["without_reference"] == 1


def test_a_missing_output_counts_for_nothing_and_is_told() -> None:
    some = rows([("right", "right")] * 4)
    some += [Row("more", "?", ("right",), {"adapter": "wrong"})]
    result = score(some).result
    assert result["rows"]["without_output"] == {"base": 1, "adapter": 0}
    assert [result["systems"][s]["exact_match"]["n"] for s in ("base", "adapter")] == [4, 5]
    assert of_measure(result, "exact_match")["n"] == 4
    with pytest.raises(WorkbenchError, match="nothing to score"):
        score([Row("none", "?", ("right",))])


def test_figures_stand_apart_by_task_length_and_contamination() -> None:
    some = [
        Row(
            f"row-{n}",
            "?",
            ("right",),
            {"base": "right" if n < 10 else "wrong"},
            task="easy" if n < 10 else "hard",
            contaminated=n % 4 == 0,
            prompt_words=n,
        )
        for n in range(20)
    ]
    result = score(some).result
    parts = {(part["by"], part["name"]): part for part in result["slices"]}
    assert [name for by, name in parts if by == "prompt_words"] == ["0 to 5", "6 to 12", "13 to 19"]
    values = {
        name: part["systems"]["base"]["exact_match"]["value"]
        for (by, name), part in parts.items()
        if by == "task"
    }
    assert values == {"easy": 1, "hard": 0}
    assert parts["contamination", "contaminated"]["rows"] == 5 == result["rows"]["contaminated"]
    assert parts["contamination", "clean"]["rows"] == 15


def test_loss_is_compared_on_rows_that_nobody_answered() -> None:
    some = [
        Row(f"row-{n}", losses={"base": 4.0, "adapter": 2.0 + n % 2}, trained_tokens=2)
        for n in range(12)
    ]
    result = score(some).result
    assert result["systems"]["adapter"]["loss"]["value"] == 1.25
    change = of_measure(result, "loss")
    assert change["value"] == -0.75 and change["p"] < 0.01
    assert [one["measure"] for one in result["comparisons"]] == ["loss"], "perplexity says the same"


def test_degeneration_is_a_change_from_the_base_and_names_its_rows() -> None:
    loop = "It goes on and on, " * 12
    some = [
        Row(
            f"row-{n}",
            "Say it.",
            ("right",),
            {"base": "It is right.", "adapter": loop if n < 6 else "It is right."},
            stopped={"base": True, "adapter": n >= 6},
        )
        for n in range(20)
    ]
    scored = score(some)
    body = scored.result["degeneration"]
    for name, base, adapter in (("loop", 0, 0.3), ("stopped", 1, 0.7), ("cut", 0, 0.3)):
        values = [body["systems"][system][name]["value"] for system in ("base", "adapter")]
        assert values == [base, adapter]
        (change,) = [one for one in body["comparisons"] if one["measure"] == name]
        assert change["p"] == mcnemar(0, 6)[1]
    assert body["rows"]["loop"] == {"adapter": [f"row-{n}" for n in range(6)]}
    assert "loop" in scored.rows[0]["marks"]["adapter"] and scored.rows[0]["marks"]["base"] == []


def test_what_is_copied_of_training_rows_is_found_beside_what_references_copy() -> None:
    trained = [Example((Message("user", "?"), Message("assistant", f"{LONG} end")))]
    some = rows([("short", LONG), ("short", "short")])
    body = score(some, trained=trained).result["degeneration"]
    assert body["systems"]["adapter"]["copied"]["value"] == 0.5
    assert body["systems"]["adapter"]["copied_words"]["value"] == 30
    assert body["rows"]["copied"] == {"adapter": ["row-0"]}
    assert body["reference"]["copied"]["value"] == 0
    assert "copied" not in score(some).result["measures"], "without the rows nothing is known"


def test_a_metric_of_one_s_own_that_raises_costs_its_row_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def half(output, references):\n"
        "    'Half a point.'\n"
        "    return {'raise': 1 / 0 if output == 'raise' else 0}.get(output, 0.5)\n"
        "def nan(output, references):\n"
        "    return float('nan')\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    some = rows([("right", "raise"), ("right", "right")])
    result = score(some, Settings(metrics=("mine:half", "mine:nan"))).result
    assert result["measures"]["mine:half"]["what"] == "Half a point."
    adapter = result["systems"]["adapter"]
    assert (adapter["mine:half"]["value"], adapter["mine:half"]["n"]) == (0.5, 1)
    assert adapter["mine:nan"] == {"value": None, "low": None, "high": None, "n": 0}
    told = {(one["measure"], one["what"]): one for one in result["problems"]}
    assert told["mine:half", "raised ZeroDivisionError: division by zero"]["rows"] == ["row-0"]
    assert told["mine:nan", "returned nan"]["outputs"] == 4
    for name, words in (
        ("mine:number", "is no function"),
        ("mine:nothing", "can't be loaded"),
        ("not_there:f", "can't be loaded"),
        ("nonsense", "There is no metric"),
        ("qa=exact_match", "No row is of the task 'qa'"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            score(some, Settings(metrics=(name,)))


def test_a_mean_of_no_row_is_no_number() -> None:
    assert measures.mean((0.0, 0.0)) is None
