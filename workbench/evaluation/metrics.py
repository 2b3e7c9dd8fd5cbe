"""Scores of one generated text against its references. Nothing here needs torch.

A score is in 0..1 and takes several references, of which the best counts. None is "says nothing
of this row", as a number's match where the reference has no number.
"""

from __future__ import annotations

import json
import math
import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation import numbers

Score = Callable[[str, Sequence[str]], float | None]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PATIENCE = 1.0
"""Seconds that a pattern may search one output: some patterns take years."""


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


def rouge_1(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-1 F1: shared words. As `rouge`, not stemmed."""
    return _best(lambda said, wanted: rouge("rouge1", said, wanted)[2], prediction, references)


def rouge_2(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-2 F1: shared pairs of words. As `rouge`, not stemmed."""
    return _best(lambda said, wanted: rouge("rouge2", said, wanted)[2], prediction, references)


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-L F1: the longest common subsequence of words. As `rouge`, not stemmed."""
    return _best(lambda said, wanted: rouge("rougeL", said, wanted)[2], prediction, references)


def rouge_lsum(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-Lsum F1: as ROUGE-L, of the union over lines, each of which is a sentence. As
    `rouge`, not stemmed."""
    return _best(lambda said, wanted: rouge("rougeLsum", said, wanted)[2], prediction, references)


def rouge(
    kind: str, prediction: str, reference: str, *, stemmed: bool = False
) -> tuple[float, float, float]:
    """Recall, precision and F1 of `rouge1`, `rouge2`, `rougeL` or `rougeLsum` (Lin 2004), by the
    rouge-score library, equal to ROUGE-1.5.5.

    The library keeps only a-z and 0-9, so text in another script scores 0: chrF measures that.
    """
    found = _rouge_scorer(kind, stemmed).score(reference, prediction)[kind]
    return float(found.recall), float(found.precision), float(found.fmeasure)


def numeric_match(prediction: str, references: Sequence[str]) -> float | None:
    """1.0 when both come to the same number (`numbers.answer`), else 0.0; None where no reference
    has a number. An output without a number is wrong."""
    _check(references)
    wanted = [found for reference in references if (found := numbers.answer(reference)) is not None]
    return float(numbers.answer(prediction) in wanted) if wanted else None


def json_valid(prediction: str, references: Sequence[str] = ()) -> float:
    """1.0 when the whole output is one JSON document (RFC 8259: no NaN, no comments), else 0.0.

    A code fence around it isn't JSON: what reads the output would stumble over it.
    """
    try:
        json.loads(prediction, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


def regex_match(pattern: str) -> Score:
    """A score that is 1.0 when the pattern is found in an output, else 0.0; None for an output
    that takes over a second. `^` and `$` are the ends of the output.

    Raises WorkbenchError for what is no regular expression.
    """
    # Not Python's own: that can't be told to give up.
    import regex

    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise WorkbenchError(f"{pattern!r} is no regular expression: {error}.") from error

    def found(prediction: str, references: Sequence[str] = ()) -> float | None:
        try:
            return float(compiled.search(prediction, timeout=_PATIENCE) is not None)
        except TimeoutError:
            return None

    return found


def perplexity(loss: float) -> float:
    """e to the mean loss in nats per token; infinite where a float can't hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _best(
    measure: Callable[[str, str], float], prediction: str, references: Sequence[str]
) -> float:
    _check(references)
    return max(measure(prediction, reference) for reference in references)


def _check(references: Sequence[str]) -> None:
    if isinstance(references, str) or not references:
        raise WorkbenchError("A score needs a list of at least one reference text.")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _same(prediction: str, reference: str) -> float:
    return float(normalise(prediction) == normalise(reference))


def _shared_words(prediction: str, reference: str) -> float:
    said, wanted = normalise(prediction).split(), normalise(reference).split()
    if not said or not wanted:
        # SQuAD 2.0: an empty answer is right only where no answer is wanted.
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


@cache
def _rouge_scorer(kind: str, stemmed: bool) -> Any:
    # Inside: rouge-score brings numpy.
    with _bare("nltk", "nltk.stem"):
        from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=stemmed)


@contextmanager
def _bare(*packages: str) -> Iterator[None]:
    """Modules of these packages are imported without what the packages import themselves.

    rouge-score wants one stemmer of nltk, which has scipy, scikit-learn and pandas loaded where
    they are installed: over a second. Whoever imports nltk afterwards gets the whole.
    """
    name = packages[0]
    found = None if name in sys.modules else find_spec(name)
    if found is None or found.origin is None:
        yield
        return
    root = Path(found.origin).parent
    for package in packages:
        module = ModuleType(package)
        module.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
        sys.modules[package] = module
    try:
        yield
    finally:
        for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[loaded]
