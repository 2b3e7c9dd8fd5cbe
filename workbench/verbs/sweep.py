"""`workbench sweep`: several runs of one config, made, compared and ended."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any, get_args

from workbench.config.sweep import Metric
from workbench.errors import WorkbenchError
from workbench.jobs.state import ENDED
from workbench.queue import attendance
from workbench.sweeps import comparison, making, store
from workbench.text import visible
from workbench.tracking.finding import job_reference
from workbench.tracking.view import ago, duration
from workbench.verbs.common import add_settings, group, leaf, say, table
from workbench.verbs.sweep_plan import cell, counted, load, plan, short_names, show_plan
from workbench.workspace import Workspace

_METRICS: tuple[Metric, ...] = get_args(Metric)
_HEADERS: dict[Metric, str] = {
    "validation_loss": "val best",
    "validation_loss_last": "val last",
    "validation_loss_first": "val first",
    "train_loss": "train loss",
    "tokens_per_second": "tokens/s",
    "peak_memory": "peak GiB",
    "seconds": "time",
}
"""Other metrics are called as in a config."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "sweep", help="several runs of one config, compared")
    planned = leaf(verbs, "plan", help="the runs that a sweep would make", run=plan, show=show_plan)
    start = leaf(verbs, "start", help="queue the runs of a sweep", run=_start, show=_show_started)
    for parser in (planned, start):
        parser.add_argument("config", metavar="CONFIG", help="a YAML file with `sweep:`, or a name")
        add_settings(parser)
    start.add_argument(
        "--no-start", action="store_true", help="leave starting to `workbench queue run`"
    )
    leaf(verbs, "list", help="every sweep, the newest first", run=_list, show=_show_list)
    show = leaf(
        verbs, "show", help="a sweep's runs side by side, the best first", run=_show, show=_print
    )
    show.add_argument("--metric", choices=_METRICS, metavar="METRIC", help=", ".join(_METRICS))
    stop = leaf(
        verbs,
        "stop",
        help="take its waiting runs out of the queue, stop those that run",
        run=_stop,
        show=_show_stopped,
    )
    resume = leaf(
        verbs,
        "resume",
        help="go on with an optuna search that was stopped or cut off",
        run=_resume,
        show=_show_resumed,
    )
    for parser in (show, stop, resume):
        parser.add_argument(
            "reference",
            nargs="?",
            default=store.LATEST,
            metavar="SWEEP",
            help="its id, the start of it, or `latest` (the default)",
        )


def _start(args: argparse.Namespace) -> dict[str, Any]:
    workspace, path, swept, planned = load(args)
    if args.no_start and swept.sweep.method == "optuna":
        raise WorkbenchError(
            "optuna chooses each run by the results of those before it: --no-start leaves it none."
        )
    record, added = making.start(
        workspace, swept, planned, source=path, command=shlex.join(sys.argv), say=say
    )
    job = ""
    if swept.sweep.method == "optuna":
        job = job_reference(workspace, making.start_search(workspace, record))
    elif not args.no_start and attendance.current(workspace) is None:
        attendance.start(workspace)
    return {
        "sweep": record.id,
        "method": swept.sweep.method,
        "runs": [entry.run for entry in added],
        "planned": record.planned,
        "job": job,
        "started": not args.no_start,
    }


def _show_started(result: dict[str, Any]) -> None:
    runs = result["runs"]
    if result["job"]:
        print(
            f"{result['sweep']}: {counted(result['planned'], 'run')} at most, one after another "
            f"by the results; {result['job']} sees to it, and outlives this terminal."
        )
    else:
        where = f" ({runs[0]} to {runs[-1]})" if len(runs) > 1 else f" ({runs[0]})"
        print(f"{result['sweep']}: {counted(len(runs), 'run')}{where} in the queue.")
        if not result["started"]:
            print("`workbench queue run` starts what waits.")
    print(f"Compare them with: workbench sweep show {result['sweep']}")


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    workspace = Workspace.find(args.workspace)
    return [_summary(workspace, name) for name in store.ids(workspace)]


def _summary(workspace: Workspace, name: str) -> dict[str, Any]:
    try:
        record = store.read(workspace, name)
    except WorkbenchError as error:
        return {"sweep": name, "problem": str(error)}
    found = comparison.compare(workspace, record)
    best = found.best[0] if found.best else None
    states: dict[str, int] = {}
    for line in found.lines:
        states[line.status] = states.get(line.status, 0) + 1
    return {
        "sweep": name,
        "problem": "",
        "created": record.created,
        "method": record.sweep.method,
        "fields": list(record.sweep.fields),
        "planned": record.planned,
        "runs": len(found.lines),
        "states": states,
        "metric": found.metric,
        "best": best.run if best else None,
        "value": best.figures[found.metric] if best else None,
    }


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print("There are no sweeps yet. `workbench sweep start CONFIG` makes one.")
        return
    rows = []
    for one in result:
        if one["problem"]:
            rows.append([one["sweep"], "damaged", "", "", one["problem"], ""])
            continue
        states = ", ".join(f"{count} {word}" for word, count in one["states"].items())
        best = "–"
        if one["best"]:
            best = f"{one['best']}: {one['metric']} {_figure(one['metric'], one['value'])}"
        rows.append(
            [
                one["sweep"],
                one["method"],
                f"{one['runs']}/{one['planned']}",
                states or "–",
                best,
                ago(one["created"]),
            ]
        )
    print(table(["sweep", "method", "runs", "states", "best so far", "asked for"], rows))


