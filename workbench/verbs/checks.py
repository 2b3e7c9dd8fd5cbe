"""`workbench data tokens`, `workbench data near-duplicates`: jobs that look through a version."""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.data import tokens_job
from workbench.data.curate import duplicates, duplicates_job
from workbench.text import visible
from workbench.verbs.common import leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace

_SHOWN = 20
"""Rows that are printed; the files hold the others."""
_LENGTHS = ("min", "median", "p95", "p99", "max")


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to `workbench data`."""
    tokens = leaf(
        verbs,
        "tokens",
        help="count tokens and trained tokens, by split and task",
        run=_tokens,
        show=show_result(_show_tokens),
    )
    tokens.add_argument("--model", default="default", metavar="BASE", help="whose tokens")
    near = leaf(
        verbs,
        "near-duplicates",
        help="find rows that say almost what an earlier one says; nothing is removed",
        run=_near_duplicates,
        show=show_result(_show_near_duplicates),
    )
    near.add_argument(
        "--threshold",
        type=float,
        default=duplicates.THRESHOLD,
        metavar="J",
        help=f"least Jaccard similarity, from {duplicates.LOWEST} to 1 "
        f"(default: {duplicates.THRESHOLD})",
    )
    for parser in (tokens, near):
        parser.add_argument("reference", metavar="REF", help="NAME or NAME@VERSION")
        add_detach(parser)


def _tokens(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)

    def result(folder: Path) -> dict[str, Any]:
        return {"folder": str(folder), **tokens_job.read_counts(folder)}

    return do_job(args, lambda: tokens_job.start(workspace, args.reference, args.model), result)


def _show_tokens(result: dict[str, Any]) -> None:
    parts = {"all": result["all"], **result["splits"]}
    if set(result["tasks"]) != {""}:
        parts |= {f"task {name or '–'}": part for name, part in result["tasks"].items()}
    rows = [
        [
            name,
            *(part[key] for key in ("rows", "tokens", "trained_tokens")),
            *("–" if part["lengths"][key] is None else part["lengths"][key] for key in _LENGTHS),
            part["refused"],
        ]
        for name, part in parts.items()
    ]
    print(table(["", "rows", "tokens", "trained", *_LENGTHS, "refused"], rows))
    print(visible(f"{result['dataset']} under the chat template of {result['base']}"))
    refused = result["refused"]
    if refused:
        print(f"\n{result['all']['refused']:,} rows whose trained tokens can't be proved:")
    for row in refused[:_SHOWN]:
        print(visible(f"  row {row['row']} ({row['source']}): {row['reason']}", one_line=True))
    if len(refused) > _SHOWN:
        print(f"  and more; the first {len(refused):,} are in {result['folder']}")


def _near_duplicates(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)

    def result(folder: Path) -> dict[str, Any]:
        summary = duplicates_job.read_summary(folder)
        return {**summary, "findings": str(folder / duplicates_job.FINDINGS)}

    return do_job(
        args, lambda: duplicates_job.start(workspace, args.reference, args.threshold), result
    )


def _show_near_duplicates(result: dict[str, Any]) -> None:
    count = result["near_duplicates"]
    print(
        f"{result['dataset']}: {count:,} of {result['rows']:,} rows say almost what an earlier "
        f"one says (Jaccard {result['how']['threshold']} or more of their word 3-grams)"
    )
    if not count:
        return
    print(
        f"in {result['clusters']:,} clusters; {result['same_words']:,} have the very same words, "
        f"{result['across_splits']:,} are on the other side of the split"
    )
    with Path(result["findings"]).open(encoding="utf-8") as stream:
        shown = [json.loads(line) for line in islice(stream, _SHOWN)]
    columns = ("row", "duplicate_of", "jaccard", "split", "of_split", "source", "of_source")
    print(table([c.replace("_", " ") for c in columns], [[f[c] for c in columns] for f in shown]))
    more = f"; {count - _SHOWN:,} more are there" if count > _SHOWN else ""
    print(f"in {result['findings']}{more}")
