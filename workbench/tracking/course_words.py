"""The course of a run as lines for a person, the most important first."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator

from workbench.jobs.state import ENDED, NOT_STARTED
from workbench.text import visible
from workbench.tracking.course import MOVES, Course, Next
from workbench.tracking.view import duration

_DAY = 86_400.0


def lines(course: Course, width: int, *, state: bool = True) -> list[str]:
    """The course as lines of at most `width` columns, the most important first; `state` says
    whether they begin with the state's word and the step."""
    found = [""]
    for part in _parts(course, state=state):
        joined = f"{found[-1]}  {part}" if found[-1] else part
        if len(joined) <= width:
            found[-1] = joined
            continue
        found += _wrapped(part, width) if found[-1] else []
        if found[0] == "":
            found = _wrapped(part, width)
    return [visible(line, one_line=True) for line in found if line]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width))


def _parts(course: Course, *, state: bool) -> Iterator[str]:
    """In the order of their weight."""
    if state:
        yield course.state.upper()
        if course.total_steps:
            yield f"step {course.step:,}/{course.total_steps:,}"
    going = course.state not in (*ENDED, NOT_STARTED)
    if going:
        yield from _time_left(course)
    elif course.text:
        yield course.text
    remarkable = going and (course.link.lags or bool(course.link.host))
    if remarkable:
        yield _link(course)
    yield from _figures(course)
    if course.epoch is not None and course.epochs is not None:
        yield f"epoch {course.epoch:.2f}/{course.epochs:g}"
    if going:
        yield from _due_next(course)
        if not remarkable and (link := _link(course)):
            yield link


def _time_left(course: Course) -> Iterator[str]:
    if course.stopping:
        yield "it stops after this step"
        return
    if course.phase:
        yield course.phase
    eta = course.eta
    if eta is None:
        yield "how long it takes is not known yet"
        return
    work = "left" if course.state in MOVES else "of work left"
    span = f"{duration(eta.seconds)} {work} ({duration(eta.low)} to {duration(eta.high)})"
    if eta.basis == "forecast":
        span += " by its forecast"
    yield f"{span}, ends about {clock(eta.ends, course.now)}" if eta.ends else span
    if course.patience_left is not None and course.patience_left > 0:
        count = course.patience_left
        more = "1 more validation" if count == 1 else f"{count} more validations"
        yield f"or sooner: {more} without a new lowest loss end{'s' * (count == 1)} it"


def _figures(course: Course) -> Iterator[str]:
    if (loss := course.loss) is not None:
        yield f"loss {loss:.4f}"
    if course.validation is not None:
        told = f"validation {course.validation.loss:.4f}"
        best = course.best
        if best is None:
            yield told
        elif course.since_best == 0:
            yield f"{told}, the best"
        else:
            ago = f"{course.since_best} validation{'s' * (course.since_best > 1)} ago"
            yield f"{told}, best {best.loss:.4f} at step {best.step:,}, {ago}"
    if (speed := course.tokens_per_second) is not None:
        share = course.share_of_best
        of_what = "its best" if course.whole else "the best of its first and last steps"
        yield f"{speed:,.0f} tokens/s" + (f" ({100 * share:.0f} % of {of_what})" if share else "")


def _due_next(course: Course) -> Iterator[str]:
    def when(due: Next) -> str:
        at = "the end" if due.step == course.total_steps else f"step {due.step:,}"
        if due.step <= course.step:
            return "now"
        return f"at {at}" + ("" if due.seconds is None else f", in {duration(due.seconds)}")

    if (due := course.next_evaluation) is not None:
        yield f"next validation {when(due)}"
    if (due := course.next_checkpoint) is not None:
        sooner = course.checkpoint_if_best
        if_best = f", or at step {sooner:,} if that is the best" if sooner else ""
        yield f"next checkpoint {when(due)}{if_best}"


def _link(course: Course) -> str:
    """How old what is shown is."""
    link, parts = course.link, []
    if link.host:
        parts.append(f"runs on {link.host}")
    if course.last_word is not None:
        age = course.now - course.last_word
        parts.append(f"last word {duration(age)} ago" if age > -2 else _ahead(-age))
    if link.heartbeat is not None:
        parts.append(f"heartbeat {duration(course.now - link.heartbeat)} ago")
    if link.file_system:
        parts.append(f"read over {link.file_system}, where news may come late")
    return ", ".join(parts)


def _ahead(seconds: float) -> str:
    return f"its clock is {duration(seconds)} ahead of this one's"


def clock(at: float, now: float) -> str:
    """`14:20`, `Fri 14:20` within six days, else the date, in local time."""
    moment, today = time.localtime(at), time.localtime(now)
    if moment[:3] == today[:3]:
        return time.strftime("%H:%M", moment)
    return time.strftime("%a %H:%M" if at - now < 6 * _DAY else "%Y-%m-%d %H:%M", moment)
