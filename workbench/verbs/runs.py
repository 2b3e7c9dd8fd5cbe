"""`workbench runs`: what was trained, and what came of it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from workbench.text import visible
from workbench.tracking import notes, report, runs, soundness
from workbench.tracking.view import ago
from workbench.verbs import (
    runs_examples,
    runs_repeat,
    runs_samples,
    runs_show,
    runs_verify,
)
from workbench.verbs.common import group, leaf, table
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "runs", help="list runs, show one, its hardest rows, its report")
    listed = leaf(verbs, "list", help="every run, the newest first", run=_list, show=_show_list)
    listed.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="only runs that have it; given several times, that have all of them",
    )
    runs_show.add_parser(verbs)
    written = leaf(
        verbs,
        "report",
        help="write a run's report as Markdown",
        run=_report,
        show=lambda result: print(visible(result["text"])),
    )
    written.add_argument("reference", nargs="?", default=runs.LATEST, metavar="RUN")
    runs_examples.add_parsers(verbs)
    runs_samples.add_parser(verbs)
    runs_verify.add_parser(verbs)
    runs_repeat.add_parser(verbs)

    note = leaf(
        verbs, "note", help="write a note on a run, with its time", run=_note, show=_show_notes
    )
    note.add_argument("reference", metavar="RUN", help="its id, the start of it, or `latest`")
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
    tag.add_argument("reference", metavar="RUN", help="its id, the start of it, or `latest`")
    tag.add_argument(
        "tags", nargs=argparse.REMAINDER, metavar="+TAG -TAG", help="left out: its tags are shown"
    )


def _note(args: argparse.Namespace) -> dict[str, Any]:
    folder = runs.find(Workspace.find(args.workspace), args.reference)
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
    folder = runs.find(Workspace.find(args.workspace), args.reference)
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


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    found = runs.list_runs(Workspace.find(args.workspace))
    wanted = {tag.removeprefix("#") for tag in args.tag}
    return [run.to_json() for run in found if wanted <= set(run.tags)]


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print("There is no such run. `workbench train CONFIG` starts one.")
        return
    tagged = any(run["tags"] for run in result)
    rows = [
        [
            run["id"],
            run["status"],
            f"{run['step']}/{run['total_steps']}",
            _figure(run["loss"]),
            _figure(run["first_validation_loss"]),
            _figure(run["best_validation_loss"]),
            run["dataset"],
            run["base"],
            ago(run["created"]),
            *([" ".join(run["tags"])] if tagged else []),
        ]
        for run in result
    ]
    headers = [
        "run",
        "state",
        "step",
        "loss",
        "val first",
        "val best",
        "dataset",
        "base",
        "started",
        *(["tags"] if tagged else []),
    ]
    print(table(headers, rows))
    for told in soundness.remarks(runs.RunSummary(**run) for run in result):
        print(visible(told, one_line=True))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _report(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    folder = runs.find(workspace, args.reference)
    path = report.write(workspace, folder)
    return {"run": folder.name, "path": str(path), "text": path.read_text(encoding="utf-8")}