def _show(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    record = store.find(workspace, args.reference)
    found = comparison.compare(workspace, record, args.metric)
    return {**found.to_json(), "method": record.sweep.method, "source": record.source}


def _print(result: dict[str, Any]) -> None:
    metric: Metric = result["metric"]
    lines = result["lines"]
    print(
        visible(
            f"{result['sweep']}: {result['method']}, {len(lines)} of "
            f"{counted(result['planned'], 'run')}, from {result['source']}"
        )
    )
    if lines:
        names = short_names([list(line["values"]) for line in lines])
        others = [m for m in _METRICS if m != metric and _has_any(lines, m)]
        shown: list[Metric] = [metric, *others]
        left_out: list[Metric] = []
        text = _side_by_side(lines, names, shown)
        # Piped, or in a file, there is room for all of it.
        room = shutil.get_terminal_size((0, 24)).columns
        while room and len(shown) > 1 and max(map(len, text.splitlines())) > room:
            left_out.insert(0, shown.pop())
            text = _side_by_side(lines, names, shown)
        print(text)
        if left_out:
            print(f"No room here for {', '.join(left_out)}: --metric NAME, or --json.")
        _print_best(result)
    for remark in result["remarks"]:
        print(visible(remark))


def _side_by_side(
    lines: Sequence[dict[str, Any]], names: dict[str, str], metrics: Sequence[Metric]
) -> str:
    rows = [
        [
            _place(line),
            line["run"],
            line["status"],
            *(cell(line["values"].get(path)) for path in names),
            *(_figure(m, line["figures"].get(m)) for m in metrics),
        ]
        for line in lines
    ]
    return table(
        ["", "run", "state", *names.values(), *(_HEADERS.get(m, m) for m in metrics)], rows
    )


def _print_best(result: dict[str, Any]) -> None:
    metric: Metric = result["metric"]
    best = [line for line in result["lines"] if line["place"] == 1]
    if not best:
        print(f"None has a {metric} yet.")
        return
    figure = _figure(metric, best[0]["figures"][metric])
    how = f"{metric} {figure}, {result['better']} is better"
    if len(best) > 1:
        print(f"{' and '.join(line['run'] for line in best)} tie for the best: {how}.")
        return
    values = ", ".join(f"{path}={cell(value)}" for path, value in best[0]["values"].items())
    so_far = "" if all(line["status"] in ENDED for line in result["lines"]) else " so far"
    print(visible(f"The best{so_far} is {best[0]['run']} ({values}): {how}.", one_line=True))


def _place(line: dict[str, Any]) -> str:
    if line["place"] is None:
        return "–"
    word = "best" if line["place"] == 1 else str(line["place"])
    return f"{word}, tie" if line["tied"] else word


def _has_any(lines: Sequence[dict[str, Any]], metric: Metric) -> bool:
    return any(line["figures"].get(metric) is not None for line in lines)


def _figure(metric: Metric, value: float | None) -> str:
    if value is None:
        return "–"
    return duration(value) if metric == "seconds" else comparison.shown(metric, value)


def _stop(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    record = store.find(workspace, args.reference)
    return {"sweep": record.id, **making.stop(workspace, record)}


def _show_stopped(result: dict[str, Any]) -> None:
    for job in result["search"]:
        print(f"{job} makes no more runs; `workbench sweep resume {result['sweep']}` goes on.")
    for run in result["removed"]:
        print(f"{run} is out of the queue; its folder stays as it is.")
    for run in result["stopped"]:
        print(f"{run} stops after this step, with a checkpoint.")
    if not (result["search"] or result["removed"] or result["stopped"]):
        print(f"Nothing of {result['sweep']} waits or runs.")
    elif result["removed"] or result["stopped"]:
        print("`workbench queue add --resume RUN` queues one of them again.")


def _resume(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    record = store.find(workspace, args.reference)
    if record.sweep.method != "optuna":
        raise WorkbenchError(
            f"{record.id} is no search: all of its runs were made when it was started "
            f"({record.sweep.method}).",
            "`workbench queue add --resume RUN` queues one of them again.",
        )
    if len(store.members(workspace, record)) >= record.planned:
        raise WorkbenchError(f"{record.id} has made all of its {counted(record.planned, 'run')}.")
    making.require_optuna()
    job = making.start_search(workspace, record)
    return {"sweep": record.id, "job": job_reference(workspace, job)}


def _show_resumed(result: dict[str, Any]) -> None:
    print(f"{result['job']} goes on with {result['sweep']}, and outlives this terminal.")
