"""The report of several runs: what differs between them and what came of that, and which of their
differences can't be told from chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.jobs.events import Skipped
from workbench.redaction import redacted
from workbench.reporting import curves, doubt, intervals
from workbench.reporting.found import UNREADABLE, Body, Found, readable
from workbench.reporting.page import Block, Code, Heading, Points, Table, told
from workbench.text import size
from workbench.tracking import comparing, comparing_text
from workbench.tracking.columns import NOTHING
from workbench.tracking.view import duration
from workbench.workspace import Workspace


def blocks(workspace: Workspace, runs: Sequence[Found]) -> list[Block]:
    """The page of several runs; the first is what the others are held against."""
    body = redacted(_compared(workspace, [found.folder for found in runs]))
    page: list[Block] = [Heading(f"Comparison of {len(runs)} runs", 1)]
    page.append(f"Each is held against the first, {runs[0].id}.")
    # The tables come as: runs, config, own figures, the same rows, data, environment, problems.
    lines, config, own, paired, data, environment, *problems = comparing_text.tables(body)
    page += told(lines)
    missing = [f"{found.id}: {text}" for found in runs for text in found.missing]
    if missing:
        page += [Heading("What is missing"), Points(missing)]
    page += [Heading("What differs"), *told(config), *told(data), *told(environment)]
    page += [Heading("How they went"), *readable(_curves(runs))]
    page += [Heading("How well"), *told(paired), *readable(_changes(runs, body))]
    page += [*readable(_apart(body)), *told(own)]
    page += [block for table in problems for block in told(table)]
    page += [Heading("With what doubt"), Points(doubt.of_several(runs, body))]
    page += [Heading("How to repeat them"), *_repeat(runs)]
    return page


def _compared(workspace: Workspace, folders: Sequence[Path]) -> Body:
    """As `comparing.whole`; without tests where an evaluation is not what it should be."""
    try:
        return comparing.whole(workspace, folders)
    except UNREADABLE as error:
        problem = f"An evaluation can't be read ({type(error).__name__}: {error})."
        return {**comparing.plain(folders), "data": [], "paired": {"problem": problem}}


def _curves(runs: Sequence[Found]) -> Iterator[Block]:
    yield Table(
        ["run", "steps", "time", "tokens", "peak memory", "steps skipped", "alarms at the end"],
        [_course(found) for found in runs],
    )
    charts = list(curves.of_several(runs))
    yield from charts
    if not charts:
        yield "None of them has taken a step."
    if still := [found.id for found in runs if found.view.first_step is None]:
        yield f"Without a step: {', '.join(still)}."


def _course(found: Found) -> list[str]:
    view, line = found.view, found.summary
    peak = view.rehearsed.peak if view.rehearsed else None
    standing = found.alarms.standing if found.alarms else []
    return [
        found.id,
        f"{line.step}/{line.total_steps}",
        duration(view.seconds),
        f"{view.tokens:,}",
        NOTHING if peak is None else size(peak),
        str(found.counts[Skipped.type]),
        ", ".join(episode.alarm.name for episode in standing) or NOTHING,
    ]


def _changes(runs: Sequence[Found], body: Body) -> Iterator[Block]:
    measures = (runs[0].scores or {}).get("measures", {})
    yield from intervals.of_changes(body["paired"].get("comparisons", ()), measures)


def _apart(body: Body) -> Iterator[Block]:
    compared = body["paired"].get("comparisons")
    if not compared:
        return
    shown, unsure = doubt.told_apart(compared)
    yield Heading("What can't be told apart", 3)
    first = compared[0]["from"]
    if unsure:
        yield (
            f"From {first}, after Holm's correction for all of these tests (p above {doubt.ALPHA}):"
        )
        yield Points(unsure)
    yield f"Told apart from it: {doubt.listed(shown) or 'nothing'}."


def _repeat(runs: Sequence[Found]) -> Iterator[Block]:
    for found in runs:
        line = found.made.get("repeat")
        yield Code(line) if isinstance(line, str) else f"{found.id}: not known."
