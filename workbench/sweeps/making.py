"""From a config with a sweep to runs in the queue; and the end of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from workbench.config.combinations import Combination, combinations, words
from workbench.config.sweep import Swept
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.jobs.client import command as send
from workbench.jobs.state import GOING_ON, describe
from workbench.jobs.waiting import wait
from workbench.queue import changes, entries
from workbench.queue.entries import Entry
from workbench.saying import Say
from workbench.sweeps import store
from workbench.sweeps.store import Record
from workbench.tracking import runs
from workbench.workspace import Workspace

SEARCH = "sweep"
"""The kind of task that asks optuna for one run after another."""
_INSTALL = "pip install 'finetune-workbench[sweep]'"


def plan(workspace: Workspace, swept: Swept, origin: str) -> list[Combination]:
    """Every run that a sweep makes; none of optuna, which chooses them one by one.

    Raises WorkbenchError with all that would stop one of them: what is no config, a dataset or a
    base that isn't there, optuna where it isn't installed.
    """
    if swept.sweep.method == "optuna":
        require_optuna()
    planned = combinations(swept, origin)
    check_inputs(workspace, planned or [Combination({}, swept.config)], origin)
    return planned


def remarks(planned: Sequence[Combination]) -> list[str]:
    """What is to be known of a plan before it is started."""
    bases = {one.config.model.base for one in planned}
    if len(bases) < 2 or any("training.learning_rate" in one.values for one in planned):
        return []
    rate = planned[0].config.training.learning_rate
    return [
        f"All {len(bases)} bases get the learning rate {rate:g}, and what is best for one need not "
        "be for another. Sweep training.learning_rate too, or each base for itself: `workbench "
        "config presets --base BASE` has its starting point."
    ]


def require_optuna() -> None:
    """Raises WorkbenchError where the extra isn't installed."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise WorkbenchError(
            "sweep.method is optuna, which is not installed.",
            f"Install it with {_INSTALL}, or use sweep.method random.",
        )


def check_inputs(workspace: Workspace, planned: Iterable[Combination], origin: str) -> None:
    """Raises WorkbenchError with everything that runs need and isn't there, each once."""
    wrong: dict[str, tuple[WorkbenchError, str]] = {}
    for one in planned:
        try:
            runs.check_inputs(workspace, one.config)
        except WorkbenchError as error:
            wrong.setdefault(str(error), (error, words(one.values)))
    if not wrong:
        return
    lines = [
        f"\n  {error.message}" + (f" (with {where})" if where else "")
        for error, where in wrong.values()
    ]
    hints = dict.fromkeys(error.hint for error, _ in wrong.values() if error.hint)
    raise WorkbenchError(f"{origin} can't be started:{''.join(lines)}", "\n".join(hints))


def start(
    workspace: Workspace,
    swept: Swept,
    planned: Sequence[Combination],
    *,
    source: str,
    command: str | None,
    say: Say,
) -> tuple[Record, list[Entry]]:
    """Write the sweep down and queue its runs, all or none; of optuna there are none yet.

    Raises WorkbenchError, with nothing left of it, for whatever would stop one of them.
    """
    count = len(planned) if planned else swept.sweep.budget
    record = store.create(workspace, swept, source=source, command=command, planned=count)
    try:
        return record, add(workspace, record, planned, command=command, say=say)
    except BaseException:
        store.forget(workspace, record)
        raise


def add(
    workspace: Workspace,
    record: Record,
    made: Sequence[Combination],
    *,
    command: str | None,
    say: Say,
    first: int = 1,
    asked: Sequence[dict[str, float]] = (),
) -> list[Entry]:
    """Queue runs of a sweep, numbered from `first`. Raises as `changes.add` does."""
    if not made:
        return []
    told = asked or [{}] * len(made)
    return changes.add(
        workspace,
        [one.config for one in made],
        [],
        command=command,
        say=say,
        sweeps=[
            store.membership(record.id, number, one.values, params)
            for number, (one, params) in enumerate(zip(made, told, strict=True), first)
        ],
    )


def start_search(workspace: Workspace, record: Record) -> Path:
    """Start the task that asks optuna for the runs of a sweep, or find it at work; its folder."""
    request = {"sweep": record.id}
    return tasks.start(workspace, SEARCH, "workbench.sweeps.search_job", request, join=True)


def stop(workspace: Workspace, record: Record) -> dict[str, list[str]]:
    """Take a sweep's waiting runs out of the queue and have those that run stop after their step,
    with a checkpoint; their folders stay. Returns the ids of both, and the search's task.

    Raises WorkbenchError when the queue can't be read or written.
    """
    done: dict[str, list[str]] = {"removed": [], "stopped": [], "search": []}
    # First what would make more of them.
    search = tasks.going_on(workspace, SEARCH, {"sweep": record.id})
    if search is not None:
        with suppress(WorkbenchError):  # it has just ended
            send(search, "stop")
            wait(search)
        done["search"].append(search.name)
    queued = {entry.run for entry in entries.read(workspace)}
    for member in store.members(workspace, record):
        if member.id in queued:
            with suppress(WorkbenchError):  # it has started
                changes.remove(workspace, [member.id])
                done["removed"].append(member.id)
        if describe(member.folder)[0] in GOING_ON:
            with suppress(WorkbenchError):  # it has just ended
                send(member.folder, "stop")
                done["stopped"].append(member.id)
    return done
