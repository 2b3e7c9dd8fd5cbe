"""`workbench train`, `attach`: start a run, and watch it."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.jobs.state import ENDED, describe
from workbench.text import visible
from workbench.tracking import finding, runs
from workbench.tracking.notes import head
from workbench.verbs import advise, exposures
from workbench.verbs.common import OpenApp, add_app_options, add_settings, leaf, open_app, say
from workbench.verbs.following import follow_gate, follow_run
from workbench.verbs.naming import add_config, add_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = leaf(
        subparsers,
        "train",
        help="start a run in a process that outlives the terminal",
        run=_train,
        show=_show_started,
    )
    add_config(train, required=False)
    add_settings(train)
    train.add_argument("--resume", metavar="RUN", help="go on with a run from its checkpoint")
    train.add_argument("--wait", action="store_true", help="print progress until the run ends")
    attach = leaf(
        subparsers,
        "attach",
        help="watch a run from its first step on",
        run=_attach,
        show=show_status,
    )
    add_run(attach)
    add_app_options(attach)
    attach.add_argument("--plain", action="store_true", help="lines of text instead of the app")
    attach.add_argument("--compact", action="store_true", help="for a pane of a few lines")


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.planning import company

    workspace = Workspace.find(args.workspace)
    if args.resume:
        if args.config or args.settings:
            raise WorkbenchError("--resume goes on with the run's own config; leave CONFIG out.")
        folder = runs.find(workspace, args.resume)
        if describe(folder)[0] == "finished":
            raise WorkbenchError(f"The run {folder.name} has finished; there is nothing to resume.")
    else:
        if args.config is None:
            raise WorkbenchError(
                "Name the config to train.", "`workbench config new NAME` writes one."
            )
        path = loading.config_path(workspace, args.config)
        config = loading.load(path, args.settings)
        runs.check_inputs(workspace, config)
        say(exposures.text(exposures.of(workspace, config)))
        shown_by = advise.command(args.config, args.settings)
        if told := advise.in_one_line(advise.standing(workspace, config), shown_by):
            say(told)
        for warning in company.warnings(config):
            say(f"Warning: {warning}")
        folder = runs.create(workspace, config, command=shlex.join(sys.argv), say=say)
    runs.start(folder)
    count = runs.load_config(folder).job.processes
    how = f" in {count} processes" if count > 1 else ""
    say(f"{folder.name} has started{how}; it outlives this terminal.")
    if args.wait:
        follow_run(folder, say)
    else:
        follow_gate(folder, say)
    return runs.summarise(folder).to_json()


def _attach(args: argparse.Namespace) -> OpenApp | dict[str, Any]:
    folder = runs.find(Workspace.find(args.workspace), args.reference)
    if args.plain or args.json or not sys.stdout.isatty():
        follow_run(folder, say)
        return runs.summarise(folder).to_json()
    return open_app(args, "monitor", run_id=folder.name, compact=args.compact)


def _show_started(result: dict[str, Any]) -> None:
    show_status(result)
    if result["status"] not in ENDED:
        print(f"Watch it with: workbench attach {result['id']}")


def show_status(result: dict[str, Any]) -> None:
    """Print where a run is."""
    steps = f"step {result['step']}/{result['total_steps']}" if result["total_steps"] else ""
    parts = (result["id"], result["status"], steps)
    print(visible("  ".join(part for part in parts if part)))
    print(visible(result["text"]))
    if go_on := finding.how_to_go_on(result["id"], result["status"]):
        print(visible(go_on))
    if noted := head(result["tags"], result["notes"], result["notes_problem"]):
        print(noted)
    course = result.get("course", {}).get("lines", [])
    if result["status"] not in ENDED:
        print("".join(f"{line}\n" for line in course), end="")
    first, best = result["first_validation_loss"], result["best_validation_loss"]
    if result["loss"] is not None and (result["status"] in ENDED or not course):
        print(f"training loss {result['loss']:.4f}")
    if best is not None:
        print(f"validation loss {first:.4f} at the start, {best:.4f} at best")
    for alarm in result["alarms"]:
        print(visible(f"{alarm['severity']}: {alarm['name']}. {alarm['text']}", one_line=True))
    if result["alarms"]:
        print(visible(f"What to do: workbench alarms {result['id']}"))
