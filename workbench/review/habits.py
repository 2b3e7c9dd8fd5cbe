"""How one annotator judges so far: of this nothing says which system is which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from workbench.review import database, judgements
from workbench.review.report import Progress
from workbench.review.session import Session
from workbench.review.wording import left_line, pace_line, progress_line
from workbench.statistics.proportions import Rate, rate

_LAST = 10
"""Verdicts that count for nothing in the consistency: else who watches it would see with which
task it changes, and know that one for a repeat."""


@dataclass(frozen=True, slots=True)
class Habits:
    """Of an annotator's own verdicts that stand, without adjudications."""

    progress: Progress
    choices: Mapping[str, int]
    """How often each was given, without skips."""
    same: int
    """Of the hidden repeats, how many got the same verdict; without the last verdicts."""
    repeats: int
    flagged: int

    @property
    def left_share(self) -> Rate | None:
        """The share of left among left and right, as in a report."""
        left, right = self.choices.get("left", 0), self.choices.get("right", 0)
        return rate(left, left + right)


def of(session: Session, annotator: str) -> Habits:
    """An annotator's habits, as they are on disk now."""
    with database.reading(session.path) as connection:
        standing = judgements.standing(connection, annotator)
    own = [j for j in standing if not j.adjudicates]
    same, repeats = judgements.consistency(own[:-_LAST]).get(annotator, (0, 0))
    chosen = Counter(j.choice for j in own if not j.skipped)
    return Habits(
        session.progress(annotator), dict(chosen), same, repeats, sum(j.flag for j in own)
    )


def lines(habits: Habits) -> Iterator[str]:
    """In words, for a narrow screen: progress and pace, then what was chosen, then the habits."""
    progress = asdict(habits.progress)
    left = progress["total"] - progress["judged"] - progress["skipped"] + progress["waiting"]
    pace = pace_line(progress)
    yield f"{progress_line(progress)}, {left} to go{pace and f'  ·  {pace}'}"
    chosen = ", ".join(f"{_CHOSEN.get(name, name)} {n}" for name, n in habits.choices.items())
    flagged = f"  ·  flagged {habits.flagged}" if habits.flagged else ""
    yield f"chosen: {chosen or 'nothing yet'}{flagged}"
    if (share := habits.left_share) is not None:
        yield left_line(asdict(share))
    if habits.repeats:
        yield (
            f"Of {habits.repeats} shown twice {habits.same} got the same verdict, without the last "
            f"{_LAST} verdicts."
        )


_CHOSEN = {"left": "A", "right": "B"}
