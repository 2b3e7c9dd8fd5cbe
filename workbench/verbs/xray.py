"""`workbench data xray` and `workbench data verdict`: what a base is trained on, and what isn't."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.verbs.common import leaf, say, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.verbs.tables import lay_out
from workbench.workspace import Workspace

_SHOWN = 20
"""Rows that are named of a finding."""
_BARS = 12
_WIDTH = 40
"""Characters of the longest bar."""
_COLOURS = {"trained": "32", "lost": "31", "": "2"}
"""Green, red and dim, by what becomes of a token."""


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to `workbench data`."""
    xray = leaf(
        verbs,
        "xray",
        help="each token of a row with its id, and why one isn't trained",
        run=_xray,
        show=_show_xray,
    )
    xray.add_argument("reference", metavar="REF", help="NAME, NAME@VERSION or a JSONL file")
    xray.add_argument("row", type=int, metavar="ROW", help="its number, from 1")
    xray.add_argument("--model", default="default", metavar="BASE", help="whose tokens")
    _add_cutoff(xray)
    verdict = leaf(
        verbs,
        "verdict",
        help="what a base would be trained on, of all rows; exit code 1 where a run is refused",
        run=_verdict,
        show=show_result(_show_verdict),
    )
    add_dataset(verdict)
    verdict.add_argument("--model", default="default", metavar="BASE", help="whose tokens")
    _add_cutoff(verdict)
    verdict.add_argument(
        "--too-long",
        choices=("refuse", "drop", "truncate"),
        default="truncate",
        help="what becomes of longer rows (default: truncate)",
    )
    add_detach(verdict)
    verdict.set_defaults(status_of=_status)


def _add_cutoff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-length", type=_length, metavar="N", help="the cutoff, in tokens (default: none)"
    )


def _length(text: str) -> int:
    """A cutoff, as data.max_length bounds it."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"give a number of tokens from 1 on, not {text!r}")
    return int(text)


def _xray(args: argparse.Namespace) -> dict[str, Any]:
    from workbench import base_models
    from workbench.data.browse import locate, look
    from workbench.data.rows import open_rows
    from workbench.data.template import ChatTemplate
    from workbench.data.xray import xray

    workspace = Workspace.find(args.workspace)
    rows = open_rows(locate(workspace, args.reference))
    rows.index()
    if not 1 <= args.row <= len(rows):
        raise WorkbenchError(
            f"{args.reference} has {len(rows):,} rows; there is no row {args.row}."
        )
    looked = look(rows, args.row - 1)
    if looked.problem:
        raise WorkbenchError(f"Row {args.row} of {args.reference}: {looked.problem}.")
    template = ChatTemplate.load(base_models.prepare(workspace, args.model, say))
    return {
        "dataset": args.reference,
        "row": args.row,
        "base": args.model,
        "examples": [xray(e, template, args.max_length).to_json() for e in looked.examples],
    }


def _show_xray(result: dict[str, Any]) -> None:
    for example in result["examples"]:
        _show_tokens(example)
        print(
            visible(
                f"row {result['row']} of {result['dataset']}, by the template of {result['base']}"
            )
        )
        print(_summary(example))


def _show_tokens(example: dict[str, Any]) -> None:
    colours = sys.stdout.isatty()
    rows = [
        [place, token["id"], _mark(token), token["reason"], visible(token["text"], one_line=True)]
        for place, token in enumerate(example["tokens"])
    ]
    lines = lay_out(["", "id", "", "why not", "text"], rows).split("\n")
    print(lines[0])
    for token, line, place in zip(example["tokens"], lines[1:], range(len(rows)), strict=True):
        if place == example["cut"]:
            print(f"──── cut here, at {example['max_length']:,} tokens ────")
        kind = "trained" if token["trained"] else "lost" if token["lost"] else ""
        print(f"\x1b[{_COLOURS[kind]}m{line}\x1b[0m" if colours else line)


def _mark(token: dict[str, Any]) -> str:
    return "+" if token["trained"] else "x" if token["lost"] else ""


def _summary(example: dict[str, Any]) -> str:
    total, trained = example["total"], example["trained"]
    said = f"{trained:,} of {total:,} tokens are trained (+)"
    if example["problem"]:
        return visible(f"{said}: {example['problem']} ({example['kind']})")
    if example["cut"] is not None:
        said += f"; cut at {example['cut']:,}, the response is {example['response']}"
        said += f": {example['lost']:,} trained tokens gone (x)" if example["lost"] else ""
    return said


def _verdict(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data import verdict_job

    workspace = Workspace.find(args.workspace)

    def result(folder: Path) -> dict[str, Any]:
        found = verdict_job.read_result(folder)
        cutoff, lengths = args.max_length, found.lengths
        return {
            **found.to_json(),
            "base": args.model,
            "max_length": cutoff,
            "findings": [
                finding.to_json()
                for finding in found.findings(cutoff, args.too_long, args.model, _SHOWN)
            ],
            "kept": None
            if cutoff is None
            else {
                name or "all": of.at(cutoff, args.too_long).to_json()
                for name, of in lengths.items()
            },
            "histogram": [[b.low, b.high, b.rows] for b in lengths[""].histogram(_BARS)],
        }

    return do_job(args, lambda: verdict_job.start(workspace, args.reference, args.model), result)


def _status(result: dict[str, Any]) -> int:
    """1 where a finding is red."""
    return int(any(finding["level"] == "red" for finding in result.get("findings", ())))


def _show_verdict(result: dict[str, Any]) -> None:
    print(visible(f"{result['dataset']} under the chat template of {result['base']}"))
    columns = ("split", "task", "rows", "refused", "tokens", "trained_tokens")
    print(
        table(
            columns,
            [
                [part[name] or "–" if name == "task" else part[name] for name in columns]
                for part in result["parts"]
            ],
        )
    )
    _show_lengths(result)
    for finding in result["findings"]:
        print(visible(f"{finding['level']:7} {finding['name']}: {finding['text']}", one_line=True))
        for row in finding["rows"]:
            print(visible(f"          {row}", one_line=True))
        if (more := finding["count"] - len(finding["rows"])) > 0:
            print(f"          and {more:,} more")
        if finding["advice"]:
            print(visible(f"        {finding['advice']}", one_line=True))


def _show_lengths(result: dict[str, Any]) -> None:
    names = ("rows", "tokens", "p50", "p90", "p99", "max")
    rows = [[name, *(of[key] for key in names)] for name, of in result["lengths"].items()]
    print()
    print(table(["", *names], rows))
    most = max((rows for _, _, rows in result["histogram"]), default=0)
    for low, high, rows in result["histogram"] if most else ():
        bar = "#" * round(_WIDTH * rows / most)
        print(f"{low:>9,} to {high:>9,} tokens  {rows:>11,}  {bar}".rstrip())
    for name, kept in (result["kept"] or {}).items():
        print(
            f"{name}: at {kept['cutoff']:,} tokens ({kept['too_long']}) {kept['rows_kept']:,} of "
            f"{kept['rows']:,} rows are kept, {kept['whole']:,} whole; of the others "
            f"{kept['partly_lost']:,} lose a part of their response, {kept['wholly_lost']:,} "
            f"all of it; {kept['tokens_kept']:,} of {kept['tokens']:,} tokens, "
            f"{kept['trained_kept']:,} of {kept['trained_tokens']:,} trained ones"
        )
    print()
