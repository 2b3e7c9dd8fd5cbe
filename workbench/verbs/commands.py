"""`workbench stop`, `pause`, `resume`, `save`, `evaluate-now`, `log-every`, `stacks`, `restart`:
tell a job that goes on something."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobs.client import command
from workbench.jobs.state import GOING_ON, NOT_STARTED, describe, look
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf
from workbench.workspace import Workspace

_PAUSED = (
    "it waits after this step. Its memory, on the GPU too, stays held: pausing frees processors "
    "and SMs, nothing else"
)
_OF_TRAINING = {
    "stop": "it stops after this step, with a checkpoint",
    "stop_now": "it is ended now, without a new checkpoint",
    "pause": _PAUSED,
    "resume": "it goes on",
    "save_now": "a checkpoint is saved after this step",
    "evaluate_now": "the validation loss is measured after this step",
}
_OF_OTHERS = {
    "stop": "it stops after this batch; nothing half-done is left",
    "stop_now": "it is ended now",
    "pause": "it waits after this batch. Its memory stays held: pausing frees processors only",
    "resume": "it goes on",
}
_STACKS_WITHIN = 5.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stop = _add(subparsers, "stop", "stop a run after this step, with a checkpoint", _stop)
    stop.add_argument("--now", action="store_true", help="at once, without a new checkpoint")
    for name, sent, help in (
        ("pause", "pause", "let a run wait after this step; it keeps its memory"),
        ("resume", "resume", "let a paused run go on"),
        ("save", "save_now", "save a checkpoint after this step"),
        ("evaluate-now", "evaluate_now", "measure the validation loss after this step"),
    ):
        _add(subparsers, name, help, _sending(sent))
    again = leaf(
        subparsers,
        "restart",
        help="end a run with a checkpoint, and go on from there in a new process",
        run=_restart,
        show=_show,
    )
    again.add_argument(
        "--now", action="store_true", help="end it at once, and go on from its newest checkpoint"
    )
    again.add_argument("--wait", action="store_true", help="wait until the new process is there")
    _add_reference(again)
    every = leaf(
        subparsers,
        "log-every",
        help="log a run's figures every so many steps",
        run=_log_every,
        show=_show,
    )
    every.add_argument("steps", type=int, metavar="N")
    _add_reference(every)
    stacks = leaf(
        subparsers,
        "stacks",
        help="show what every thread of a run is at",
        run=_stacks,
        show=_show_stacks,
    )
    _add_reference(stacks)


def _add(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help: str,
    run: Callable[[argparse.Namespace], dict[str, Any]],
) -> argparse.ArgumentParser:
    parser = leaf(subparsers, name, help=help, run=run, show=_show)
    _add_reference(parser)
    return parser


def _add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference",
        nargs="?",
        default=finding.LATEST,
        metavar="RUN",
        help="a run's id, the start of it, `latest` (the default), or another job",
    )


def _stop(args: argparse.Namespace) -> dict[str, Any]:
    return _send(args, "stop_now" if args.now else "stop")


def _restart(args: argparse.Namespace) -> dict[str, Any]:
    """What goes on is ended and started again by its supervisor; what has ended is resumed."""
    from workbench.tracking import runs
    from workbench.tracking.orders import Standing

    workspace, folder = _find(args)
    name = "restart_now" if args.now else "restart"
    if folder.parent != workspace.runs:
        raise WorkbenchError(
            f"{args.reference} is no training, so it has no checkpoint to go on from."
        )
    standing = Standing.of(folder)
    told = {"run": folder.name, "command": name, "value": None, "acknowledged": True}
    if standing.status not in GOING_ON:
        if why := standing.why_not("go_on"):
            advice = f"A new run of its config: {runs.repeating(folder)}"
            raise WorkbenchError(f"{folder.name} can't be restarted. {why}", advice)
        runs.start(folder)
        kept = standing.checkpoint
        place = "from its beginning" if kept is None else f"from its checkpoint of step {kept:,}"
        return {**told, "text": f"it had ended ({standing.status}), and goes on {place}"}
    if why := standing.why_not(name):
        raise WorkbenchError(f"{folder.name} can't be restarted now. {why}")
    stake = standing.at_stake(at_once=args.now).rstrip(".")
    before = standing.state
    command(folder, name)
    said = "it is ended now" if args.now else "it ends after this step"
    said += f", and its supervisor starts it again, whatever becomes of this terminal. {stake}"
    if standing.status == "stalled" and not args.now:
        said += (
            f". It is stalled, so that a stop may never come: `workbench restart --now "
            f"{folder.name}` doesn't wait. {standing.at_stake(at_once=True)}"
        ).rstrip(".")
    if args.wait and before is not None:
        _wait_for_new(folder, before.pid)
        said += ". It goes on in a new process"
    return {**told, "text": said}


def _wait_for_new(folder: Path, pid: int) -> None:
    """Return once another process does the job. Raises WorkbenchError when it ends instead."""
    while True:
        state, status, text = look(folder)
        if status not in GOING_ON:
            raise WorkbenchError(f"{folder.name} did not start again: {status}. {text}")
        if state is not None and state.pid != pid:
            return
        time.sleep(0.1)


def _sending(name: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    return lambda args: _send(args, name)


def _log_every(args: argparse.Namespace) -> dict[str, Any]:
    return _send(args, "set_interval", args.steps)


def _find(args: argparse.Namespace) -> tuple[Workspace, Path]:
    workspace = Workspace.find(args.workspace)
    return workspace, finding.find_job(workspace, args.reference)


def _send(args: argparse.Namespace, name: str, value: int | None = None) -> dict[str, Any]:
    workspace, folder = _find(args)
    training = folder.parent == workspace.runs
    if not training and name not in _OF_OTHERS:
        raise WorkbenchError(f"{args.reference} is no training, so it can't do that.")
    job, (status, text) = finding.job_reference(workspace, folder), describe(folder)
    if status not in GOING_ON:
        raise WorkbenchError(f"{job} takes no commands: {status}. {text}", _instead(job, status))
    if training and name == "evaluate_now":
        from workbench.tracking.orders import Standing

        if why := Standing.of(folder).why_not(name):
            raise WorkbenchError(f"{job} can't do that now. {why}")
    command(folder, name, value)
    said = (_OF_TRAINING if training else _OF_OTHERS).get(name, f"it logs every {value} steps")
    if status == "restarting":
        said = "it is not started again"
    return {"run": job, "command": name, "value": value, "acknowledged": True, "text": said}


def _instead(job: str, status: str) -> str:
    """What can be done with a run in a state that takes no commands."""
    if status == NOT_STARTED:
        return (
            f"`workbench queue remove {job}` takes it out of the queue, `workbench train --resume "
            f"{job}` starts it."
        )
    return finding.how_to_go_on(job, status)


def _show(result: dict[str, Any]) -> None:
    print(visible(f"{result['run']}: {result['text']}."))


def _stacks(args: argparse.Namespace) -> dict[str, Any]:
    """Have the stacks written, and read what was added to the files."""
    _, folder = _find(args)
    files = folder / "stacks"
    before = {path: path.stat().st_size for path in files.glob("*.log")}
    command(folder, "dump_stacks")
    deadline = time.monotonic() + _STACKS_WITHIN
    added: dict[str, str] = {}
    # A rank writes within milliseconds; one that hangs in the kernel never does.
    while len(added) < max(1, len(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
        for path in sorted(files.glob("*.log")):
            text = path.read_bytes()[before.get(path, 0) :].decode(errors="replace")
            if text:
                added[path.stem] = text
    return {"run": args.reference, "folder": str(files), "stacks": added}


def _show_stacks(result: dict[str, Any]) -> None:
    for rank, text in result["stacks"].items():
        print(f"── {rank}")
        print(visible(text.rstrip()))
    if not result["stacks"]:
        print(f"No process wrote its stacks in time; look into {result['folder']} later.")
