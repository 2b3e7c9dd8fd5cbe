"""The report of an analysis as a page of text or of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.review.analysis import Agreed, Analysis, Contest, Habit
from workbench.review.limits import ALPHA, limits, p_value
from workbench.statistics.bootstrap import RESAMPLES, Estimate
from workbench.statistics.lengths import LengthControlled
from workbench.statistics.proportions import Rate
from workbench.text import visible


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Points:
    points: Sequence[str]


Block = Heading | Table | Points | str
"""A string is a paragraph."""


def blocks(
    analysis: Analysis, title: str, about: Sequence[str], *, shown_in_order: bool = True
) -> list[Block]:
    """The page: what was judged, who is preferred, ratings, ranking, habits, agreement, what
    can't be concluded, methods. `about` says where the judgements come from."""
    return [
        Heading(title),
        _sample(analysis),
        *about,
        *_contests(analysis),
        *_rated(analysis),
        *_rankings(analysis),
        *_habits(analysis),
        *_agreement(analysis.agreement),
        Heading("What can't be concluded"),
        Points(limits(analysis, shown_in_order=shown_in_order)),
        Heading("Methods"),
        Points(methods(analysis)),
    ]


def _sample(analysis: Analysis) -> str:
    people = len(analysis.annotators)
    return (
        f"{analysis.judgements} judgements of {analysis.items} items by {people} "
        f"annotator{'s' if people != 1 else ''}, of the systems {', '.join(analysis.systems)}."
    )


def _contests(analysis: Analysis) -> Iterator[Block]:
    for criterion in sorted({contest.criterion for contest in analysis.contests}):
        found = [contest for contest in analysis.contests if contest.criterion == criterion]
        yield Heading(f"Preferred: {criterion}")
        yield Table(
            ("SYSTEM", "AGAINST", "W/T/L", "WIN RATE", "95 %", "WILSON"),
            [_counts(contest) for contest in found],
        )
        yield "Once an item, for the system that more judgements are for:"
        yield Table(
            ("SYSTEM", "AGAINST", "W/T/L", "NO TIES", "95 %", "P, HOLM", "MORE"),
            [_by_item(contest) for contest in found],
        )
        yield Points([_conclusion(contest) for contest in found])
        controlled = [(c, c.length_controlled) for c in found if c.length_controlled]
        if controlled:
            yield "Win rate at equal length:"
            yield Table(
                ("SYSTEM", "AGAINST", "WIN RATE", "95 %", "CHANGE"),
                [_controlled(contest, seen) for contest, seen in controlled],
            )


def _conclusion(contest: Contest) -> str:
    p = f"p {p_value(contest.p_holm)}"
    if contest.p_holm > ALPHA:
        return f"Between {contest.candidate} and {contest.baseline} no preference is shown ({p})."
    wins = contest.by_item.wins > contest.by_item.losses
    better, worse = (contest.candidate, contest.baseline)[:: 1 if wins else -1]
    return f"{better} is preferred to {worse} ({p})."


def _counts(contest: Contest) -> list[str]:
    tally = contest.tally
    return [
        contest.candidate,
        contest.baseline,
        f"{tally.wins}/{tally.ties}/{tally.losses}",
        _number(contest.mean.value),
        _interval(contest.mean),
        _interval(tally.win_rate),
    ]


def _by_item(contest: Contest) -> list[str]:
    tally = contest.by_item
    seen, more = tally.decided_rate, tally.more_to_decide
    return [
        contest.candidate,
        contest.baseline,
        f"{tally.wins}/{tally.ties}/{tally.losses}",
        _number(seen.value) if seen else "–",
        _interval(seen),
        _p(contest.p_holm),
        "–" if more is None else str(more),
    ]


def _controlled(contest: Contest, seen: LengthControlled) -> list[str]:
    return [
        contest.candidate,
        contest.baseline,
        _number(seen.value),
        _interval(seen),
        f"{seen.value - contest.mean.value:+.3f}",
    ]


def _rated(analysis: Analysis) -> Iterator[Block]:
    for criterion in sorted({rated.criterion for rated in analysis.rated}):
        yield Heading(f"Rated: {criterion}")
        yield Table(
            ("SYSTEM", "N", "MEAN", "95 %", "WILSON"),
            [
                [
                    rated.system,
                    str(rated.mean.n),
                    _number(rated.mean.value),
                    _interval(rated.mean),
                    _interval(rated.share),
                ]
                for rated in analysis.rated
                if rated.criterion == criterion
            ],
        )
        apart = [each for each in analysis.rated_apart if each.criterion == criterion]
        if apart:
            yield "Where both were judged:"
            yield Table(
                ("SYSTEM", "AGAINST", "DIFFERENCE", "95 %", "P, HOLM"),
                [
                    [
                        each.candidate,
                        each.baseline,
                        f"{each.difference.value:+.3f}",
                        _interval(each.difference),
                        _p(each.p_holm),
                    ]
                    for each in apart
                ],
            )


def _rankings(analysis: Analysis) -> Iterator[Block]:
    for criterion, ranking in analysis.rankings.items():
        if ranking.strengths:
            yield Heading(f"Ranking: {criterion}")
            yield Table(
                ("SYSTEM", "LOG STRENGTH", "95 %"),
                [
                    [each.system, f"{each.value:+.4f}", f"{each.low:+.3f} to {each.high:+.3f}"]
                    for each in ranking.strengths
                ],
            )


