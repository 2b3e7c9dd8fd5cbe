"""`workbench review`: make blind sessions, judge them from the shell, report."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.review import sessions, studies
from workbench.review.evaluation import create_session
from workbench.review.sessions import CHOICES, Comparison, Session
from workbench.review.wording import progress_line
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs import review_import
from workbench.verbs.common import (
    OpenApp,
    add_app_options,
    group,
    leaf,
    open_app,
    table,
    width,
)
from workbench.workspace import Workspace

_NAMED = 4
"""Annotators that the list names."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `review` and its commands."""
    review = group(subparsers, "review", help="compare two systems blind, side by side")

    parser = leaf(review, "create", help="make a session", run=_create, show=_show_created)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--from",
        dest="evaluation",
        metavar="RUN",
        default=runs.LATEST,
        help="a run, whose newest evaluation is compared, or an evaluation's folder "
        "(default: the newest run)",
    )
    parser.add_argument(
        "--seed", type=int, help="of the order and the sides (default: drawn, known to nobody)"
    )

    parser = leaf(review, "open", help="judge in the app", run=_open, show=_show_list)
    parser.add_argument("name", metavar="NAME")
    add_app_options(parser)

    review_import.add_parser(review)

    leaf(review, "list", help="list the reviews", run=_list, show=_show_list)

    parser = leaf(review, "next", help="show the next comparison", run=_next, show=_show_next)
    _add_session(parser)

    parser = leaf(review, "judge", help="give a verdict on an item", run=_judge, show=_show_judged)
    _add_session(parser)
    parser.add_argument("item", metavar="ITEM", help="the item's key, as `next` shows it")
    parser.add_argument("choice", choices=CHOICES)
    parser.add_argument("--note", default="", help="why, in a few words")

    parser = leaf(review, "undo", help="take the last verdict back", run=_undo, show=_show_undone)
    _add_session(parser)

    parser = leaf(
        review,
        "report",
        help="progress, and who won when unblinded",
        run=_report,
        show=_show_report,
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--unblind", action="store_true", help="say which system won, once all is judged"
    )
    parser.add_argument("--anyway", action="store_true", help="unblind although some is not judged")
    parser.add_argument(
        "--against",
        metavar="SYSTEM",
        default="",
        help="hold the others against this one (default: a session's base, else by name)",
    )
    parser.add_argument("--markdown", action="store_true", help="as a page of Markdown")


def _add_session(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--annotator", metavar="A", help="who judges (default: your login name)", default=None
    )


def _session(args: argparse.Namespace) -> Session:
    workspace = Workspace.find(args.workspace)
    if studies.exists(workspace, args.name):
        raise WorkbenchError(
            f"The review {args.name} was imported: it is judged already.",
            f"Read it with: workbench review report {args.name}",
        )
    return sessions.open(workspace, args.name)


def _annotator(args: argparse.Namespace) -> str:
    return args.annotator or sessions.default_annotator()


def _create(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    folder = _evaluation(workspace, args.evaluation)
    session = create_session(workspace, args.name, folder, args.seed)
    return {
        "name": session.name,
        "path": str(session.path),
        "items": len(session.keys),
        "identical": len(session.identical),
    }


def _evaluation(workspace: Workspace, reference: str) -> Path:
    """The evaluation's folder that a path or a run names."""
    folder = user_path(reference)
    if folder.is_dir():
        return folder.absolute()
    run = runs.find(workspace, reference)
    newest = runs.newest_evaluation(run)
    if newest is None:
        raise WorkbenchError(
            f"The run {run.name} has not been evaluated yet.",
            f"Do it with: workbench eval {run.name}",
        )
    return newest


def _open(args: argparse.Namespace) -> OpenApp:
    return open_app(args, "review", session=_session(args).name)


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    workspace = Workspace.find(args.workspace)
    listed = [*sessions.list_sessions(workspace), *studies.listed(workspace)]
    return [asdict(each) for each in sorted(listed, key=lambda each: -each.created)]


def _next(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = _session(args), _annotator(args)
    return _state(session, annotator, session.next(annotator))


def _judge(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = _session(args), _annotator(args)
    comparison = session.comparison(annotator, args.item)
    session.judge(annotator, comparison, args.choice, note=args.note)
    return {
        "item": args.item,
        "choice": args.choice,
        "progress": asdict(session.progress(annotator)),
    }


def _undo(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = _session(args), _annotator(args)
    return _state(session, annotator, session.undo(annotator))


def _report(args: argparse.Namespace) -> Any:
    from workbench.review import reporting

    workspace = Workspace.find(args.workspace)
    form = {"markdown": args.markdown, "width": width()}
    if studies.exists(workspace, args.name):
        study = studies.open(workspace, args.name)
        return reporting.of_study(study, args.against, **form)
    session = sessions.open(workspace, args.name)
    report = session.report(unblind=args.unblind, anyway=args.anyway)
    return reporting.of_session(session, report, args.against, **form)


def _state(session: Session, annotator: str, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "comparison": comparison and asdict(comparison),
        "progress": asdict(session.progress(annotator)),
    }


def _show_created(result: dict[str, Any]) -> None:
    print(f"Review session {result['name']}: {result['items']} comparisons to judge.")
    if result["identical"]:
        print(f"{result['identical']} more have identical outputs and count as ties.")
    print(result["path"])


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print("No review sessions. Make one with `workbench review create NAME`.")
        return
    rows = [
        (
            row["name"],
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row["created"]))
            if row["items"]
            else "–",
            row["items"],
            row["problem"] or _judged(row["annotators"]),
        )
        for row in result
    ]
    print(table(("NAME", "MADE", "ITEMS", "JUDGED"), rows))


def _judged(annotators: list[dict[str, Any]]) -> str:
    """Who judged how many; of many only how many they are."""
    if len(annotators) > _NAMED:
        return f"{sum(who['judged'] for who in annotators)} by {len(annotators)} annotators"
    return ", ".join(f"{who['annotator']} {who['judged']}" for who in annotators)


def _show_next(result: dict[str, Any]) -> None:
    print(progress_line(result["progress"]))
    if result["comparison"] is None:
        print("Nothing is left to judge. `workbench review report` says how it stands.")
    else:
        _show_comparison(result["comparison"])


def _show_undone(result: dict[str, Any]) -> None:
    print(progress_line(result["progress"]))
    if result["comparison"] is None:
        print("There is no verdict to take back.")
    else:
        _show_comparison(result["comparison"])


def _show_comparison(comparison: dict[str, Any]) -> None:
    print(f"Item {visible(comparison['item'])}")
    for title, field in (
        ("PROMPT", "prompt"),
        ("REFERENCE", "reference"),
        ("LEFT", "left"),
        ("RIGHT", "right"),
    ):
        if comparison[field] or field != "reference":
            print(f"\n{title}\n{visible(comparison[field])}")


def _show_judged(result: dict[str, Any]) -> None:
    print(progress_line(result["progress"]))


def _show_report(result: dict[str, Any]) -> None:
    print(visible(result["page"].rstrip("\n")))
