"""`workbench runs verify`: whether what a run was made of is still what it was."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.text import visible
from workbench.tracking import finding
from workbench.tracking.verified import AROUND, CHANGED, MISSING, SAME, UNRECORDED
from workbench.verbs.common import leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace

_MARKS = {SAME: " ", CHANGED: "!", MISSING: "!", UNRECORDED: "?"}
_SHORT = 12
"""Digits that stand for a hash which has not changed."""
_HASH = 64


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench runs`."""
    parser = leaf(
        verbs,
        "verify",
        help="encode a run's rows anew, check every hash, say what has changed since",
        run=_verify,
        show=show_result(show),
    )
    add_run(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit code 1 also where only packages, code, git or machine have changed",
    )
    parser.add_argument("--all", action="store_true", help="print what is the same around it, too")
    add_detach(parser)
    parser.set_defaults(status_of=status)


def _verify(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.training import verify_job

    workspace = Workspace.find(args.workspace)
    run = finding.find(workspace, args.reference)

    def result(folder: Path) -> dict[str, Any]:
        asked = {"strict": args.strict, "all": args.all}
        return {**verify_job.read_result(folder), **asked}

    return do_job(args, lambda: verify_job.start(workspace, run), result)


def status(result: dict[str, Any]) -> int:
    """1 where something that the run rests on, or has made, is not as it was."""
    if result.get("detached"):
        return 0
    return int(not (result["unchanged"] and (result["same_around"] or not result["strict"])))


def show(result: dict[str, Any]) -> None:
    """Print what was found, a line a thing; of what is the same around the run only how many."""
    part = ""
    hidden = 0
    for line in result["lines"]:
        if line["part"] == AROUND and line["state"] == SAME and not result["all"]:
            hidden += 1
            continue
        if line["part"] != part:
            part = line["part"]
            print(part)
        for text in _told(line):
            print(visible(text, one_line=True))
    if hidden:
        print(f"  {hidden} more are the same around it; --all shows them")
    for text in result["notices"]:
        print(visible(f"! {text}", one_line=True))
    print(_verdict(result))


def _told(line: dict[str, str]) -> list[str]:
    head = f"{_MARKS[line['state']]} {line['state']:12} {line['name']}"
    was, now = line["was"], line["now"]
    if line["state"] == SAME:
        value = was[:_SHORT] if len(was) == _HASH else was
        return [f"{head}  {value}" if len(head) + len(value) < 79 else head]
    if line["state"] == UNRECORDED:
        return [head, *([f"{'':10}is {now or was}"])]
    if len(head) + len(was) + len(now) < 70:
        return [f"{head}: {was} -> {now}"]
    return [head, f"{'':10}was {was}", f"{'':10}is  {now}"]


def _verdict(result: dict[str, Any]) -> str:
    lines = result["lines"]
    run = visible(result["run"])
    if not result["unchanged"]:
        count = sum(
            line["state"] in (CHANGED, MISSING) and line["part"] != AROUND for line in lines
        )
        return f"{run} is not what it was: {count} of what it rests on or made has changed."
    if any(line["state"] == UNRECORDED and line["part"] != AROUND for line in lines):
        return f"{run}: nothing recorded has changed; what has a ? was never recorded."
    if not result["same_around"]:
        return f"{run} rests on what it did; only what is around it has changed."
    return f"{run} is what it was, and so is all around it."
