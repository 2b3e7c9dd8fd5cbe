"""What a set of assessments says: who is preferred, how well rated, how far people agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from workbench.review.assessments import Assessment
from workbench.statistics.agreement import (
    cohen_kappa,
    krippendorff_alpha,
    raw_agreement,
)
from workbench.statistics.bootstrap import Estimate, clustered_difference, clustered_mean
from workbench.statistics.lengths import LengthControlled, length_controlled
from workbench.statistics.proportions import Rate, binomial_test, holm, rate
from workbench.statistics.ranking import Game, Ranking, bradley_terry
from workbench.statistics.tally import Tally

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Contest:
    """One system against another, by one criterion."""

    criterion: str
    candidate: str
    baseline: str
    tally: Tally
    """Of the candidate, a judgement each."""
    by_item: Tally
    """The same with an item once, for the system that more judgements are for."""
    items: int
    mean: Estimate
    """The win rate, a tie as half, with an interval by the bootstrap over items."""
    p: float
    """The sign test over items without a tie: exact, two-sided."""
    p_holm: float
    """`p`, adjusted for all contests of the report."""
    length_controlled: LengthControlled | None
    first_share: float
    """How often the candidate was shown first."""


@dataclass(frozen=True, slots=True)
class Rated:
    """One system's ratings by one criterion."""

    criterion: str
    system: str
    mean: Estimate
    """With an interval by the bootstrap over items."""
    share: Rate | None
    """Wilson's interval, where every rating is 0 or 1; it takes them for independent."""


@dataclass(frozen=True, slots=True)
class RatedApart:
    """How much better the candidate was rated than the baseline, where both were judged."""

    criterion: str
    candidate: str
    baseline: str
    difference: Estimate
    p_holm: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How often something that should not matter went with the better output, without ties."""

    rate: Rate
    p: float
    """Exact binomial, two-sided."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far annotators agree by one criterion."""

    criterion: str
    kind: str
    """`preference` or `rating`."""
    units: int
    """What two or more judged."""
    raw: Estimate | None
    alpha: Estimate | None
    """Krippendorff's, nominal; of a preference: which is better, or neither."""
    alpha_ordinal: Estimate | None
    """With how clearly, or with the order of ratings; None where there are but two or three
    values."""
    kappa: Estimate | None
    """Cohen's, where the same two annotators judged all of them."""


@dataclass(frozen=True, slots=True)
class Analysis:
    judgements: int
    items: int
    annotators: Mapping[str, int]
    """Judgements by annotator."""
    systems: tuple[str, ...]
    contests: tuple[Contest, ...]
    rated: tuple[Rated, ...]
    rated_apart: tuple[RatedApart, ...]
    position: Mapping[str, Habit]
    """By criterion: the output shown first was the better one."""
    length: Mapping[str, Habit]
    """By criterion: the longer output was the better one."""
    agreement: tuple[Agreed, ...]
    rankings: Mapping[str, Ranking]
    """By criterion, where more than two systems were compared."""

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        for contest, plain in zip(self.contests, found["contests"], strict=True):
            tally = contest.tally
            plain["win_rate"] = tally.win_rate and asdict(tally.win_rate)
            plain["decided_rate"] = tally.decided_rate and asdict(tally.decided_rate)
            for name in _FROM_ITEMS:
                plain[name] = getattr(contest.by_item, name)
        return found


_FROM_ITEMS = (
    "decided",
    "decided_whenever_looked_at",
    "more_to_decide",
    "more_whenever_looked_at",
    "still_needed",
)


def analyse(
    assessments: Sequence[Assessment],
    *,
    baseline: str = "",
    shown_in_order: bool = True,
    independent: Sequence[Assessment] | None = None,
) -> Analysis:
    """All that can be said; deterministic.

    `independent` are the annotators' own judgements where those that count differ from them, as
    after an adjudication: agreement and habits are of these.

    `baseline` is the system that others are held against, where it takes part; otherwise the
    first of two by name is the candidate. `shown_in_order` is false when it isn't known which
    output stood first. Raises WorkbenchError when a ranking can't be computed.
    """
    own = assessments if independent is None else independent
    contests = _contests(assessments, baseline)
    preferred = sorted({criterion for each in assessments for criterion in each.preferences})
    annotators: dict[str, int] = defaultdict(int)
    for each in assessments:
        annotators[each.annotator] += 1
    systems = sorted({system for each in assessments for system in each.systems})
    return Analysis(
        judgements=len(assessments),
        items=len({each.item for each in assessments}),
        annotators=dict(sorted(annotators.items())),
        systems=tuple(systems),
        contests=contests,
        rated=_rated(assessments),
        rated_apart=_rated_apart(assessments, baseline),
        position=_habits(preferred, own, _first) if shown_in_order else {},
        length=_habits(preferred, own, _longer),
        agreement=(*_preferences_agreed(own), *_ratings_agreed(own)),
        rankings={} if len(systems) < 3 else _rankings(preferred, assessments),
    )


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _oriented(assessment: Assessment, criterion: str, pair: Pair) -> int:
    """The preference for the first of `pair`, as strong as it was given."""
    given = assessment.preferences[criterion]
    return given if assessment.systems[0] == pair[0] else -given


