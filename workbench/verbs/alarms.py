"""`workbench alarms`: what isn't well with a run, why it matters, and what to do."""

from __future__ import annotations

import argparse
import time
from typing import Any

from workbench.text import visible
from workbench.tracking import finding
from workbench.tracking.view import ago, duration
from workbench.verbs.common import leaf
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    alarms = leaf(
        subparsers,
        "alarms",
        help="what isn't well with a run: why, and what to do",
        run=_alarms,
        show=_show,
    )
    add_run(alarms)


def _alarms(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.alarms.reading import read
    from workbench.tracking.runs import LOG

    return read(finding.find(Workspace.find(args.workspace), args.reference), LOG).to_json()


def _show(result: dict[str, Any]) -> None:
    run, status = result["run"], result["status"]
    if not result["standing"] and not result["past"]:
        print(visible(f"{run} ({status}): no alarms."))
        return
    count = len(result["standing"])
    when = "when it ended" if result["ended"] else "now"
    print(visible(f"{run} ({status}): {count} alarm{'s' * (count != 1)} {when}."))
    for alarm in result["standing"]:
        print()
        _show_one(alarm)
    if result["past"]:
        print("\nOver:")
    for alarm in result["past"]:
        lasted = duration(alarm["until_time"] - alarm["since_time"])
        print(visible(f"  {_heading(alarm)}, for {lasted}: {alarm['text']}", one_line=True))


def _show_one(alarm: dict[str, Any]) -> None:
    print(visible(f"{_heading(alarm)}, {ago(alarm['since_time'])}", one_line=True))
    rows = (
        ("seen", alarm["text"]),
        ("why", alarm["why"]),
        ("next", alarm["next_step"]),
        ("source", alarm["source"]),
    )
    for name, text in rows:
        print(visible(f"  {name:7} {text}", one_line=True))


def _heading(alarm: dict[str, Any]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(alarm["since_time"]))
    return f"{alarm['severity'].upper()} {alarm['name']} since step {alarm['since_step']} ({at})"
