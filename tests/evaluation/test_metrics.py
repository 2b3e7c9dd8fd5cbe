from __future__ import annotations

import math
import subprocess
import sys

import pytest

from workbench.errors import WorkbenchError
from workbench.evaluation import metrics


@pytest.mark.parametrize(
    ("candidate", "published"),
    [
        ("police kill the gunman", 3 / 4),
        ("the gunman kill police", 2 / 4),
        ("the gunman police killed", 2 / 4),
    ],
)
def test_rouge_l_gives_the_values_of_lin_2004(candidate: str, published: float) -> None:
    """Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1,
    with beta = 1: reference S1 and candidates S2, S3 and S4."""
    assert metrics.rouge_l(candidate, ["police killed the gunman"]) == pytest.approx(published)


@pytest.mark.parametrize(
    ("candidate", "published"), [("testing one", 4 / 5), ("testing two", 4 / 5), ("", 0)]
)
def test_rouge_l_gives_the_values_of_the_reference_implementation(
    candidate: str, published: float
) -> None:
    """google-research/rouge, rouge_scorer_test.py: testRougeLConsecutive,
    testRougeLNonConsecutive and testRougeEmpty."""
    assert metrics.rouge_l(candidate, ["testing one two"]) == pytest.approx(published)


def test_rouge_l_counts_words_of_the_length_of_a_rouge_155_truth() -> None:
    """google-research/rouge, testRougeLAgainstRouge155: 22 common words of a reference of
    54 and a candidate of 32 gave ROUGE-1.5.5 recall .40741, precision .68750, F .51163."""
    common = [f"w{i}" for i in range(22)]
    reference = " ".join([*common, *(f"r{i}" for i in range(32))])
    candidate = " ".join([*common, *(f"c{i}" for i in range(10))])
    assert metrics.rouge_l(candidate, [reference]) == pytest.approx(0.51163, abs=5e-6)


def test_rouge_l_does_not_stem() -> None:
    assert metrics.rouge_l("tests", ["testing"]) == 0


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1.0),
        ("  an\n apple ", "apple", 1.0),
        ("theatre", "atre", 0.0),
        ("42", "43", 0.0),
        ("", "the", 1.0),
    ],
)
def test_exact_match_normalises_as_squad_does(
    prediction: str, reference: str, expected: float
) -> None:
    assert metrics.exact_match(prediction, [reference]) == expected


def test_the_order_of_normalisation_is_that_of_the_squad_script() -> None:
    """Punctuation goes before articles, so the "the" of "the-end" is not a word of its own."""
    assert metrics.normalise("The-end  of A.B. a test") == "theend of ab test"


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    # 2 shared words; precision 2/3, recall 2/4.
    assert metrics.token_f1("red green blue", ["red green white black"]) == pytest.approx(4 / 7)
    assert metrics.token_f1("red red", ["red"]) == pytest.approx(2 / 3)
    assert metrics.token_f1("", [""]) == 1
    assert metrics.token_f1("", ["red"]) == 0


@pytest.mark.parametrize("measure", [metrics.exact_match, metrics.token_f1, metrics.rouge_l])
def test_the_best_of_several_references_counts(measure: object) -> None:
    assert callable(measure)
    assert measure("two words", ["nothing shared", "two words"]) == 1


@pytest.mark.parametrize("references", [[], "one string"])
def test_a_score_without_a_list_of_references_says_so(references: object) -> None:
    with pytest.raises(WorkbenchError, match="list of at least one reference"):
        metrics.exact_match("x", references)  # type: ignore[arg-type]


def test_perplexity() -> None:
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(5000) == math.inf


def test_a_summary_has_mean_n_and_a_repeatable_interval_around_the_mean() -> None:
    values = [i / 40 for i in range(40)]
    summary = metrics.summarise(values)
    assert summary == metrics.summarise(values)
    assert summary.n == 40
    assert summary.mean == pytest.approx(0.4875)
    assert summary.low is not None and summary.high is not None
    # The standard error of this mean is 0.0456, so a normal interval is 0.398 to 0.577.
    assert summary.low == pytest.approx(0.398, abs=0.02)
    assert summary.high == pytest.approx(0.577, abs=0.02)


def test_a_summary_of_equal_or_no_values() -> None:
    assert metrics.summarise([0.5] * 3) == metrics.Summary(0.5, 0.5, 0.5, 3)
    assert metrics.summarise([]).to_json() == {"mean": None, "low": None, "high": None, "n": 0}


def test_rows_are_scored_and_summarised_by_name() -> None:
    rows = [metrics.score("the cat", ["cat"]), metrics.score("dog", ["cat"])]
    assert rows[0]["exact_match"] == 1
    summaries = metrics.summarise_scores(rows)
    assert set(summaries) == {"rouge_l", "exact_match", "token_f1"}
    assert summaries["exact_match"].mean == 0.5


def test_importing_metrics_loads_no_heavy_library() -> None:
    probe = (
        "import sys, workbench.evaluation.metrics;"
        "print([m for m in ('torch', 'numpy', 'rouge_score', 'nltk') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