def _habits(analysis: Analysis) -> Iterator[Block]:
    rows = [
        *(_habit(name, "shown first", habit) for name, habit in analysis.position.items()),
        *(_habit(name, "longer", habit) for name, habit in analysis.length.items()),
    ]
    if rows:
        yield Heading("Habits, ties left out")
        yield Table(("CRITERION", "PREFERRED WAS", "SHARE", "95 %", "N", "P"), rows)


def _habit(criterion: str, what: str, habit: Habit) -> list[str]:
    share = habit.rate
    return [criterion, what, _number(share.value), _interval(share), str(share.n), _p(habit.p)]


def _agreement(agreement: Sequence[Agreed]) -> Iterator[Block]:
    rows = [
        [each.criterion, measure, str(each.units), f"{found.value:.4f}", _interval(found)]
        for each in agreement
        for measure, found in (
            ("raw, by pair", each.raw),
            ("alpha, nominal", each.alpha),
            ("alpha, ordinal", each.alpha_ordinal),
            ("Cohen's kappa", each.kappa),
        )
        if found
    ]
    if rows:
        yield Heading("Agreement")
        yield Table(("CRITERION", "MEASURE", "UNITS", "VALUE", "95 %"), rows)


def methods(analysis: Analysis) -> list[str]:
    """How the numbers were made, in sentences."""
    found = [
        f"Intervals named 95 % of means, differences and agreement: percentiles of {RESAMPLES} "
        "bootstrap resamples of whole items (of units for agreement). Those named Wilson, and "
        "those of shares without ties, are Wilson's, which take every judgement for independent."
    ]
    if analysis.contests:
        found += [
            "W/T/L: wins, ties, losses. Win rate: a tie is half a win. P: the exact two-sided sign "
            "test over items without a tie, adjusted by Holm for all contests of this report.",
            "More: items still needed at the present rate, ties among them, until Wilson's "
            "interval of the share without ties excludes one half; if the rate is the true one, "
            "enough in about half of all cases. It is no rule for when to stop: looking again and "
            "again finds preferences where there are none.",
        ]
    if any(contest.length_controlled for contest in analysis.contests):
        found.append(
            "Win rate at equal length: logistic regression of the points on the tanh of the "
            "difference in characters over its spread, after Dubois et al. 2024, without their "
            "terms for instructions; the interval is robust to clusters of items."
        )
    if analysis.rated_apart:
        found.append(
            "Differences of ratings: P by the paired bootstrap over items, Holm over all of them."
        )
    if analysis.rankings:
        found.append(
            "Ranking: Bradley-Terry by maximum likelihood (choix), a tie as half a win for each; "
            "a difference d means odds of exp(d); the mean is 0; intervals by the bootstrap over "
            "items."
        )
    if analysis.agreement:
        found.append(
            "Agreement: alpha is Krippendorff's (2011). Of preferences, nominal tells better, "
            "worse and tie; ordinal also how clearly. Units are what two or more judged."
        )
    return found


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(found: Rate | Estimate | LengthControlled | None) -> str:
    if found is None:
        return "–"
    between = " to " if found.low < 0 else "–"
    return f"{found.low:.3f}{between}{found.high:.3f}"


def _p(p: float) -> str:
    return p_value(p).removeprefix("= ")


def as_text(page: Sequence[Block], width: int = 80) -> str:
    """The page for a terminal: paragraphs wrapped to `width` columns, tables as they are."""
    lines: list[str] = []
    for block in page:
        if lines and not isinstance(block, Table):
            lines.append("")
        if isinstance(block, Heading):
            lines.append(visible(block.text, one_line=True))
        elif isinstance(block, Table):
            lines += _table(block)
        elif isinstance(block, Points):
            for point in block.points:
                lines += textwrap.wrap(
                    visible(point), width, initial_indent="- ", subsequent_indent="  "
                )
        else:
            lines += textwrap.wrap(visible(block), width)
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    rows = [[visible(cell, one_line=True) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.headers, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if is_text(header) else cell.rjust(width)
            for header, cell, width in zip(table.headers, row, widths, strict=True)
        ).rstrip()
        for row in (table.headers, *rows)
    ]


def is_text(header: str) -> bool:
    """Whether a column holds names, not numbers."""
    return header in ("SYSTEM", "AGAINST", "CRITERION", "PREFERRED WAS", "MEASURE", "METRIC")


def as_markdown(page: Sequence[Block]) -> str:
    """The page as Markdown; the first heading is its title."""
    parts: list[str] = []
    for number, block in enumerate(page):
        if isinstance(block, Heading):
            parts.append(f"{'##' if number else '#'} {_plain(block.text)}")
        elif isinstance(block, Table):
            parts.append("\n".join(_markdown_rows(block)))
        elif isinstance(block, Points):
            parts.append("\n".join(f"- {_plain(point)}" for point in block.points))
        else:
            parts.append(_plain(block))
    return "\n\n".join(parts) + "\n"


def _markdown_rows(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(_title(header) for header in table.headers)} |"
    yield f"|{'|'.join('---' if is_text(header) else '---:' for header in table.headers)}|"
    for row in table.rows:
        yield f"| {' | '.join(map(_plain, row))} |"


def _title(header: str) -> str:
    return header if "/" in header or "," in header else header.capitalize()


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    shown = visible(text, one_line=True)
    return "".join(f"\\{c}" if c in "\\`*_[]<|" else c for c in shown)
