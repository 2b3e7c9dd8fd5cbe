"""`workbench doctor`: is this machine ready?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from workbench.text import visible
from workbench.verbs.common import leaf
from workbench.workspace import Workspace

_MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    leaf(
        subparsers,
        "doctor",
        help="what this machine has, and what would stand in the way of a run",
        run=_examine,
        show=_show,
    )


def _examine(args: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.doctor import examine

    return [asdict(finding) for finding in examine(Workspace.find(args.workspace))]


def _show(result: list[dict[str, Any]]) -> None:
    for finding in result:
        print(f"{_MARKS[finding['level']]}  {finding['name']:14} {visible(finding['text'])}")
        if finding["hint"]:
            print(f"{'':25}{visible(finding['hint'])}")
