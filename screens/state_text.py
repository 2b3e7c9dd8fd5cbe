"""The head of the Monitor: where a run is, what isn't well, how it does, in lines of a width."""

from __future__ import annotations

from rich.text import Text

from screens.widgets.gauge import bar
from workbench.alarms.standing import brief as in_brief
from workbench.jobs.state import ENDED, RESUMABLE
from workbench.text import visible
from workbench.tracking import course
from workbench.tracking.course import Course
from workbench.tracking.follower import News
from workbench.tracking.view import RunView
from workbench.tracking.words import setting

_PLAIN = ("running", "finished")
"""States whose sentence says no more than their word."""


def state(
    news: News,
    told: Course,
    view: RunView,
    doing: str,
    width: int,
    most: int,
    *,
    ascii: bool = False,
) -> Text:
    """At most `most` lines beside the first: the worst alarm, what is remarkable of the state,
    the jobs on the run, its course, what people say of it, and the machine that it is on."""
    lines = []
    if news.alarms:
        lines.append(f"{in_brief(news.alarms)} (a)  {news.alarms[0].text}")
    if news.status not in _PLAIN and news.text:
        more = "  R goes on from its newest checkpoint." if news.status in RESUMABLE else ""
        lines.append(f"{news.text}{more}")
    if doing:
        lines.append(doing)
    if news.looked_through < 1:
        share = f"{news.looked_through:.0%}"
        lines.append(f"The curves are of places all over a long log; {share} is looked through.")
    lines += course.lines(told, width, state=False)
    if said := news.notes.head():
        lines.append(said)
    if view.started is not None and news.status not in ENDED:
        lines.append(setting(view.started))
    out = _headline(news, told, ascii=ascii)
    for line in lines[:most]:
        out.append("\n").append(visible(line, one_line=True))
    return out


def brief(news: News, told: Course, doing: str, width: int) -> Text:
    """Two lines, for a pane of a few: where it is; and what isn't as it should be, else how it
    does."""
    said = doing or (news.text if news.status not in _PLAIN else "")
    if not said and news.alarms:
        said = f"{in_brief(news.alarms)}  {news.alarms[0].text}"
    if not said:
        said = "".join(course.lines(told, width, state=False)[:1])
    return _headline(news, told).append("\n").append(visible(said, one_line=True))


def _headline(news: News, told: Course, *, ascii: bool | None = None) -> Text:
    """The run, its state's word, where it is; with a bar where `ascii` says how to draw it."""
    out = Text(no_wrap=True)
    out.append(visible(news.run.name, one_line=True), "bold")
    out.append(f"  {news.status.upper()} ", "reverse")
    if told.total_steps:
        out.append(f"  step {told.step:,}/{told.total_steps:,}")
        share = told.step / told.total_steps
        drawn = "" if ascii is None else f"{bar(share, 20, ascii=ascii)} "
        out.append(f"  {drawn}{share:.0%}")
    if told.phase:
        out.append(f"  {visible(told.phase, one_line=True)}")
    return out
