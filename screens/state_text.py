"""The head of the Monitor: where a run is, what isn't well, how it does, in lines of a width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from screens.widgets.gauge import bar
from workbench.alarms.standing import brief as in_brief
from workbench.jobs.state import ENDED, RESUMABLE
from workbench.text import visible
from workbench.tracking import course_words
from workbench.tracking.course import Course
from workbench.tracking.follower import News
from workbench.tracking.view import RunView
from workbench.tracking.words import setting

_NAME, _TAIL = 20, 5
"""Cells that a run's name has at least, and characters of its end that stay."""
_PLAIN = ("running", "finished")
"""States whose sentence says no more than their word."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head tells of."""

    news: News
    """The newest."""
    course: Course
    view: RunView
    doing: str
    """What jobs on the run besides its training are at."""
    trouble: str
    """Why there is no news; empty as long as all is well."""

    def urgent(self) -> Iterator[str]:
        """What isn't as it should be, the gravest first, and what is done with the run."""
        if self.trouble:
            yield self.trouble
        if self.news.alarms:
            yield f"{in_brief(self.news.alarms)} (a)  {self.news.alarms[0].text}"
        if self.news.status not in _PLAIN and self.news.text:
            resumable = self.news.status in RESUMABLE and not self.doing
            more = "  R goes on with it." if resumable else ""
            yield f"{self.news.text}{more}"
        if self.doing:
            yield self.doing

    def course_lines(self, width: int) -> list[str]:
        """How the run does."""
        # Neither what `urgent` says nor the state's word is said again.
        status, text = self.news.status, self.course.text
        again = status not in _PLAIN or text.rstrip(".").casefold() == status
        told = replace(self.course, text="") if again else self.course
        return course_words.lines(told, width, state=False)


def state(head: Head, width: int, most: int, *, ascii: bool = False) -> Text:
    """At most `most` lines beside the first: what is urgent, how the run does, what people say of
    it, and the machine that it is on."""
    news, view = head.news, head.view
    lines = list(head.urgent())
    if news.looked_through < 1:
        share = f"{news.looked_through:.0%}"
        lines.append(f"The curves are of places all over a long log; {share} is looked through.")
    lines += head.course_lines(width)
    if said := news.notes.head():
        lines.append(said)
    if view.started is not None and news.status not in ENDED:
        lines.append(setting(view.started))
    out = _headline(news, head.course, width, ascii=ascii)
    for line in lines[:most]:
        out.append("\n").append(visible(line, one_line=True))
    return out


def brief(head: Head, width: int) -> Text:
    """Two lines, for a pane of a few: where it is; and what is urgent, else how it does."""
    said = [*head.urgent(), *head.course_lines(width)]
    first = visible(said[0], one_line=True) if said else ""
    return _headline(head.news, head.course, width).append("\n").append(first)


def _headline(news: News, told: Course, width: int, *, ascii: bool | None = None) -> Text:
    """The run, its state's word, where it is; with a bar where `ascii` says how to draw it. A long
    name is cut in its middle: state and step are more, and its number tells runs apart."""
    out = Text(no_wrap=True)
    out.append(f"  {news.status.upper()} ", "reverse")
    if told.total_steps:
        out.append(f"  step {told.step:,}/{told.total_steps:,}")
        share = told.step / told.total_steps
        drawn = "" if ascii is None else f"{bar(share, 20, ascii=ascii)} "
        out.append(f"  {drawn}{share:.0%}")
    if told.phase:
        out.append(f"  {visible(told.phase, one_line=True)}")
    name = visible(news.run.name, one_line=True)
    room = max(_NAME, width - out.cell_len)
    if cell_len(name) > room:
        name = f"{set_cell_size(name, room - _TAIL - 2)}..{name[-_TAIL:]}"
    return Text(name, "bold", no_wrap=True).append_text(out)
