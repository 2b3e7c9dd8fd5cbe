"""Automatic metrics against the people's choice: which of them prefers what people prefer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from workbench.review import judgements
from workbench.review.judgements import Judgement
from workbench.review.session import Session
from workbench.statistics.bootstrap import Estimate, clustered_mean

LENGTH = "length (characters)"
_OF_REFERENCE = ("exact_match", "token_f1", "rouge_l")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of two outputs of an item people prefer."""

    item: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """How far a metric agrees with people."""

    metric: str
    agreement: Estimate
    """The share of the people's choices that the metric shares; where it gives both outputs the
    same, one half. With an interval by the bootstrap over items."""
    same: int
    """How often the metric gives both the same."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choices(session: Session) -> list[Choice]:
    """What people prefer: by pairs the system with more verdicts, else that with the higher mean
    of its ratings (or share of acceptances) on the item. Ties are left out."""
    found = judgements.resolved(session.standing())
    return list(_by_votes(found) if session.form.pairs else _by_means(found))


def _by_votes(found: Sequence[Judgement]) -> Iterator[Choice]:
    for given in judgements.by_unit(found).values():
        first, second = sorted(given[0].shown)
        votes = [j.winner for j in given]
        lead = votes.count(first) - votes.count(second)
        if lead:
            better, worse = (first, second) if lead > 0 else (second, first)
            yield Choice(given[0].item, better, worse)


def _by_means(found: Sequence[Judgement]) -> Iterator[Choice]:
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for j in found:
        points = list(j.ratings.values()) or [j.choice == "accept"]
        values[j.item][j.shown[0]].append(sum(points) / len(points))
    for item, by_system in values.items():
        means = {name: sum(given) / len(given) for name, given in by_system.items()}
        for pair in combinations(sorted(means), 2):
            worse, better = sorted(pair, key=means.__getitem__)
            if means[worse] < means[better]:
                yield Choice(item, better, worse)


def rank(session: Session) -> list[Ranked]:
    """Each metric by its agreement with people, the best first; only for a session that was
    unblinded. Metrics are those that the evaluation has stored, those of the reference, where
    there is one, and the plain length of the output."""
    made = choices(session)
    items = session.items()
    scores = {key: _scores(item) for key, item in items.items()}
    names = sorted(
        {name for by_system in scores.values() for of in by_system.values() for name in of}
    )
    found = []
    for name in names:
        points, of_items = [], []
        for choice in made:
            better, worse = (
                scores[choice.item][s].get(name) for s in (choice.better, choice.worse)
            )
            if better is not None and worse is not None:
                points.append(0.5 if better == worse else float(better > worse))
                of_items.append(choice.item)
        agreement = clustered_mean(points, of_items)
        if agreement is not None:
            found.append(Ranked(name, agreement, points.count(0.5)))
    return sorted(found, key=lambda ranked: -ranked.agreement.value)


def _scores(item: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By system and metric."""
    return {
        system: {
            **_of_reference(text, item["reference"]),
            **item["scores"].get(system, {}),
            LENGTH: float(len(text)),
        }
        for system, text in item["outputs"].items()
    }


def _of_reference(text: str, reference: str) -> dict[str, float]:
    if not reference.strip():
        return {}
    from workbench.evaluation import metrics

    measures: dict[str, Callable[[str, Sequence[str]], float]] = {
        name: getattr(metrics, name) for name in _OF_REFERENCE
    }
    return {name: measure(text, [reference]) for name, measure in measures.items()}
