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


def texts(target: int, prediction: int, runs: list[int]) -> tuple[str, str]:
    """A prediction and a target of so many words, which share these runs, in order."""
    common = iter(range(sum(runs)))
    both: list[list[str]] = [[], []]
    for place, run in enumerate(runs):
        shared = [f"w{next(common)}" for _ in range(run)]
        for side, words in enumerate(both):
            words += [*shared, f"own{side}x{place}"]
    for side, (words, length) in enumerate(zip(both, (prediction, target), strict=True)):
        words += [f"more{side}x{n}" for n in range(length - len(words))]
    return " ".join(both[0]), " ".join(both[1])


@pytest.mark.parametrize(
    ("lengths", "runs", "published"),
    [
        (
            (27, 16),
            [5, 3, 3],
            {
                "rouge1": (0.40741, 0.68750, 0.51163),
                "rouge2": (0.30769, 0.53333, 0.39024),
                "rougeL": (0.40741, 0.68750, 0.51163),
            },
        ),
        (
            (42, 26),
            [5, 3, 3, 3, 3],
            {
                "rouge1": (0.40476, 0.65385, 0.50000),
                "rouge2": (0.29268, 0.48000, 0.36364),
                "rougeL": (0.40476, 0.65385, 0.50000),
            },
        ),
    ],
)
def test_rouge_gives_the_values_of_rouge_155_to_five_places(
    lengths: tuple[int, int], runs: list[int], published: dict[str, tuple[float, float, float]]
) -> None:
    """google-research/rouge, rouge_scorer_test.py, testRouge1AgainstRouge155,
    testRouge2AgainstRouge155 and testRougeLAgainstRouge155: recall, precision and F of texts of as
    many words, of which as many are shared, as those of its two pairs."""
    prediction, target = texts(*lengths, runs)
    for kind, expected in published.items():
        assert metrics.rouge(kind, prediction, target) == pytest.approx(expected, abs=5e-6)
    assert metrics.rouge_1(prediction, [target]) == pytest.approx(published["rouge1"][2], abs=5e-6)
    assert metrics.rouge_2(prediction, [target]) == pytest.approx(published["rouge2"][2], abs=5e-6)


def test_rouge_lsum_gives_the_published_values() -> None:
    """google-research/rouge, testRougeLsum; the example is that of Lin 2004, section 3.2."""
    prediction = "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"
    found = metrics.rouge("rougeLsum", prediction, "w1 w2 w3 w4 w5")
    assert found == pytest.approx((0.8, 0.4, 0.53333), abs=5e-6)
    for said, wanted in (("", "w1 w2"), ("w1", ""), ("/", "w1 w2")):
        assert metrics.rouge_lsum(said, [wanted]) == 0


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


def test_exact_match_and_f1_give_the_values_of_the_squad_script() -> None:
    """The examples of the script's card in huggingface/evaluate, metrics/squad: all right, all
    wrong, two of three."""
    said = ["1976", "Beyonce", "climate change"]
    wanted = ["1976", "Beyoncé and Bruno Mars", "climate change"]
    assert [metrics.exact_match(s, [w]) for s, w in zip(said, wanted, strict=True)] == [1, 0, 1]
    assert [metrics.token_f1(s, [w]) for s, w in zip(said, wanted, strict=True)] == [1, 0, 1]
    assert metrics.exact_match("1999", ["1976"]) == metrics.token_f1("1999", ["1976"]) == 0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": [1, null]}', True),
        ("3", True),
        (' "text" \n', True),
        ("", False),
        ("{'a': 1}", False),
        ('{"a": NaN}', False),
        ('```json\n{"a": 1}\n```', False),
        ('{"a": 1} and more', False),
        ("[" * 100_000, False),
    ],
)
def test_json_is_one_document_and_nothing_else(text: str, valid: bool) -> None:
    assert metrics.json_valid(text) == valid


def test_a_pattern_that_takes_for_ever_is_given_up() -> None:
    assert metrics.regex_match(r"^\d+$")("12", []) == 1
    assert metrics.regex_match(r"^\d+$")("12 apples", []) == 0
    assert metrics.regex_match("(x+x+)+y")("x" * 200, []) in (None, 0.0)
    with pytest.raises(WorkbenchError, match="no regular expression"):
        metrics.regex_match("(")


@pytest.mark.parametrize("references", [[], "one string"])
def test_a_score_without_a_list_of_references_says_so(references: object) -> None:
    with pytest.raises(WorkbenchError, match="list of at least one reference"):
        metrics.exact_match("x", references)  # type: ignore[arg-type]


def test_perplexity() -> None:
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(5000) == math.inf


def test_importing_metrics_loads_no_heavy_library() -> None:
    probe = (
        "import sys, workbench.evaluation.metrics;"
        "print([m for m in ('torch', 'numpy', 'rouge_score', 'nltk') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_rouge_comes_without_what_the_rest_of_nltk_imports() -> None:
    probe = (
        "import sys; from workbench.evaluation import metrics;"
        "print(metrics.rouge_l('so it is', ['so it was']),"
        "[m for m in ('nltk', 'scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "0.6666666666666666 []", result.stderr
