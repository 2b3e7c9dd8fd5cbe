"""`workbench review`: make blind sessions, judge them, end them, say what they found."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.review import forms, making, sources
from workbench.tracking import runs
from workbench.verbs import review_after, review_import, review_judge
from workbench.verbs.common import group, leaf
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `review` and its commands."""
    review = group(subparsers, "review", help="judge outputs blind, and say what it showed")
    _add_create(review)
    review_judge.add_parsers(review)
    review_after.add_parsers(review)
    review_import.add_parser(review)


def _add_create(review: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(review, "create", help="make a session", run=_create, show=_show_created)
    parser.add_argument("name", metavar="NAME", help="annotators see it: none of a run or a model")
    parser.add_argument(
        "--from",
        dest="sources",
        metavar="RUN",
        action="append",
        help="a run, whose newest evaluation is taken, an evaluation's folder, or a file of JSON "
        "lines with `prompt` and `outputs`; may be given several times (default: the newest run)",
    )
    parser.add_argument(
        "--systems", metavar="A,B", default="", help="whose outputs (default: all that are there)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="draw as many prompts (default: all)")
    parser.add_argument(
        "--kind",
        choices=("pairwise", "accept"),
        default="pairwise",
        help="which of two is better, or whether one can be accepted (default: pairwise)",
    )
    parser.add_argument(
        "--form", metavar="FILE", help="a rubric of yours, or your reasons, as YAML or TOML"
    )
    parser.add_argument(
        "--annotators",
        metavar="N|A,B,C",
        default="",
        help="how many share the work, or who (default: whoever comes judges all)",
    )
    parser.add_argument(
        "--overlap", type=int, default=0, metavar="K", help="annotators a comparison (default: all)"
    )
    parser.add_argument(
        "--repeats",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the comparisons, shown twice unsaid to see who is consistent, such as 0.1",
    )
    parser.add_argument(
        "--seed", type=int, help="of the order and the sides (default: drawn, known to nobody)"
    )


def _create(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    form = forms.read(user_path(args.form)) if args.form else forms.of_kind(args.kind)
    if args.rows is not None and args.rows < 1:
        raise WorkbenchError(f"{args.rows} prompts are none to judge.", "Give --rows 1 or more.")
    session = making.create_session(
        workspace,
        args.name,
        [_source(workspace, name) for name in args.sources or [runs.LATEST]],
        seed=args.seed,
        systems=[name.strip() for name in args.systems.split(",") if name.strip()],
        rows=args.rows,
        form=form,
        sharing=_sharing(args),
    )
    return {
        "name": session.name,
        "path": str(session.path),
        "kind": session.form.kind,
        "items": len(session.units),
        "identical": len(session.identical),
        "annotators": session.places,
        "overlap": session.overlap,
    }


def _sharing(args: argparse.Namespace) -> making.Sharing:
    names = tuple(name.strip() for name in args.annotators.split(",") if name.strip())
    if len(names) == 1 and names[0].isdecimal():
        return making.Sharing(int(names[0]), (), args.overlap, args.repeats)
    return making.Sharing(len(names), names, args.overlap, args.repeats)


def _source(workspace: Workspace, reference: str) -> sources.Source:
    """The file, the evaluation's folder or the run's newest evaluation that is named."""
    path = user_path(reference)
    if path.exists():
        return sources.Source.of(path.absolute())
    run = runs.find(workspace, reference)
    newest = runs.newest_evaluation(run)
    if newest is None:
        raise WorkbenchError(
            f"The run {run.name} has not been evaluated yet.",
            f"Do it with: workbench eval {run.name}",
        )
    return sources.Source(newest, run.name)


def _show_created(result: dict[str, Any]) -> None:
    what = "comparisons" if result["kind"] == "pairwise" else "outputs"
    print(f"Review session {result['name']}: {result['items']} {what} to judge.")
    if result["identical"]:
        print(f"{result['identical']} more have identical outputs and count as ties.")
    if result["annotators"]:
        print(f"Shared by {result['annotators']}; each is judged by {result['overlap']}.")
    print(result["path"])
