"""`workbench runs list`, its columns and its queries; and what puts runs away."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from workbench import settings
from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import column_names, finding, notes, run_query, soundness
from workbench.tracking.columns import Column
from workbench.tracking.listing import Line, Listing
from workbench.verbs.common import add_workspace, leaf, table
from workbench.workspace import Workspace

_NONE = "There is no such run. `workbench train CONFIG` starts one."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Have `workbench runs` list them."""
    add_workspace(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_list, show=_show_list)
    _add_choices(parser)


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to `workbench runs`."""
    listed = leaf(verbs, "list", help="every run, the newest first", run=_list, show=_show_list)
    _add_choices(listed)
    chosen = leaf(
        verbs,
        "columns",
        help="what lists of runs can show, and what yours do",
        run=_columns,
        show=_show_columns,
    )
    chosen.add_argument(
        "names",
        nargs="?",
        metavar="NAMES",
        help="keep these for your lists, such as run,state,lora.rank,rouge_l",
    )
    chosen.add_argument("--usual", action="store_true", help="keep none of your own any more")
    for name, away, help in (
        ("archive", True, "put runs away: lists leave them out, nothing is deleted"),
        ("unarchive", False, "take runs out again"),
    ):
        verb = leaf(verbs, name, help=help, run=_archive, show=_show_archived)
        verb.add_argument("references", nargs="+", metavar="RUN")
        verb.set_defaults(away=away)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        default="",
        metavar="QUERY",
        help="such as 'state:ended base:smol tag:good lora.r>=16 loss<1.5 dataset:NAME'",
    )
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="only runs that have it; given several times, that have all of them",
    )
    parser.add_argument(
        "--sort",
        default="",
        metavar="COLUMN",
        help="any column; --sort=-loss begins with the highest",
    )
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="such as run,state,lora.r,validation_loss,rougeL: what there is lists `runs columns`",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N of them")
    away = parser.add_mutually_exclusive_group()
    away.add_argument("--archived", action="store_true", help="those that are put away")
    away.add_argument("--all", action="store_true", help="those that are put away, too")


def _list(args: argparse.Namespace) -> Any:
    lines, found = _found(args)
    if not args.json:
        if args.columns:
            return column_names.parse(args.columns, lines), found
        own = settings.read().runs_columns
        shown = column_names.chosen(own, lines)
        return shown if own else _told(shown, found), found
    if not args.columns:
        return [line.to_json() for line in found]
    asked = column_names.parse(args.columns, lines)
    return [{"run": line.id} | {c.name: c.value(line) for c in asked} for line in found]


def _found(args: argparse.Namespace) -> tuple[list[Line], list[Line]]:
    """The runs that were looked at, and those of them that are asked for."""
    limit = None if args.limit is None else max(0, args.limit)
    listing = Listing(Workspace.find(args.workspace))
    wanted = {tag.removeprefix("#") for tag in args.tag}
    away = None if args.all else bool(args.archived)
    # Of the newest alone no others need be looked at; what a query names may be of any.
    newest = limit or 0 if not (args.where or args.sort or args.columns) else 0
    lines: list[Line] = []
    found: list[Line] = []
    for lines in listing.looks(first=newest):
        found = run_query.select(lines, args.where, args.sort, archived=away)
        found = [line for line in found if wanted <= set(line.summary.tags)]
        if limit is not None and len(found) >= limit:
            return lines, found[:limit]
    listing.save()
    return lines, found


def _look(args: argparse.Namespace) -> list[Line]:
    listing = Listing(Workspace.find(args.workspace))
    lines = listing.look()
    listing.save()
    return lines


def _told(shown: list[Column], found: list[Line]) -> list[Column]:
    """Those that say something of one of the runs."""
    return [c for c in shown if any(c.value(line) is not None for line in found)]


def _show_list(result: tuple[list[Column], list[Line]]) -> None:
    shown, found = result
    if not found:
        print(_NONE)
        return
    print(table([c.title for c in shown], [[c.text(line) for c in shown] for line in found]))
    for told in soundness.remarks(replace(one.summary, problems=one.problems) for one in found):
        print(visible(told, one_line=True))


def _columns(args: argparse.Namespace) -> dict[str, Any]:
    if args.usual and args.names:
        raise WorkbenchError("Either columns are named, or the usual ones are wanted.")
    lines = _look(args)
    if args.names:
        settings.save_columns([column.name for column in column_names.parse(args.names, lines)])
    elif args.usual:
        settings.save_columns([])
    own = settings.read().runs_columns
    chosen = column_names.chosen(own, lines)
    names = [column.name for column in chosen]
    known = {column.name: column for column in (*chosen, *column_names.available(lines))}
    return {
        "chosen": names,
        "saved": bool(own),
        "settings": str(settings.path()),
        "columns": [
            {"name": name, "title": column.title, "about": column.about, "chosen": name in names}
            for name, column in known.items()
        ],
    }


def _show_columns(result: dict[str, Any]) -> None:
    rows = [["*" if c["chosen"] else "", c["name"], c["about"]] for c in result["columns"]]
    print(table(["", "column", "what it is"], rows))
    where = f"yours, kept in {result['settings']}" if result["saved"] else "the usual ones"
    print(f"\nLists of runs show {', '.join(result['chosen'])}: {where}.")


def _archive(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    # All are found before the first is changed.
    folders = [finding.find(workspace, reference) for reference in args.references]
    for folder in folders:
        notes.archive(folder, away=args.away)
    return {"archived": args.away, "runs": [folder.name for folder in folders]}


def _show_archived(result: dict[str, Any]) -> None:
    how = "are put away: `runs list --archived` lists them" if result["archived"] else "are back"
    print(f"{', '.join(result['runs'])} {how}.")
