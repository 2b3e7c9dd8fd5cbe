"""How a training went and what was measured of it, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.evaluation import telling
from workbench.evaluation.request import read_scores
from workbench.jobs.log import read_all
from workbench.tracking import runs
from workbench.tracking.summary import harness_results
from workbench.tracking.view import RunView, duration
from workbench.tracking.words import memory, setting


def course(run: Path) -> Iterator[str]:
    """How a training went: steps, tokens, losses."""
    view = RunView()
    view.feed(read_all(run / runs.LOG))
    told = facts(view)
    if not told:
        yield "It took no step."
        return
    yield from (f"- {fact}" for fact in told)
    for evaluation in view.evaluations:
        yield f"- validation loss after step {evaluation.step}: {evaluation.loss:.4f}"


def facts(view: RunView) -> list[str]:
    """Steps, time, machine, tokens, memory and training loss; nothing before the first step."""
    started, first, last = view.started, view.first_step, view.last_step
    if started is None or first is None or last is None:
        return []
    share = started.trainable_parameters / max(1, started.parameters)
    told = [
        f"{view.step} of {view.total_steps} steps in {duration(view.seconds)}",
        setting(started),
        f"{view.tokens:,} tokens, {view.trained_tokens:,} of them trained",
        f"{started.trainable_parameters:,} of {started.parameters:,} parameters ({share:.2%})",
    ]
    if view.rehearsed is not None:
        told.append(f"memory, in the rehearsal of the largest batches: {memory(view.rehearsed)}")
    return [*told, f"training loss {first.loss:.4f} -> {last.loss:.4f}"]


def scores(run: Path) -> Iterator[str]:
    """The newest evaluation's figures, and those of lm-evaluation-harness, as tables."""
    newest, others = runs.newest_evaluation(run), harness(run)
    if newest is None and not others:
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
    for result in others:
        yield ""
        yield "### lm-evaluation-harness"
        yield ""
        yield from _tables(telling.figures(result), telling.changes(result))


def measured(run: Path) -> bool:
    """Whether there are `scores`."""
    return runs.newest_evaluation(run) is not None or bool(harness_results(run))


def harness(run: Path) -> list[dict[str, Any]]:
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
