"""What the Review screen says besides the texts that are judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text
from textual.widgets.option_list import Option

from workbench.review.report import Progress, Report
from workbench.review.session import Decision
from workbench.review.sessions import Listed
from workbench.review.wording import pace_line, progress_line, report_lines
from workbench.text import visible

EMPTY = """\
No review session yet.

A review puts outputs of two models, such as the base and your adapter, side by side, without \
names, and you say which is better. It needs an evaluation of a run:

    workbench eval RUN
    workbench review create NAME --from RUN

or a file with outputs from elsewhere; or press c.
"""
_MARKS = {"left": "A", "right": "B", "tie": "=", "skip": "–", "accept": "+", "reject": "x"}


def option(listed: Listed, annotator: str) -> Option:
    """A line of the list: name, when it was made, how far this annotator is."""
    name = Text(f"{visible(listed.name):<24}  ")
    if listed.problem:
        problem = visible(listed.problem, one_line=True)
        return Option(name.append(problem, style="dim"), disabled=True)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(listed.created))
    mine = [each for each in listed.annotators if each.annotator == annotator]
    line = progress_line(asdict(mine[0])) if mine else f"0 of {listed.items} judged"
    others = len(listed.annotators) - len(mine)
    also = f", {others} more judge{'s' * (others == 1)}" if others else ""
    locked = "  locked" if listed.locked else ""
    return Option(name.append(f"{day}  {line} by you{also}{locked}"), id=listed.name)


def report_text(report: Report) -> str:
    """The report, and what can be done now."""
    lines = report_lines(report.to_json())
    if report.locked is None:
        lines.append("U locks the session and says which system won.")
    else:
        lines.append(f"All of it: workbench review report {report.name}")
    if report.disputed > report.adjudicated:
        lines.append("A decides what others disagree on.")
    return "\n".join(lines)


def progress_text(name: str, progress: Progress, place: str, first: str) -> str:
    """How far the annotator is in the session `name`, and which task is shown. `first` stays in
    view on a narrow screen."""
    told = asdict(progress)
    who = f"as {progress.annotator}"
    parts = (first, name, progress_line(told), place, who, pace_line(told))
    return visible("  ·  ".join(part for part in parts if part))


def recent_text(decisions: Sequence[Decision]) -> str:
    """The last verdicts, the newest first."""
    last = [f"{each.index} {_mark(each)}" for each in decisions]
    return "last:  " + "   ".join(last or ["nothing yet"])


def _mark(decision: Decision) -> str:
    """A verdict in a few signs."""
    rated = "".join(map(str, decision.ratings.values()))
    return (rated or _MARKS[decision.choice]) + "!" * decision.flag
