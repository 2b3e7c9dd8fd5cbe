"""How a training went and what was measured of it, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.alarms import reading
from workbench.evaluation import telling
from workbench.evaluation.request import read_scores
from workbench.jobs.log import read_all
from workbench.tracking import comparison, runs
from workbench.tracking.summary import harness_results
from workbench.tracking.view import RunView, duration
from workbench.tracking.words import memory, setting


def course(run: Path) -> Iterator[str]:
    """How a training went: steps, tokens, losses."""
    view = RunView()
    view.feed(read_all(run / runs.LOG))
    if view.started is None or view.first_step is None or view.last_step is None:
        yield "It took no step."
        return
    started = view.started
    share = started.trainable_parameters / started.parameters
    yield f"- {view.step} of {view.total_steps} steps in {duration(view.seconds)}"
    yield f"- {setting(started)}"
    yield f"- {view.tokens:,} tokens, {view.trained_tokens:,} of them trained"
    yield f"- {started.trainable_parameters:,} of {started.parameters:,} parameters ({share:.2%})"
    if view.rehearsed is not None:
        yield f"- memory, in the rehearsal of the largest batches: {memory(view.rehearsed)}"
    yield f"- training loss {view.first_step.loss:.4f} -> {view.last_step.loss:.4f}"
    for evaluation in view.evaluations:
        yield f"- validation loss after step {evaluation.step}: {evaluation.loss:.4f}"


def alarms(run: Path) -> Iterator[str]:
    """What was not well while it trained; nothing where all was."""
    told = reading.read(run, runs.LOG)
    if not told.standing and not told.past:
        return
    yield "## Alarms"
    yield ""
    for episode in told.past + told.standing:
        alarm = episode.alarm
        if episode.until is not None:
            how = f"for {duration(episode.until - alarm.since_time)}"
        else:
            how = "to its end" if told.ended else "still"
        since = f"from step {alarm.since_step} on, {how}"
        yield f"- {alarm.severity} {alarm.name} {since}: {alarm.text}"
        yield f"  {alarm.next_step}"
    yield ""


def expectations(run: Path) -> Iterator[str]:
    """What was forecast of a run beside what was measured; nothing where nothing was forecast."""
    view = RunView()
    view.feed(read_all(run / runs.LOG))
    if lines := list(comparison.table(view)):
        yield "## Forecast and measurement"
        yield ""
        yield from lines
        yield ""


def scores(run: Path) -> Iterator[str]:
    """The newest evaluation's figures, and those of lm-evaluation-harness, as tables."""
    newest, harness = runs.newest_evaluation(run), _harness(run)
    if newest is None and not harness:
        yield "It has not been evaluated: `workbench eval`."
        return
    if newest is not None:
        result = read_scores(newest)
        yield from _tables(
            telling.figures(result),
            telling.changes(result),
            telling.degeneration(result),
            *telling.labels(result),
            *telling.slices(result),
        )
        yield "In brackets 95 % intervals: Wilson's for shares, else by 2,000 resamples of rows."
    for result in harness:
        yield ""
        yield "### lm-evaluation-harness"
        yield ""
        yield from _tables(telling.figures(result), telling.changes(result))


def measured(run: Path) -> bool:
    """Whether there are `scores`."""
    return runs.newest_evaluation(run) is not None or bool(harness_results(run))


def _harness(run: Path) -> list[dict[str, Any]]:
    """Results of the harness, the newest first; without those of which a newer one has all."""
    found, shown = [], set[tuple[str, str]]()
    for result in harness_results(run):
        mine = {(system, name) for system, of in result["systems"].items() for name in of}
        if not mine <= shown:
            shown |= mine
            found.append(result)
    return found


def _tables(*told: telling.Told | None) -> Iterator[str]:
    for one in told:
        if one is not None:
            yield from telling.markdown(one)
