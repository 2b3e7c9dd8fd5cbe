"""`workbench curves`: the figures of runs from their beginning on."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.jobs.state import HOST_LOG
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, table
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.charts.line import Line
    from workbench.history.history import History
    from workbench.history.logs import Logs

_COLUMNS = 1000
"""Buckets of a stretch below which its events are read one by one."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    curves = leaf(
        subparsers,
        "curves",
        help="losses, rates and the machine's figures over a run",
        run=_curves,
        show=_show,
    )
    curves.add_argument(
        "references",
        nargs="*",
        default=[finding.LATEST],
        metavar="RUN",
        help="its id, the start of it, or `latest` (the default)",
    )
    curves.add_argument(
        "--figure",
        nargs="+",
        default=[],
        metavar="NAME",
        help="such as loss, validation.loss, gradient_norm, gpu0.power; all by default",
    )
    curves.add_argument("--x", choices=("step", "tokens", "epoch", "time"), default="step")
    curves.add_argument("--from", type=float, dest="left", metavar="X", help="where to begin")
    curves.add_argument("--to", type=float, dest="right", metavar="X", help="where to end")
    curves.add_argument(
        "--points", type=_positive, metavar="N", help="at most so many, neighbours together"
    )
    curves.add_argument("--csv", action="store_true", help="print comma-separated values")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _curves(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    runs = [_run(workspace, reference, args) for reference in args.references]
    return {"x": args.x, "csv": args.csv, "runs": runs}


def _run(workspace: Workspace, reference: str, args: argparse.Namespace) -> dict[str, Any]:
    from workbench.history import reading
    from workbench.history.logs import Logs
    from workbench.tracking.runs import LOG

    folder = finding.find(workspace, reference)
    logs = Logs(folder, folder / LOG, folder / HOST_LOG)
    history = reading.read(logs)
    known = {
        name if group == "training" or name.startswith(("gpu", "host")) else f"{group}.{name}": (
            group,
            name,
        )
        for group in ("training", "validation", "machine")
        for name in history.figures(group)
    }
    if missing := [name for name in args.figure if name not in known]:
        raise WorkbenchError(
            f"{folder.name} has no figure {missing[0]}.",
            f"It has {', '.join(known) or 'none so far'}.",
        )
    close = _closer(history, logs, args)
    figures = {}
    for name in args.figure or known:
        group, figure = known[name]
        seen = history if group == "validation" else close
        if figure in seen.figures(group):
            line = seen.line(group, figure, args.x, args.left, args.right)
            listed = _listed(line, args)
            if any(mean is not None for mean in listed["mean"]):
                figures[name] = listed
    placed = [(mark, history.place(mark, args.x)) for mark in history.marks]
    marks = [{**asdict(m), "x": _number(place)} for m, place in placed if _within(place, args)]
    return {"run": folder.name, "figures": figures, "marks": marks}


def _closer(history: History, logs: Logs, args: argparse.Namespace) -> History:
    """The events of the stretch one by one, where the history has few buckets of it."""
    from workbench.history import window

    if (args.left is None and args.right is None) or history.span() is None:
        return history
    track = history.training
    where = track.between(args.x, args.left, args.right)
    if where.stop - where.start > (args.points or _COLUMNS):
        return history
    first, last = history.span(args.x) or (0.0, 0.0)
    bounds = (
        first if args.left is None else args.left,
        last if args.right is None else args.right,
    )
    left, right = (track.at(args.x, bound, "step") for bound in bounds)
    wanted = window.window(history, math.floor(left), math.ceil(right))
    return (
        history if wanted is None else window.read(wanted, logs.training, logs.machine) or history
    )


def _within(place: float, args: argparse.Namespace) -> bool:
    left = -math.inf if args.left is None else args.left
    return left <= place <= (math.inf if args.right is None else args.right)


def _listed(line: Line, args: argparse.Namespace) -> dict[str, list[float | None]]:
    """The buckets within the bounds, at most `args.points`; None where there is no value."""
    kept = [place for place, x in enumerate(line.x) if _within(x, args)]
    each = -(-len(kept) // args.points) if args.points and kept else 1
    listed: dict[str, list[float | None]] = {"x": [], "low": [], "high": [], "mean": []}
    for start in range(0, len(kept), each):
        group = slice(kept[start], kept[min(start + each, len(kept)) - 1] + 1)
        means = [mean for mean in line.mean[group] if mean == mean]
        listed["x"].append(line.x[group.start])
        listed["low"].append(_number(min(line.low[group])))
        listed["high"].append(_number(max(line.high[group])))
        listed["mean"].append(sum(means) / len(means) if means else None)
    return listed


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _show(result: dict[str, Any]) -> None:
    if result["csv"]:
        _print_csv(result)
        return
    for place, run in enumerate(result["runs"]):
        if place:
            print()
        print(run["run"])
        if not run["figures"]:
            print("There are no figures here so far.")
            continue
        x = result["x"]
        headers = ["figure", "first", "last", "least", f"at {x}", "greatest", f"at {x}"]
        print(table(headers, [_row(name, line) for name, line in run["figures"].items()]))
        for mark in run["marks"]:
            value = "" if mark["value"] is None else f" {mark['value']:.4f}"
            told = f"{mark['kind']} at step {mark['step']}{value} {mark['text']}"
            print(visible(told.rstrip(), one_line=True))


def _row(name: str, line: dict[str, list[float | None]]) -> list[str]:
    means = [mean for mean in line["mean"] if mean is not None]
    low, low_at = min((v, x) for v, x in zip(line["low"], line["x"], strict=True) if v is not None)
    high, high_at = max(
        (v, -(x or 0)) for v, x in zip(line["high"], line["x"], strict=True) if v is not None
    )
    shown = (means[0], means[-1], low, low_at, high, -high_at)
    return [name, *(f"{value:.10g}" if value is not None else "" for value in shown)]


def _print_csv(result: dict[str, Any]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["run", "figure", result["x"], "low", "high", "mean"])
    for run in result["runs"]:
        for name, line in run["figures"].items():
            for row in zip(*(line[column] for column in ("x", "low", "high", "mean")), strict=True):
                writer.writerow([run["run"], name, *row])
