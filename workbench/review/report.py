"""What a review session says: while it is blind, and once it is unblinded."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.review import judgements
from workbench.review.judgements import Judgement
from workbench.statistics.agreement import Agreement, agreement
from workbench.statistics.proportions import Rate, rate
from workbench.statistics.tally import Tally

if TYPE_CHECKING:
    from workbench.review.session import Session


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one annotator is."""

    annotator: str
    total: int
    judged: int
    skipped: int
    seconds: float | None = None
    """The median time of a verdict, without what nobody was there for; None when not known."""
    waiting: int = 0
    """How many of the skipped come back at the end of the queue."""

    @classmethod
    def of(cls, annotator: str, given: Sequence[Judgement], total: int) -> Progress:
        """From the annotator's standing judgements, without adjudications."""
        skipped = sum(judgement.skipped for judgement in given)
        times = [j.seconds for j in given if j.seconds is not None and not j.skipped]
        seconds = statistics.median(times) if times else None
        waiting = sum(judgement.comes_back for judgement in given)
        return cls(annotator, total, len(given) - skipped, skipped, seconds, waiting)

    @property
    def complete(self) -> bool:
        """Whether everything was seen; what was skipped may still come back."""
        return self.judged + self.skipped == self.total


@dataclass(frozen=True, slots=True)
class Result:
    """Which of two systems won, by pairs: known only after unblinding.

    An item counts once, however many judged it: it is won by the system with more
    verdicts, and a tie when they are level; one that was adjudicated is as that says. So the
    intervals rest on the number of items; several verdicts on one item are not independent.
    """

    candidate: str
    baseline: str
    tally: Tally
    """Of the candidate; its ties hold the items with identical outputs."""
    by_annotator: Mapping[str, Tally]
    """Each annotator's own verdicts, without the identical outputs."""

    @property
    def verdict(self) -> str:
        """The system that is preferred, or an empty string when the data don't say."""
        decided = self.tally.decided_rate
        if decided is None or decided.low <= 0.5 <= decided.high:
            return ""
        return self.candidate if decided.value > 0.5 else self.baseline


@dataclass(frozen=True, slots=True)
class Report:
    """A session's state. Unless it is unblinded it says nothing of any system."""

    name: str
    kind: str
    items: int
    """How many there are to judge."""
    identical: int
    """How many more have the same output of both systems: ties by themselves."""
    annotators: tuple[Progress, ...]
    choices: Mapping[str, int]
    """How often each verdict was given, over all annotators."""
    agreement: Agreement
    """Over every pair of annotators of the same; of a rubric, criterion by criterion."""
    consistency: Mapping[str, tuple[int, int]]
    """By annotator: hidden repeats with the same verdict, and how many there were."""
    flagged: int
    disputed: int
    """What annotators disagree on."""
    adjudicated: int
    """How much of that was decided by another."""
    locked: float | None
    """When the session was ended, Unix time."""
    unblinded: bool = False
    result: Result | None = None
    """Of two systems by pairs, once unblinded."""
    source: Mapping[str, Any] | None = None
    late: int = 0
    """Verdicts that were given after the systems were first known, without adjudications."""

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
        left, right = self.choices.get("left", 0), self.choices.get("right", 0)
        return rate(left, left + right)

    def to_json(self) -> dict[str, Any]:
        left = self.left_share
        found = {
            "name": self.name,
            "kind": self.kind,
            "items": self.items,
            "identical": self.identical,
            "complete": self.complete,
            "locked": self.locked,
            "unblinded": self.unblinded,
            "annotators": [asdict(progress) for progress in self.annotators],
            "choices": dict(self.choices),
            "left_share": left and asdict(left),
            "agreement": {**asdict(self.agreement), "share": self.agreement.share},
            "consistency": {
                name: {"same": same, "repeats": many}
                for name, (same, many) in self.consistency.items()
            },
            "flagged": self.flagged,
            "disputed": self.disputed,
            "adjudicated": self.adjudicated,
            "result": self.result and _result_json(self, self.result),
        }
        return {**found, "source": self.source, "late": self.late} if self.unblinded else found


def blind_report(
    session: Session,
    standing: Sequence[Judgement],
    totals: Mapping[str, int],
    locked: float | None,
) -> Report:
    """What may be known before unblinding. `totals` is how much each annotator has to judge."""
    own = [j for j in standing if not j.adjudicates]
    disputed = judgements.disputed(standing)
    chosen = [j.choice for j in own]
    return Report(
        name=session.name,
        kind=session.form.kind,
        items=len(session.units),
        identical=len(session.identical),
        annotators=tuple(
            Progress.of(name, [j for j in own if j.annotator == name], total)
            for name, total in totals.items()
        ),
        choices={c: chosen.count(c) for c in (*session.form.choices, "skip")},
        agreement=agreement(_comparable(judgements.first_looks(standing))),
        consistency=judgements.consistency(standing),
        flagged=sum(j.flag for j in own),
        disputed=len(disputed),
        adjudicated=len(disputed.keys() & judgements.adjudicated(standing).keys()),
        locked=locked,
    )


def unblinded_report(
    blind: Report,
    standing: Sequence[Judgement],
    systems: Sequence[str],
    source: Mapping[str, Any],
    first_unblinding: float | None,
) -> Report:
    """The blind report with what is known of the systems; `systems` has the baseline first."""
    late = [j for j in standing if not j.adjudicates and j.made > (first_unblinding or j.made)]
    result = None
    if blind.kind == "pairwise" and len(systems) == 2:
        result = _result(blind, standing, systems[0], systems[1])
    return replace(blind, unblinded=True, result=result, source=source, late=len(late))


def _result(blind: Report, standing: Sequence[Judgement], baseline: str, candidate: str) -> Result:
    pair = baseline, candidate
    units = judgements.by_unit(judgements.resolved(standing)).values()
    tally = _tally((_majority(given, candidate, baseline) for given in units), pair)
    own: dict[str, list[str]] = {}
    for j in judgements.first_looks(standing):
        own.setdefault(j.annotator, []).append(j.winner or "tie")
    return Result(
        candidate=candidate,
        baseline=baseline,
        tally=replace(tally, ties=tally.ties + blind.identical),
        by_annotator={name: _tally(given, pair) for name, given in sorted(own.items())},
    )


def _comparable(given: Sequence[Judgement]) -> list[list[Hashable]]:
    """The verdicts that can agree, by what they are on."""
    found: list[list[Hashable]] = []
    for of_unit in judgements.by_unit(given).values():
        names = sorted({name for j in of_unit for name in j.ratings})
        found += [[j.ratings[name] for j in of_unit if name in j.ratings] for name in names]
        if not names:
            found.append([j.verdict for j in of_unit])
    return found


def _majority(given: Sequence[Judgement], candidate: str, baseline: str) -> str:
    votes = [j.winner for j in given]
    lead = votes.count(candidate) - votes.count(baseline)
    return candidate if lead > 0 else baseline if lead < 0 else "tie"


def _tally(verdicts: Iterable[str], systems: tuple[str, str]) -> Tally:
    given = list(verdicts)
    wins, losses = given.count(systems[1]), given.count(systems[0])
    return Tally(wins=wins, ties=len(given) - wins - losses, losses=losses)


def _result_json(report: Report, result: Result) -> dict[str, Any]:
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
        "source": dict(report.source or {}),
        "late": report.late,
    }
