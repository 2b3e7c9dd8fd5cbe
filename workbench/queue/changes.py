"""What a person does to the queue: add, move, remove."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.jobs.state import GOING_ON, UNREADABLE, describe
from workbench.queue import entries, standing
from workbench.queue.entries import Entry
from workbench.queue.standing import OVER, RUNNING, WAITING
from workbench.saying import Say
from workbench.tracking import runs
from workbench.workspace import Workspace


def add(
    workspace: Workspace,
    configs: Sequence[RunConfig],
    resumed: Sequence[Path],
    *,
    command: str | None,
    say: Say,
    sweeps: Sequence[Mapping[str, Any] | None] = (),
) -> list[Entry]:
    """Queue a new run of each config, made at once, and the runs in the folders `resumed`.

    `sweeps` says of each config what `runs.create` is told of its sweep; empty: of none.

    All or nothing: raises WorkbenchError, with nothing made and nothing queued, for whatever
    would stop one of them.
    """
    for config in configs:
        runs.check_inputs(workspace, config)
    going_on = [_to_go_on_with(folder) for folder in resumed]
    _check_not_queued(workspace, entries.read(workspace), going_on)
    workspace.ensure()
    for config in configs:
        base_models.prepare(workspace, config.model.base, say)
    made: list[Path] = []
    try:
        for config, sweep in zip(configs, sweeps or [None] * len(configs), strict=True):
            made.append(runs.create(workspace, config, command=command, say=say, sweep=sweep))
        added = [*(entries.of_run(folder) for folder in made), *going_on]
        with entries.changing(workspace) as queue:
            _check_not_queued(workspace, queue, going_on)
            # A run that has ended may not have left yet.
            queue[:] = [e for e in queue if e.run not in {new.run for new in added}]
            queue.extend(added)
    except WorkbenchError:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return added


def move(workspace: Workspace, reference: str, place: int | None = None, by: int = 0) -> Entry:
    """Move a waiting run to `place` among those that wait, 1 being the next, or `by` so many
    places. Beyond either end is that end.

    Raises WorkbenchError when no such run waits.
    """
    with entries.changing(workspace) as queue:
        entry = find(queue, reference)
        waiting = [e for e in queue if standing.of(workspace, e).word == WAITING]
        if entry not in waiting:
            word = standing.of(workspace, entry).word
            raise WorkbenchError(
                f"{entry.run} doesn't wait for its turn: it is {word}.",
                "`workbench queue list` shows what waits.",
            )
        at = waiting.index(entry) + by if place is None else place - 1
        order = [e for e in waiting if e != entry]
        order.insert(max(0, at), entry)
        others = [e for e in queue if e not in waiting]
        queue[:] = others + order
    return entry


def remove(workspace: Workspace, references: Sequence[str]) -> list[Entry]:
    """Take runs out of the queue, all or none; their folders stay as they are.

    Raises WorkbenchError when one isn't in it, or runs.
    """
    with entries.changing(workspace) as queue:
        found = [find(queue, reference) for reference in references]
        for entry in found:
            if standing.of(workspace, entry).word == RUNNING:
                raise WorkbenchError(
                    f"{entry.run} is running: it can't be taken out of the queue.",
                    f"`workbench stop {entry.run}` ends it, and then it leaves by itself.",
                )
        queue[:] = [e for e in queue if e not in found]
    return found


def find(queue: Sequence[Entry], reference: str) -> Entry:
    """The entry of a run by its id or the start of it.

    Raises WorkbenchError when there is none, or several.
    """
    exact = [e for e in queue if e.run == reference]
    matches = exact or [e for e in queue if e.run and e.run.startswith(reference)]
    if len({e.run for e in matches}) == 1:
        return matches[0]
    known = ", ".join(e.run for e in matches or queue if e.run)
    if matches:
        raise WorkbenchError(f"Several runs in the queue start with {reference}: {known}.")
    raise WorkbenchError(
        f"There is no run {reference} in the queue.",
        f"There are: {known}." if known else "It is empty.",
    )


def _to_go_on_with(folder: Path) -> Entry:
    """The entry of a run that is there already. Raises WorkbenchError when it can't go on."""
    word, text = describe(folder)
    if word == "finished":
        raise WorkbenchError(f"The run {folder.name} has finished; there is nothing to go on with.")
    if word in GOING_ON or word in UNREADABLE:
        raise WorkbenchError(f"The run {folder.name} can't be queued: it is {word}.", text)
    return entries.of_run(folder)


def _check_not_queued(
    workspace: Workspace, queue: Sequence[Entry], going_on: Sequence[Entry]
) -> None:
    names = [entry.run for entry in going_on]
    there = [e.run for e in queue if standing.of(workspace, e).word != OVER]
    for name in names:
        if name in there or names.count(name) > 1:
            where = "in the queue already" if name in there else "named twice"
            raise WorkbenchError(f"The run {name} is {where}.", "`workbench queue list` shows it.")
