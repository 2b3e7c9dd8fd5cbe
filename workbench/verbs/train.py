"""`workbench train`, `attach`, `status`, `stop`, `save`: runs while they go on."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.jobs.state import ENDED, describe
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs.common import OpenApp, add_app_options, add_settings, leaf, open_app, say
from workbench.verbs.following import follow_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = leaf(
        subparsers,
        "train",
        help="start a run in a process that outlives the terminal",
        run=_train,
        show=_show_started,
    )
    train.add_argument("config", nargs="?", metavar="CONFIG", help="a YAML file, or a name")
    add_settings(train)
    train.add_argument("--resume", metavar="RUN", help="go on with a run from its checkpoint")
    train.add_argument("--wait", action="store_true", help="print progress until the run ends")
    attach = leaf(
        subparsers,
        "attach",
        help="watch a run from its first step on",
        run=_attach,
        show=_show_status,
    )
    _run_argument(attach)
    add_app_options(attach)
    attach.add_argument("--plain", action="store_true", help="lines of text instead of the app")
    status = leaf(subparsers, "status", help="where a run is", run=_status, show=_show_status)
    _run_argument(status)
    stop = leaf(
        subparsers,
        "stop",
        help="stop a run after this step, with a checkpoint",
        run=_stop,
        show=_show_ack,
    )
    _run_argument(stop)
    stop.add_argument("--now", action="store_true", help="at once, without a new checkpoint")
    save = leaf(subparsers, "save", help="save a checkpoint now", run=_save, show=_show_ack)
    _run_argument(save)


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference",
        nargs="?",
        default=runs.LATEST,
        metavar="RUN",
        help="its id, the start of it, or `latest` (the default)",
    )


def _train(args: argparse.Namespace) -> dict[str, Any]:
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
        folder = runs.create(workspace, config, command=shlex.join(sys.argv), say=say)
    runs.start(folder)
    say(f"{folder.name} has started; it outlives this terminal.")
    if args.wait:
        follow_run(folder, say)
    return runs.summarise(folder).to_json()


def _attach(args: argparse.Namespace) -> OpenApp | dict[str, Any]:
    folder = runs.find(Workspace.find(args.workspace), args.reference)
    if args.plain or args.json or not sys.stdout.isatty():
        follow_run(folder, say)
        return runs.summarise(folder).to_json()
    return open_app(args, "monitor", run_id=folder.name)


def _status(args: argparse.Namespace) -> dict[str, Any]:
    folder = runs.find(Workspace.find(args.workspace), args.reference)
    return runs.summarise(folder).to_json()


def _stop(args: argparse.Namespace) -> dict[str, Any]:
    return _send(args, "stop_now" if args.now else "stop")


def _save(args: argparse.Namespace) -> dict[str, Any]:
    return _send(args, "save_now")


def _send(args: argparse.Namespace, command: str) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    folder = runs.find_job(workspace, args.reference)
    ack = runs.command(folder, command)
    job = str(folder.relative_to(workspace.runs))
    return {"run": job, "command": ack["command"], "acknowledged": True}


def _show_started(result: dict[str, Any]) -> None:
    _show_status(result)
    if result["status"] not in ENDED:
        print(f"Watch it with: workbench attach {result['id']}")


def _show_status(result: dict[str, Any]) -> None:
    steps = f"step {result['step']}/{result['total_steps']}" if result["total_steps"] else ""
    parts = (result["id"], result["status"], steps)
    print(visible("  ".join(part for part in parts if part)))
    print(visible(result["text"]))
    first, best = result["first_validation_loss"], result["best_validation_loss"]
    if result["loss"] is not None:
        print(f"training loss {result['loss']:.4f}")
    if best is not None:
        print(f"validation loss {first:.4f} at the start, {best:.4f} at best")


def _show_ack(result: dict[str, Any]) -> None:
    is_training = "/" not in result["run"]
    said = {
        "stop": "it stops after this step, with a checkpoint" if is_training else "it stops",
        "stop_now": "it is ended now, without a new checkpoint",
        "save_now": "a checkpoint is saved after this step",
    }
    print(f"{result['run']}: {said[result['command']]}.")