def _pair(systems: Sequence[str], baseline: str) -> Pair:
    """Candidate and baseline."""
    first, second = sorted(systems)
    return (second, first) if first == baseline else (first, second)


def _by_pair(assessments: Iterable[Assessment], baseline: str) -> dict[Pair, list[Assessment]]:
    found: dict[Pair, list[Assessment]] = defaultdict(list)
    for each in assessments:
        if len(each.systems) == 2:
            found[_pair(each.systems, baseline)].append(each)
    return dict(sorted(found.items()))


def _contests(assessments: Sequence[Assessment], baseline: str) -> tuple[Contest, ...]:
    contests = []
    for pair, judged in _by_pair(assessments, baseline).items():
        for criterion in sorted({name for each in judged for name in each.preferences}):
            given = [each for each in judged if criterion in each.preferences]
            contests.append(_contest(criterion, pair, given))
    adjusted = holm([contest.p for contest in contests])
    return tuple(replace(c, p_holm=p) for c, p in zip(contests, adjusted, strict=True))


def _contest(criterion: str, pair: Pair, judged: Sequence[Assessment]) -> Contest:
    signs = [_sign(_oriented(each, criterion, pair)) for each in judged]
    items = [each.item for each in judged]
    points = [(1 + sign) / 2 for sign in signs]
    mean = clustered_mean(points, items)
    assert mean is not None  # noqa: S101 (there is a judgement, else there were no contest)
    lead: dict[str, int] = defaultdict(int)
    for item, sign in zip(items, signs, strict=True):
        lead[item] += sign
    by_item = _tally(map(_sign, lead.values()))
    longer = [_longer_by(each, pair) for each in judged]
    known = [i for i, by in enumerate(longer) if by is not None]
    return Contest(
        criterion=criterion,
        candidate=pair[0],
        baseline=pair[1],
        tally=_tally(signs),
        by_item=by_item,
        items=len(lead),
        mean=mean,
        p=by_item.p,
        p_holm=by_item.p,
        length_controlled=length_controlled(
            [points[i] for i in known],
            [float(longer[i] or 0) for i in known],
            [items[i] for i in known],
        ),
        first_share=sum(each.systems[0] == pair[0] for each in judged) / len(judged),
    )


def _tally(signs: Iterable[int]) -> Tally:
    given = list(signs)
    return Tally(wins=given.count(1), ties=given.count(0), losses=given.count(-1))


def _longer_by(assessment: Assessment, pair: Pair) -> int | None:
    """Characters that the output of the first of `pair` has more than that of the second."""
    if len(assessment.lengths) != 2:
        return None
    first, second = assessment.lengths
    return first - second if assessment.systems[0] == pair[0] else second - first


def _first(assessment: Assessment) -> int:
    return 1


def _longer(assessment: Assessment) -> int:
    return _sign(_longer_by(assessment, (assessment.systems[0], assessment.systems[1])) or 0)


def _habits(
    criteria: Sequence[str], assessments: Sequence[Assessment], sided: Any
) -> dict[str, Habit]:
    """By criterion, how often the better output was that on the side that `sided` gives: 1 for
    the first, -1 for the second, 0 for neither."""
    found = {}
    for criterion in criteria:
        signs = [
            _sign(each.preferences[criterion]) * sided(each)
            for each in assessments
            if criterion in each.preferences
        ]
        with_it, n = signs.count(1), sum(map(abs, signs))
        share = rate(with_it, n)
        if share is not None:
            found[criterion] = Habit(share, binomial_test(with_it, n))
    return found


def _ratings(assessments: Iterable[Assessment]) -> dict[Pair, list[tuple[float, str]]]:
    """By criterion and system: each rating with its item."""
    found: dict[Pair, list[tuple[float, str]]] = defaultdict(list)
    for each in assessments:
        for criterion, values in each.ratings.items():
            for system, value in zip(each.systems, values, strict=True):
                if value is not None:
                    found[criterion, system].append((value, each.item))
    return dict(sorted(found.items()))


