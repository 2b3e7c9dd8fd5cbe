"""`workbench data tokens`, and a verb for each check: jobs that look through a version."""

from __future__ import annotations

import argparse
import json
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.data import tokens_job
from workbench.data.curate import check_job, store
from workbench.jobs import tasks
from workbench.text import visible
from workbench.verbs import recipes
from workbench.verbs.common import leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace

_SHOWN = 20
"""Rows that are printed; the files hold the others."""
_CHECKS = {
    "near-duplicates": "find rows that say almost what an earlier one says",
    "near-duplicates-across-splits": "find validation rows that say almost what is trained on",
    "contamination": "find training rows that hold what an evaluation row asks",
    "personal-data": "find e-mail addresses, phone and card numbers, keys and the like",
    "quality": "find empty, echoed, refusing, broken-off, repetitive and templated responses",
    "content": "find harmful wording, copyright and licence markers, boilerplate",
}
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
    for name, help in _CHECKS.items():
        parser = leaf(
            verbs,
            name,
            help=f"{help}; nothing is changed",
            run=partial(_look, name),
            show=show_result(_show_findings),
        )
        recipes.add_options(parser)
        add_common(parser)
    add_common(tokens)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What all of them take."""
    add_dataset(parser)
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


def _look(name: str, args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    options = recipes.options_from(args.options)

    def result(folder: Path) -> dict[str, Any]:
        return {
            "dataset": tasks.read_request(folder)["dataset"],
            **check_job.result(folder).to_json(),
        }

    return do_job(args, lambda: check_job.start(workspace, name, args.reference, options), result)


def _show_findings(result: dict[str, Any]) -> None:
    flagged, rows = result["flagged"], result["rows"]
    print(f"{result['dataset']}: {result['check']} flags {flagged:,} of {rows:,} rows")
    if not flagged:
        return
    for kind, count in result["kinds"].items():
        print(f"  {count:,} {kind}")
    path = Path(result["folder"]) / store.FINDINGS
    with path.open(encoding="utf-8") as stream:
        shown = [json.loads(line) for line in islice(stream, _SHOWN)]
    print(
        visible(
            table(["row", "kind", "reason"], [[f["row"], f["kind"], f["reason"]] for f in shown])
        )
    )
    more = sum(result["kinds"].values()) - len(shown)
    print(f"in {path}{f'; {more:,} more are there' if more else ''}")
