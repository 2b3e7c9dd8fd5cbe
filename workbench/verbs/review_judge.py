"""`workbench review next`, `judge` and the like: judging from the shell."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.review import sessions, studies
from workbench.review.session import Comparison, Session
from workbench.review.wording import progress_line
from workbench.text import visible
from workbench.verbs.common import OpenApp, add_app_options, leaf, open_app, table
from workbench.workspace import Workspace

_NAMED = 4
"""Annotators that the list names."""

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parsers(review: Verbs) -> None:
    """Add the verbs to `workbench review`."""
    parser = leaf(review, "open", help="judge in the app", run=_open, show=_show_list)
    _add_session(parser)
    add_app_options(parser)

    leaf(review, "list", help="list the reviews", run=_list, show=_show_list)

    parser = leaf(review, "next", help="show what is next to judge", run=_next, show=_show_next)
    _add_session(parser)
    parser.add_argument(
        "--adjudicate", action="store_true", help="of what other annotators disagree on"
    )

    parser = leaf(review, "judge", help="give a verdict", run=_judge, show=_show_judged)
    _add_session(parser)
    parser.add_argument("item", metavar="ITEM", help="its number, as `next` shows it")
    parser.add_argument(
        "choice",
        metavar="VERDICT",
        help="left, right or tie; accept or reject; a rubric's ratings, such as 4,5,2; or skip",
    )
    parser.add_argument("--reason", default="", help="why it is rejected, one of the form's")
    parser.add_argument("--note", default="", help="why, in a few words")
    parser.add_argument("--flag", action="store_true", help="mark it, as when it says who it is")

    parser = leaf(review, "undo", help="take the last verdict back", run=_undo, show=_show_undone)
    _add_session(parser)


def _add_session(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--annotator", metavar="A", help="who judges (default: your login name)", default=None
    )


def session_of(args: argparse.Namespace) -> Session:
    """The session that is named. Raises WorkbenchError for one that was imported."""
    workspace = Workspace.find(args.workspace)
    if studies.exists(workspace, args.name):
        raise WorkbenchError(
            f"The review {args.name} was imported: it is judged already.",
            f"Read it with: workbench review report {args.name}",
        )
    return sessions.open(workspace, args.name)


def _annotator(args: argparse.Namespace) -> str:
    return args.annotator or sessions.default_annotator()


def _open(args: argparse.Namespace) -> OpenApp:
    return open_app(args, "review", session=session_of(args).name, annotator=_annotator(args))


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    workspace = Workspace.find(args.workspace)
    listed = [*sessions.list_sessions(workspace), *studies.listed(workspace)]
    return [asdict(each) for each in sorted(listed, key=lambda each: -each.created)]


def _next(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = session_of(args), _annotator(args)
    find = session.next_dispute if args.adjudicate else session.next
    return _state(session, annotator, find(annotator))


def _judge(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = session_of(args), _annotator(args)
    comparison = session.comparison(annotator, args.item)
    choice, ratings = _verdict(session, args.choice)
    session.judge(
        annotator,
        comparison,
        choice,
        note=args.note,
        flag=args.flag,
        ratings=ratings,
        reason=args.reason,
    )
    return {
        "item": args.item,
        "choice": choice,
        **({"ratings": ratings} if ratings else {}),
        "progress": asdict(session.progress(annotator)),
    }


def _verdict(session: Session, text: str) -> tuple[str, dict[str, int]]:
    if session.form.kind != "rubric" or text == "skip":
        return text, {}
    names = [criterion.name for criterion in session.form.criteria]
    given = text.split(",")
    if len(given) != len(names) or not all(part.strip().isdecimal() for part in given):
        raise WorkbenchError(
            f"{text!r} is no rating by this rubric.",
            f"Give a number from 1 to 5 for each of {', '.join(names)}, such as "
            f"{','.join('4' for _ in names)}.",
        )
    return "rated", {name: int(part) for name, part in zip(names, given, strict=True)}


def _undo(args: argparse.Namespace) -> dict[str, Any]:
    session, annotator = session_of(args), _annotator(args)
    return _state(session, annotator, session.undo(annotator))


def _state(session: Session, annotator: str, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "comparison": comparison and asdict(comparison),
        "form": session.form.to_json(),
        "progress": asdict(session.progress(annotator)),
    }


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
            "locked" if row["locked"] else "",
            row["problem"] or _judged(row["annotators"]),
        )
        for row in result
    ]
    print(table(("NAME", "MADE", "ITEMS", "STATE", "JUDGED"), rows))


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
        _show_comparison(result)


def _show_undone(result: dict[str, Any]) -> None:
    print(progress_line(result["progress"]))
    if result["comparison"] is None:
        print("There is no verdict to take back.")
    else:
        _show_comparison(result)


def _show_comparison(result: dict[str, Any]) -> None:
    comparison, form = result["comparison"], result["form"]
    again = ", skipped before: skip again leaves it out" if comparison["skipped"] else ""
    print(f"Item {visible(comparison['item'])}{again}")
    single = comparison["right"] is None
    for title, field in (
        ("PROMPT", "prompt"),
        ("REFERENCE", "reference"),
        ("OUTPUT" if single else "LEFT", "left"),
        ("RIGHT", "right"),
    ):
        text = comparison[field]
        if text is not None and (text or field != "reference"):
            print(f"\n{title}\n{visible(text)}")
    if form["criteria"]:
        print("\nCRITERIA, each from 1 to 5")
    for criterion in form["criteria"]:
        anchors = "; ".join(f"{point}: {text}" for point, text in criterion["anchors"].items())
        print(visible(f"{criterion['name']}: {criterion['question']} {anchors}".strip()))
    if form["reasons"]:
        print(visible(f"\nREASONS  {', '.join(form['reasons'])}"))


def _show_judged(result: dict[str, Any]) -> None:
    print(progress_line(result["progress"]))
