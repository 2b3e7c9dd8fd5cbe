"""`workbench review lock`, `report`, `export`: what comes of the verdicts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.files import user_path, write_text
from workbench.review import sessions, studies
from workbench.review.session import Session
from workbench.review.wording import report_lines
from workbench.text import visible
from workbench.verbs.common import leaf, width
from workbench.verbs.review_judge import session_of
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.verbs.review_judge import Verbs


def add_parsers(review: Verbs) -> None:
    """Add the verbs to `workbench review`."""
    parser = leaf(
        review, "report", help="progress, and who won when unblinded", run=_report, show=_show
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
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with charts, one file that needs no network"
    )

    parser = leaf(
        review, "lock", help="end it: its verdicts stand, systems are named", run=_lock, show=_show
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--anyway", action="store_true", help="although some is not judged")

    parser = leaf(
        review, "export", help="write the verdicts to a file", run=_export, show=_show_exported
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("file", metavar="FILE", help=".csv or .jsonl")
    parser.add_argument(
        "--as",
        dest="form",
        choices=("csv", "jsonl", "pairs"),
        default="",
        help="pairs: prompt, chosen, rejected, to train on (default: by the file's ending)",
    )
    parser.add_argument("--annotator", metavar="A", default="", help="the verdicts of one alone")


def _report(args: argparse.Namespace) -> Any:
    from workbench.review import reporting

    workspace = Workspace.find(args.workspace)
    form: reporting.Form = "html" if args.html else "markdown" if args.markdown else "text"
    if studies.exists(workspace, args.name):
        study = studies.open(workspace, args.name)
        found = reporting.of_study(study, args.against, form=form, width=width())
    else:
        session = sessions.open(workspace, args.name)
        if args.unblind:
            _check_owner(session, args.anyway)
        # Who has locked it has seen already which system is which.
        known = args.unblind or session.locked is not None
        report = session.report(unblind=known, anyway=args.anyway)
        found = reporting.of_session(session, report, args.against, form=form, width=width())
    if args.html:
        path = user_path(args.html)
        write_text(path, found["page"])
        return {**found, "page": f"Written to {path}.", "path": str(path)}
    return found


def _lock(args: argparse.Namespace) -> dict[str, Any]:
    session = session_of(args)
    _check_owner(session, args.anyway)
    found = session.lock(anyway=args.anyway).to_json()
    more = [f"All of it: workbench review report {session.name}"]
    if found["disputed"] > found["adjudicated"]:
        more.append(
            f"What they disagree on, for another: workbench review next {session.name} --adjudicate"
        )
    return {**found, "page": "\n".join([*report_lines(found), "", *more])}


def _check_owner(session: Session, anyway: bool) -> None:
    if session.owner not in ("", sessions.default_annotator()) and not anyway:
        raise WorkbenchError(
            f"The review {session.name} is {session.owner}'s, who says when it ends.",
            "With --anyway you do.",
        )


def _export(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.review import exporting

    return exporting.export(session_of(args), user_path(args.file), args.form, args.annotator)


def _show(result: dict[str, Any]) -> None:
    print(visible(result["page"].rstrip("\n")))


def _show_exported(result: dict[str, Any]) -> None:
    what = "pairs" if result["form"] == "pairs" else "verdicts"
    print(f"{result['rows']} {what} in {result['path']}.")
    if result["blind"]:
        print("The review is blind: which system is which is left out until it is locked.")
