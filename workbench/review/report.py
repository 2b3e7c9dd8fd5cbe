"""What a review session says: while it is blind, and once it is unblinded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.statistics.agreement import Agreement, agreement
from workbench.statistics.proportions import Rate, rate
from workbench.statistics.tally import Tally


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict that counts. `winner` is a system, or None for a tie and a skip."""

    id: int
    annotator: str
    item: str
    choice: str
    winner: str | None
    note: str
    made: float
    """Unix time."""

    @property
    def verdict(self) -> str:
        return self.winner or self.choice


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one annotator is."""

    annotator: str
    total: int
    judged: int
    """Left, right or tie."""
    skipped: int

    @classmethod
    def of(cls, annotator: str, judgements: Sequence[Judgement], total: int) -> Progress:
        """From the annotator's standing judgements."""
        skipped = sum(judgement.choice == "skip" for judgement in judgements)
        return cls(annotator, total, judged=len(judgements) - skipped, skipped=skipped)

    @property
    def complete(self) -> bool:
        return self.judged + self.skipped == self.total


@dataclass(frozen=True, slots=True)
class Result:
    """Which system won: known only after unblinding.

    An item counts once, however many judged it: it is won by the system with more
    verdicts, and a tie when they are level. So the intervals rest on the number of
    items; several verdicts on one item are not independent.
    """

    candidate: str
    baseline: str
    tally: Tally
    """Of the candidate; its ties hold the items with identical outputs."""
    by_annotator: Mapping[str, Tally]
    """Each annotator's own verdicts, without the identical outputs."""
    source: Mapping[str, Any]
    late: int
    """Verdicts that were given after the systems were first known."""

    @property
    def verdict(self) -> str:
        """The system that is preferred, or an empty string when the data don't say."""
        decided = self.tally.decided_rate
        if decided is None or decided.low <= 0.5 <= decided.high:
            return ""
        return self.candidate if decided.value > 0.5 else self.baseline


@dataclass(frozen=True, slots=True)
class Report:
    """A session's state. Without `result` it says nothing of either system."""

    name: str
    items: int
    """How many there are to judge."""
    identical: int
    """How many more have the same output of both systems: ties by themselves."""
    annotators: tuple[Progress, ...]
    choices: Mapping[str, int]
    """How often left, right, tie and skip were chosen, over all annotators."""
    agreement: Agreement
    result: Result | None = None

    @property
    def complete(self) -> bool:
        """Everybody who has begun is through, and somebody has, unless nothing is to judge."""
        begun = bool(self.annotators) or self.items == 0
        return begun and all(progress.complete for progress in self.annotators)

    @property
    def left_share(self) -> Rate | None:
        """The share of left among left and right: a habit when its interval excludes 1/2.

        Each system is on the left for half of the items, so a preference for a system
        leaves this share at a half.
        """
        return rate(self.choices["left"], self.choices["left"] + self.choices["right"])

    def to_json(self) -> dict[str, Any]:
        left = self.left_share
        return {
            "name": self.name,
            "items": self.items,
            "identical": self.identical,
            "complete": self.complete,
            "annotators": [asdict(progress) for progress in self.annotators],
            "choices": dict(self.choices),
            "left_share": left and asdict(left),
            "agreement": {**asdict(self.agreement), "share": self.agreement.share},
            "result": self.result and _result_json(self.result),
        }


def blind_report(
    name: str, keys: Sequence[str], identical: int, judgements: Sequence[Judgement]
) -> Report:
    """What may be known before unblinding."""
    by_annotator = _grouped(judgements, by="annotator")
    votes = [_votes(given) for given in _grouped(judgements, by="item").values()]
    chosen = [judgement.choice for judgement in judgements]
    return Report(
        name=name,
        items=len(keys),
        identical=identical,
        annotators=tuple(
            Progress.of(annotator, given, len(keys))
            for annotator, given in sorted(by_annotator.items())
        ),
        choices={choice: chosen.count(choice) for choice in ("left", "right", "tie", "skip")},
        agreement=agreement(votes),
    )


def unblinded_report(
    blind: Report,
    judgements: Sequence[Judgement],
    systems: tuple[str, str],
    source: Mapping[str, Any],
    first_unblinding: float | None,
) -> Report:
    """The blind report with the result; `systems` is (baseline, candidate)."""
    baseline, candidate = systems
    items = [_votes(given) for given in _grouped(judgements, by="item").values()]
    tally = _tally((_majority(votes, candidate, baseline) for votes in items if votes), systems)
    result = Result(
        candidate=candidate,
        baseline=baseline,
        tally=replace(tally, ties=tally.ties + blind.identical),
        by_annotator={
            annotator: _tally(_votes(given), systems)
            for annotator, given in sorted(_grouped(judgements, by="annotator").items())
        },
        source=source,
        late=sum(j.made > first_unblinding for j in judgements) if first_unblinding else 0,
    )
    return replace(blind, result=result)


def _grouped(judgements: Iterable[Judgement], *, by: str) -> dict[str, list[Judgement]]:
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(getattr(judgement, by), []).append(judgement)
    return groups


def _votes(judgements: Iterable[Judgement]) -> list[str]:
    """The verdicts, without the skips."""
    return [judgement.verdict for judgement in judgements if judgement.choice != "skip"]


def _majority(votes: Sequence[str], candidate: str, baseline: str) -> str:
    lead = votes.count(candidate) - votes.count(baseline)
    return candidate if lead > 0 else baseline if lead < 0 else "tie"


def _tally(verdicts: Iterable[str], systems: tuple[str, str]) -> Tally:
    given = list(verdicts)
    wins, losses = given.count(systems[1]), given.count(systems[0])
    return Tally(wins=wins, ties=len(given) - wins - losses, losses=losses)


def _result_json(result: Result) -> dict[str, Any]:
    win_rate, decided = result.tally.win_rate, result.tally.decided_rate
    return {
        "candidate": result.candidate,
        "baseline": result.baseline,
        **asdict(result.tally),
        "win_rate": win_rate and asdict(win_rate),
        "decided_rate": decided and asdict(decided),
        "still_needed": result.tally.still_needed,
        "verdict": result.verdict,
        "by_annotator": {name: asdict(tally) for name, tally in result.by_annotator.items()},
        "source": dict(result.source),
        "late": result.late,
    }
