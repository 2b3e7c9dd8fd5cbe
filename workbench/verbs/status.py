"""`workbench status`: where a run is, in full or in one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.jobs.state import NOT_STARTED, RESUMABLE
from workbench.verbs.common import leaf, width
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = leaf(subparsers, "status", help="where a run is", run=_status, show=_show)
    add_run(status)
    status.add_argument("--line", action="store_true", help="one line, for a status bar")


def _status(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    if args.line and not args.json:
        from workbench.tracking.line import status_line

        return {"line": status_line(workspace, args.reference)}
    # Here: it brings pydantic, 90 ms that a status bar must not wait for.
    from workbench.queue import overview
    from workbench.tracking import runs

    folder = runs.find(workspace, args.reference)
    result = runs.summarise(folder).to_json()
    result["course"] = _course(folder)
    if result["status"] in (NOT_STARTED, *RESUMABLE) and (
        place := overview.words(workspace, result["id"])
    ):
        result["text"] = f"{result['text']} {place}"
    return result


def _course(folder: Path) -> dict[str, Any]:
    from workbench.tracking import course, course_words

    told = course.read(folder)
    return {**told.to_json(), "lines": course_words.lines(told, width(), state=False)}


def _show(result: dict[str, Any]) -> None:
    if "line" in result:
        print(result["line"])
    else:
        from workbench.verbs.train import show_status

        show_status(result)
