"""`workbench queue`: runs that start when the GPUs that they ask for are free."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from typing import Any

from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.queue import attendance, changes, overview, unit
from workbench.queue.runner import QueueRunner
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs import advise, exposures
from workbench.verbs.common import add_settings, group, leaf, say, width
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "queue", help="runs that start when their GPUs are free")
    _add_add(verbs)
    leaf(verbs, "list", help="what runs, what waits, and for what", run=_list, show=_show)
    move = leaf(verbs, "move", help="change when a waiting run's turn comes", run=_move, show=_show)
    move.add_argument("run_id", metavar="RUN", help="its id, or the start of it")
    where = move.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=position, metavar="N", help="its new number; 1 is the next")
    where.add_argument("--up", action="store_true", help="one place nearer to its turn")
    where.add_argument("--down", action="store_true", help="one place further from it")
    remove = leaf(
        verbs,
        "remove",
        help="take waiting runs out; their folders stay",
        run=_remove,
        show=_show_removed,
    )
    remove.add_argument("run_ids", nargs="+", metavar="RUN", help="its id, or the start of it")
    run = leaf(
        verbs,
        "run",
        help="start what waits, each in its turn, until Ctrl-C",
        run=_run,
        show=lambda result: None,
    )
    run.add_argument("--until-empty", action="store_true", help="end when nothing is left")
    leaf(
        verbs,
        "unit",
        help="print a systemd user unit that keeps the queue alive",
        run=_unit,
        show=lambda result: print(result["text"], end=""),
    )


def _add_add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = leaf(
        verbs, "add", help="queue a new run of each config, or an old one", run=_add, show=_show
    )
    add.add_argument("configs", nargs="*", metavar="CONFIG", help="a YAML file, or a name")
    add_settings(add)
    add.add_argument(
        "--resume",
        action="append",
        default=[],
        metavar="RUN",
        help="go on with a run from its checkpoint; may be given several times",
    )
    add.add_argument(
        "--no-start", action="store_true", help="leave starting to `workbench queue run`"
    )


def position(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("the first is 1")
    return number


def _add(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    if not args.configs and not args.resume:
        raise WorkbenchError(
            "Name the configs to queue.", "`workbench config new NAME` writes one."
        )
    if args.settings and not args.configs:
        raise WorkbenchError("--resume goes on with the run's own config; leave --set out.")
    paths = [loading.config_path(workspace, reference) for reference in args.configs]
    configs = [loading.load(path, args.settings) for path in paths]
    added = changes.add(
        workspace,
        configs,
        [runs.find(workspace, reference) for reference in args.resume],
        command=shlex.join(sys.argv),
        say=say,
    )
    for reference, config in zip(args.configs, configs, strict=True):
        say(exposures.text(exposures.of(workspace, config)))
        shown_by = advise.command(reference, args.settings)
        if told := advise.in_one_line(advise.standing(workspace, config), shown_by):
            say(told)
    if not args.no_start and attendance.current(workspace) is None:
        attendance.start(workspace)
    return {"runs": [entry.run for entry in added], **_look(workspace)}


def _list(args: argparse.Namespace) -> dict[str, Any]:
    return _look(Workspace.find(args.workspace))


def _look(workspace: Workspace) -> dict[str, Any]:
    return {"workspace": str(workspace.root), **overview.look(workspace).to_json()}


def _move(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    by = args.down - args.up
    entry = changes.move(workspace, args.run_id, args.to, by)
    return {"runs": [entry.run], **_look(workspace)}


def _remove(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    return {"runs": [entry.run for entry in changes.remove(workspace, args.run_ids)]}


def _run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    QueueRunner(workspace, say).run(until_empty=args.until_empty)
    return _look(workspace)


def _unit(args: argparse.Namespace) -> dict[str, Any]:
    text = unit.text(Workspace.find(args.workspace))
    return {"path": str(unit.path()), "text": text}


def _show(result: dict[str, Any]) -> None:
    if not result["lines"]:
        print("The queue is empty. `workbench queue add CONFIG` queues a run.")
        return
    _show_lines(result["lines"])
    runner = result["runner"]
    if runner is None:
        print("The queue has no runner: `workbench queue run` starts what waits.")
    else:
        until = ", and ends once the queue is empty" if runner["until_empty"] else ""
        print(f"Its runner is pid {runner['pid']} on {runner['host']}{until}.")


def _show_lines(lines: list[dict[str, Any]]) -> None:
    names = max(len(line["run"]) for line in lines)
    for line in lines:
        number = line["position"] or ("!" if line["status"] == "broken" else "▸")
        head = f"{number:>3}  {line['run']:{names}}  "
        text = visible(line["text"], one_line=True)
        rest = " " * len(head)
        print(textwrap.fill(text, width(), initial_indent=head, subsequent_indent=rest))


def _show_removed(result: dict[str, Any]) -> None:
    for run in result["runs"]:
        print(f"{run} is out of the queue; its folder stays as it is.")
        print(f"`workbench queue add --resume {run}` queues it again.")
