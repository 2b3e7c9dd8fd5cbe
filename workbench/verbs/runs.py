"""`workbench runs`: what was trained, and what came of it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from workbench.text import visible
from workbench.tracking import finding, notes
from workbench.verbs import (
    runs_compare,
    runs_examples,
    runs_list,
    runs_repeat,
    runs_report,
    runs_samples,
    runs_show,
    runs_track,
    runs_using,
    runs_verify,
)
from workbench.verbs.common import group, leaf
from workbench.verbs.naming import add_named_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(
        subparsers,
        "runs",
        help="list runs, show one, its hardest rows, its report",
        alone=runs_list.add_options,
    )
    runs_list.add_parsers(verbs)
    runs_show.add_parser(verbs)
    runs_compare.add_parser(verbs)
    runs_using.add_parser(verbs)
    runs_report.add_parser(verbs)
    runs_examples.add_parsers(verbs)
    runs_samples.add_parser(verbs)
    runs_verify.add_parser(verbs)
    runs_repeat.add_parser(verbs)
    runs_track.add_parser(verbs)

    note = leaf(
        verbs, "note", help="write a note on a run, with its time", run=_note, show=_show_notes
    )
    add_named_run(note)
    note.add_argument(
        "text", nargs="?", metavar="TEXT", help="`-` reads it from stdin; left out: all are shown"
    )
    tag = leaf(
        verbs,
        "tag",
        help="give a run tags and take others away: tag RUN +good -bad",
        run=_tag,
        show=_show_notes,
    )
    add_named_run(tag)
    tag.add_argument(
        "tags", nargs=argparse.REMAINDER, metavar="+TAG -TAG", help="left out: its tags are shown"
    )


def _note(args: argparse.Namespace) -> dict[str, Any]:
    folder = finding.find(Workspace.find(args.workspace), args.reference)
    text = sys.stdin.read() if args.text == "-" else args.text
    noted = notes.read(folder) if text is None else notes.add(folder, text)
    return {"run": folder.name, **noted.to_json()}


def _tag(args: argparse.Namespace) -> dict[str, Any]:
    words = list(args.tags)
    # Whatever stands behind RUN is argparse's rest, since a tag may begin with `-`.
    if "--workspace" in words[:-1]:
        place = words.index("--workspace")
        args.workspace = words[place + 1]
        del words[place : place + 2]
    args.json |= "--json" in words
    words = [word for word in words if word not in ("--json", "--")]
    folder = finding.find(Workspace.find(args.workspace), args.reference)
    noted = notes.tag(folder, *notes.split(words)) if words else notes.read(folder)
    return {"run": folder.name, **noted.to_json()}


def _show_notes(result: dict[str, Any]) -> None:
    tags = " ".join(f"#{tag}" for tag in result["tags"]) or "no tags"
    print(visible(f"{result['run']}  {tags}", one_line=True))
    for told in result["notes"]:
        _print_note(told)


def _print_note(told: dict[str, Any]) -> None:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["time"]))
    first, *more = visible(told["text"]).split("\n")
    print("\n".join([f"{at}  {first}", *(f"{'':16}  {line}" for line in more)]))
