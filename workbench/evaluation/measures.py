"""What is measured of outputs: each measure is a number of sums over rows.

A mean is two sums, BLEU is ten. So one bootstrap, which draws rows and adds up, serves all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.evaluation import metrics
from workbench.evaluation.rows import Row

Sums = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is measured of one system's outputs."""

    name: str
    what: str
    """In words, for a person."""
    sums: Callable[[Row, str], Sums | None]
    """Of a row and a system; None where it says nothing of that row."""
    value: Callable[[Sequence[float]], float | None]
    """Of the sums over all rows."""
    unit: str = "0 to 1"
    better: str = "higher"
    """`higher`, `lower`, or empty where neither is."""
    share: bool = False
    """Whether it is a share of rows: then with Wilson's interval, and McNemar's test."""
    compared: bool = True
    """Whether two systems are; not where another measure says the same."""

    def to_json(self) -> dict[str, Any]:
        """For the result of an evaluation."""
        return {
            "what": self.what,
            "unit": self.unit,
            "better": self.better,
            "interval": "Wilson" if self.share else "bootstrap of rows",
        }


def mean(totals: Sequence[float]) -> float | None:
    """The first sum over the second."""
    return totals[0] / totals[1] if totals[1] else None


def of_score(
    name: str,
    what: str,
    score: metrics.Score,
    *,
    needs_references: bool = True,
    share: bool = False,
) -> Measure:
    """The mean of a score of single rows, over those that it says something of."""

    def sums(row: Row, system: str) -> Sums | None:
        text = row.outputs.get(system)
        if text is None or (needs_references and not row.references):
            return None
        found = score(text, row.references)
        return None if found is None else (found, 1.0)

    return Measure(name, what, sums, mean, share=share)


def of_values(
    name: str,
    what: str,
    values: Mapping[tuple[str, str], float],
    **more: Any,
) -> Measure:
    """The mean of numbers that are known, by the key of the row and system."""

    def sums(row: Row, system: str) -> Sums | None:
        found = values.get((row.key, system))
        return None if found is None else (float(found), 1.0)

    return Measure(name, what, sums, mean, **more)


def losses() -> list[Measure]:
    """Loss and perplexity of the references, by tokens: the tokens of a row go together."""

    def sums(row: Row, system: str) -> Sums | None:
        loss = row.losses.get(system)
        return None if loss is None or not row.trained_tokens else (loss, row.trained_tokens)

    def perplexity(totals: Sequence[float]) -> float | None:
        loss = mean(totals)
        return None if loss is None else metrics.perplexity(loss)

    return [
        Measure(
            "loss",
            "mean loss of a trained token of the references",
            sums,
            mean,
            unit="nats",
            better="lower",
        ),
        Measure(
            "perplexity",
            "e to the loss",
            sums,
            perplexity,
            unit="1 and more",
            better="lower",
            compared=False,
        ),
    ]


def bleu() -> Measure:
    """BLEU (Papineni et al. 2002) of all rows together, as sacrebleu computes it by default
    (Post 2018): tokenised by 13a, smoothed by exp, in 0..100."""
    return _of_sacrebleu("bleu", "BLEU by sacrebleu (13a, exp), of all rows together", "BLEU")


def chrf() -> Measure:
    """chrF2 (Popović 2015) of all rows together, as sacrebleu computes it by default: n-grams of up
    to six characters, beta 2, in 0..100. For every script."""
    return _of_sacrebleu("chrf", "chrF2 by sacrebleu, of all rows together", "CHRF")


def _of_sacrebleu(name: str, what: str, kind: str) -> Measure:
    # Inside: it takes 0.2 s to import, and brings numpy.
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # `force` keeps it from telling the terminal that texts look tokenised.
    metric: Any = BLEU(force=True) if kind == "BLEU" else CHRF()

    def sums(row: Row, system: str) -> Sums | None:
        text = row.outputs.get(system)
        if text is None or not row.references:
            return None
        # These two methods are what its own bootstrap uses; the release is pinned for them.
        (found,) = metric._extract_corpus_statistics([text], [[ref] for ref in row.references])
        return tuple(map(float, found))

    def value(totals: Sequence[float]) -> float | None:
        return float(metric._compute_score_from_stats([round(total) for total in totals]).score)

    return Measure(name, what, sums, value, unit="0 to 100")