def _rated(assessments: Sequence[Assessment]) -> tuple[Rated, ...]:
    by_system = _ratings(assessments)
    graded = {c for (c, _), given in by_system.items() if any(v not in (0, 1) for v, _ in given)}
    found = []
    for (criterion, system), given in by_system.items():
        values = [value for value, _ in given]
        mean = clustered_mean(values, [item for _, item in given])
        assert mean is not None  # noqa: S101 (a system without ratings isn't in the dictionary)
        share = None if criterion in graded else rate(sum(values), len(values))
        found.append(Rated(criterion, system, mean, share))
    return tuple(found)


def _rated_apart(assessments: Sequence[Assessment], baseline: str) -> tuple[RatedApart, ...]:
    found = []
    for pair, judged in _by_pair(assessments, baseline).items():
        by_system = _ratings(judged)
        for criterion in sorted({name for name, _ in by_system}):
            sides = [by_system.get((criterion, system), []) for system in reversed(pair)]
            first, second = (([v for v, _ in side], [item for _, item in side]) for side in sides)
            difference = clustered_difference(first, second)
            if difference is not None:
                found.append(RatedApart(criterion, *pair, difference, 1.0))
    adjusted = holm([each.difference.p or 0.0 for each in found])
    return tuple(replace(each, p_holm=p) for each, p in zip(found, adjusted, strict=True))


def _preferences_agreed(assessments: Sequence[Assessment]) -> list[Agreed]:
    by_criterion: dict[str, dict[Any, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for pair, judged in _by_pair(assessments, "").items():
        for each in judged:
            for criterion in each.preferences:
                given = _oriented(each, criterion, pair)
                by_criterion[criterion][each.item, pair][each.annotator] = given
    found = []
    for criterion, units in sorted(by_criterion.items()):
        kept = [unit for unit in units.values() if len(unit) > 1]
        signs = [{name: _sign(given) for name, given in unit.items()} for unit in kept]
        graded = any(abs(given) > 1 for unit in kept for given in unit.values())
        found.append(_agreed(criterion, "preference", signs, kept if graded else []))
    return found


def _ratings_agreed(assessments: Sequence[Assessment]) -> list[Agreed]:
    by_criterion: dict[str, dict[Any, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for each in assessments:
        # The same output beside another one is another unit: what stands beside it matters.
        together = tuple(sorted(each.systems))
        for criterion, values in each.ratings.items():
            for system, value in zip(each.systems, values, strict=True):
                if value is not None:
                    unit = by_criterion[criterion][each.item, together, system]
                    unit[each.annotator] = value
    found = []
    for criterion, units in sorted(by_criterion.items()):
        kept = [unit for unit in units.values() if len(unit) > 1]
        graded = len({value for unit in kept for value in unit.values()}) > 2
        found.append(_agreed(criterion, "rating", kept, kept if graded else []))
    return found


def _agreed(
    criterion: str,
    kind: str,
    units: Sequence[Mapping[str, float]],
    ordinal: Sequence[Mapping[str, float]],
) -> Agreed:
    values = [list(unit.values()) for unit in units]
    who = {tuple(sorted(unit)) for unit in units}
    kappa = None
    if len(who) == 1 and len(both := next(iter(who))) == 2:
        kappa = cohen_kappa([(unit[both[0]], unit[both[1]]) for unit in units])
    return Agreed(
        criterion=criterion,
        kind=kind,
        units=len(units),
        raw=raw_agreement(values),
        alpha=krippendorff_alpha(values),
        alpha_ordinal=krippendorff_alpha([list(unit.values()) for unit in ordinal], "ordinal"),
        kappa=kappa,
    )


def _rankings(criteria: Sequence[str], assessments: Sequence[Assessment]) -> dict[str, Ranking]:
    return {
        criterion: bradley_terry(
            [
                Game(*each.systems, (1 + _sign(each.preferences[criterion])) / 2, each.item)
                for each in assessments
                if len(each.systems) == 2 and criterion in each.preferences
            ]
        )
        for criterion in criteria
    }


def never_met(analysis: Analysis) -> list[Pair]:
    """The pairs of systems that were never compared directly."""
    met = {frozenset((contest.candidate, contest.baseline)) for contest in analysis.contests}
    return [pair for pair in combinations(analysis.systems, 2) if frozenset(pair) not in met]
