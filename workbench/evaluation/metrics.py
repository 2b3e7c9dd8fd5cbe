"""Scores of generated text against references, and their summary over rows.

Every score is in 0..1 and takes several references, of which the best counts.
Nothing here needs torch.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from random import Random
from typing import Any

from workbench.errors import WorkbenchError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Summary:
    """The mean of a score over rows, with its 95 % interval."""

    mean: float | None
    """None when there are no rows."""
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def normalise(text: str) -> str:
    """Text as SQuAD compares it: lower case, no punctuation, no a/an/the, single spaces.

    Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine
    Comprehension of Text", section 6.1, in the order of its evaluation script.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 when the normalised prediction is one of the normalised references, else 0.0."""
    return _best(_same, prediction, references)


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the words that prediction and reference share, both normalised as for SQuAD."""
    return _best(_shared_words, prediction, references)


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-L F1 (Lin 2004) by the rouge-score library, equal to ROUGE-1.5.5.

    Words are not stemmed (`use_stemmer=False`), as by default in ROUGE-1.5.5. The
    library keeps only a-z and 0-9, so text in another script scores 0.
    """
    return _best(_longest_common, prediction, references)


def perplexity(loss: float) -> float:
    """e to the mean loss in nats per token; infinite where a float can't hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


SCORES: Mapping[str, Callable[[str, Sequence[str]], float]] = {
    "rouge_l": rouge_l,
    "exact_match": exact_match,
    "token_f1": token_f1,
}
"""The scores that an evaluation reports, by the name they have in its files."""


def score(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """Every score of one row."""
    return {name: measure(prediction, references) for name, measure in SCORES.items()}


def summarise_scores(rows: Iterable[Mapping[str, float]]) -> dict[str, Summary]:
    """The summary of every score over rows that `score` made."""
    rows = list(rows)
    return {name: summarise([row[name] for row in rows]) for name in SCORES}


def summarise(values: Sequence[float], *, seed: int = 0, resamples: int = 1000) -> Summary:
    """Mean, n and the 95 % percentile bootstrap interval of the mean.

    Give it the differences of two systems row by row to get a paired comparison. The
    same values and seed give the same interval. Source: Efron and Tibshirani 1993,
    "An Introduction to the Bootstrap", chapter 13. 40 rows take about 10 ms.
    """
    n = len(values)
    if n == 0:
        return Summary(mean=None, low=None, high=None, n=0)
    random = Random(seed)  # noqa: S311 - a resample, not a secret
    means = sorted(math.fsum(random.choices(values, k=n)) / n for _ in range(resamples))
    tail = round(0.025 * resamples)
    return Summary(
        mean=math.fsum(values) / n, low=means[tail], high=means[resamples - 1 - tail], n=n
    )


def _best(
    measure: Callable[[str, str], float], prediction: str, references: Sequence[str]
) -> float:
    if isinstance(references, str) or not references:
        raise WorkbenchError("A score needs a list of at least one reference text.")
    return max(measure(prediction, reference) for reference in references)


def _same(prediction: str, reference: str) -> float:
    return float(normalise(prediction) == normalise(reference))


def _shared_words(prediction: str, reference: str) -> float:
    said, wanted = normalise(prediction).split(), normalise(reference).split()
    if not said or not wanted:
        # SQuAD 2.0: an empty answer is right only where no answer is wanted.
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


def _longest_common(prediction: str, reference: str) -> float:
    return float(_rouge_scorer().score(reference, prediction)["rougeL"].fmeasure)


@cache
def _rouge_scorer() -> Any:
    # Inside: rouge-score takes 0.5 s to import and brings numpy.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)
