"""What a review can't conclude, in sentences, from its own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from workbench.review.analysis import Analysis, Contest, never_met
from workbench.statistics.agreement import RELIABLE, TENTATIVE
from workbench.statistics.bootstrap import FEW
from workbench.statistics.ranking import RESAMPLES

ALPHA = 0.05
_BALANCED = (0.4, 0.6)
_FEW_UNITS = 30


def limits(analysis: Analysis, *, shown_in_order: bool = True) -> list[str]:
    """Sentences, the most particular first."""
    return [
        *_contests(analysis),
        *_rankings(analysis),
        *_habits(analysis, shown_in_order),
        *_agreement(analysis),
        *_sample(analysis),
    ]


def _contests(analysis: Analysis) -> Iterator[str]:
    for contest in analysis.contests:
        who = f"{contest.candidate} against {contest.baseline}, {contest.criterion}"
        if contest.p_holm > ALPHA:
            yield f"{who}: no preference is shown (p {p_value(contest.p_holm)}).{_more(contest)}"
        elif not contest.by_item.decided_whenever_looked_at:
            yield (
                f"{who}: the preference holds if the number of judgements was fixed beforehand. "
                "If somebody looked at results and stopped when they were clear, it doesn't yet."
                f"{_more_whenever(contest)}"
            )
        controlled = contest.length_controlled
        if controlled and contest.p_holm <= ALPHA and controlled.low <= 0.5 <= controlled.high:
            yield f"{who}: at equal length no preference is shown; length may explain it."
        if not _BALANCED[0] <= contest.first_share <= _BALANCED[1]:
            yield (
                f"{who}: {contest.candidate} stood first in {contest.first_share:.0%} of the "
                "judgements, so a habit to prefer a side would count as a preference."
            )
    for first, second in never_met(analysis) if analysis.contests else ():
        ranked = any(ranking.strengths for ranking in analysis.rankings.values())
        way = (
            "only the ranking relates them, by way of others" if ranked else "nothing relates them"
        )
        yield f"{first} and {second} were never compared: {way}."


def _more(contest: Contest) -> str:
    """How many more items would decide it."""
    more = contest.by_item.more_to_decide
    if contest.p <= ALPHA:
        alone = f"This contest alone would show one (p {p_value(contest.p)})"
        return f" {alone}; among several it may be chance."
    if more is None:
        return " The items stand level, so no number of more items can be named."
    needed = contest.by_item.still_needed
    power = f", {needed} more without a tie for a chance of 80 %" if needed else ""
    half = f"about {max(more, 1)} more items would decide it in half of all cases"
    return f" At this rate {half}{power}."


def _more_whenever(contest: Contest) -> str:
    more = contest.by_item.more_whenever_looked_at
    return f" At this rate about {more} more items would make it hold." if more else ""


def _rankings(analysis: Analysis) -> Iterator[str]:
    for criterion, ranking in analysis.rankings.items():
        if ranking.problem:
            yield f"{criterion}: the systems can't be ranked: {ranking.problem}"
        if ranking.left_out:
            yield (
                f"{criterion}: {ranking.left_out} of {RESAMPLES} resamples gave no ranking and "
                "were left out, so its intervals are too narrow."
            )
        strengths = ranking.strengths
        for better, worse in pairwise(strengths):
            if worse.high >= better.low:
                yield (
                    f"{criterion}: the intervals of {better.system} and {worse.system} in the "
                    "ranking overlap; their order rests on the contests, where they met."
                )


def _habits(analysis: Analysis, shown_in_order: bool) -> Iterator[str]:
    if not shown_in_order and analysis.contests:
        yield "Which output stood first isn't known, so a habit to prefer a side can't be seen."
    for criterion, habit in analysis.position.items():
        if habit.p <= ALPHA:
            side = "first" if habit.rate.value > 0.5 else "second"
            yield (
                f"{criterion}: the output shown {side} was preferred more often than chance allows "
                f"(p {p_value(habit.p)}). Where sides were balanced this blurs differences and "
                "does not make any."
            )
    for criterion, habit in analysis.length.items():
        if habit.p <= ALPHA:
            what = "longer" if habit.rate.value > 0.5 else "shorter"
            yield (
                f"{criterion}: the {what} output was preferred more often than chance allows "
                f"(p {p_value(habit.p)}). Whether for its length or for what it says, this can't "
                "tell; the length-controlled rate says what is left at equal length."
            )


def _agreement(analysis: Analysis) -> Iterator[str]:
    for agreed in analysis.agreement:
        what = f"{agreed.criterion} ({agreed.kind})"
        if not agreed.units:
            yield f"{what}: nothing was judged by two annotators, so agreement isn't known."
            continue
        if agreed.units < _FEW_UNITS:
            yield f"{what}: agreement rests on {agreed.units} that two annotators judged."
        alpha = agreed.alpha_ordinal or agreed.alpha
        if alpha is None:
            yield f"{what}: all who judged the same gave one single value, so alpha isn't defined."
        elif alpha.value < RELIABLE:
            bound = TENTATIVE if alpha.value < TENTATIVE else RELIABLE
            yield (
                f"{what}: alpha is {alpha.value:.3f}, below {bound}, from where on Krippendorff "
                f"allows {'tentative' if bound == TENTATIVE else 'firm'} conclusions. Single "
                "judgements are a matter of who judged; shares of many items average it out."
            )


def _sample(analysis: Analysis) -> Iterator[str]:
    if analysis.items < FEW:
        yield (
            f"{analysis.items} items are too few for intervals by the bootstrap, "
            f"which are too narrow below some {FEW}."
        )
    people = len(analysis.annotators)
    judges = "one annotator" if people == 1 else f"these {people} annotators"
    yield (
        f"Intervals are over items. They say what more items of this kind would give, judged by "
        f"{judges}; other annotators and other prompts may differ by more."
    )


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
