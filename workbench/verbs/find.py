"""`workbench data find`: the rows of a version that a query asks for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from workbench.data import query, versions
from workbench.data.example import Example
from workbench.data.table import Table
from workbench.text import visible
from workbench.verbs.common import leaf, say, table
from workbench.workspace import Workspace

_SHOWN = 20
"""Rows that are printed; --json gives all."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    find = leaf(verbs, "find", help="rows that fit a query", run=_find, show=_show)
    find.add_argument("reference", metavar="REF", help="NAME or NAME@VERSION")
    find.add_argument(
        "query", metavar="QUERY", help="such as 'task:qa flag:email response>500 -split:train rain'"
    )
    find.add_argument("--model", metavar="BASE", help="whose tokens `tokens>512` counts")


def _find(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    version = versions.resolve(workspace, args.reference)
    wanted = query.parse(args.query)
    known = query.Known(query.flags_of(version), _counter(workspace, args.model))
    rows = [
        {"row": number + 1, "id": example.id, **example.to_json()}
        for number, example in enumerate(Table(version.data_path))
        if wanted.fits(number, example, known)
    ]
    return {"dataset": version.reference, "of": version.rows, "rows": rows}


def _counter(workspace: Workspace, base: str | None) -> Callable[[Example], int] | None:
    if base is None:
        return None
    from workbench import base_models
    from workbench.data.template import ChatTemplate, MaskError

    template = ChatTemplate.load(base_models.prepare(workspace, base, say))

    def count(example: Example) -> int:
        try:
            return len(template.encode(example).ids)
        except MaskError:  # `workbench data tokens` names the rows that have none
            return 0

    return count


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
