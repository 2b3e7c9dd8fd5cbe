"""`workbench data find`: the rows of a version that a query asks for."""

from __future__ import annotations

import argparse
from typing import Any

from workbench import base_models
from workbench.data import search, versions
from workbench.data.table import Table
from workbench.text import visible
from workbench.verbs.common import leaf, say, table
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace

_SHOWN = 20
"""Rows that are printed; --json gives all."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    find = leaf(verbs, "find", help="rows that fit a query", run=_find, show=_show)
    add_dataset(find)
    find.add_argument(
        "query", metavar="QUERY", help="such as 'task:qa flag:email response>500 -split:train rain'"
    )
    find.add_argument(
        "--sort",
        default="",
        metavar="FIELD",
        help=f"{', '.join(search.KEYS)}, or an extra field; --sort=-tokens begins with the longest",
    )
    find.add_argument("--model", default="", metavar="BASE", help="whose tokens are counted")


def _find(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    version = versions.resolve(workspace, args.reference)
    wanted = search.Wanted(
        path=str(version.data_path),
        query=args.query,
        sort=args.sort,
        workspace=str(workspace.root),
        version=version.reference,
        base=str(base_models.prepare(workspace, args.model, say)) if args.model else "",
    )
    searching = search.Search(wanted)
    try:
        numbers = [number for found in searching.found() for number in found.rows]
    finally:
        searching.end()
    rows = Table(version.data_path)
    found = [{"row": n + 1, "id": (e := rows[n]).id, **e.to_json()} for n in numbers]
    return {"dataset": version.reference, "of": version.rows, "rows": found}


def _show(result: dict[str, Any]) -> None:
    rows = result["rows"]
    print(f"{result['dataset']}: {len(rows):,} of {result['of']:,} rows")
    if not rows:
        return
    shown = [[row["row"], row["split"], row.get("task", ""), _text(row)] for row in rows[:_SHOWN]]
    print(visible(table(["row", "split", "task", "text"], shown)))
    if (more := len(rows) - _SHOWN) > 0:
        print(f"and {more:,} more; --json gives all")


def _text(row: dict[str, Any]) -> str:
    text = row.get("text") or next(m["content"] for m in row["messages"] if m["role"] == "user")
    return visible(text[:80], one_line=True)
