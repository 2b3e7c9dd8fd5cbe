"""`workbench data repair`: rows that an import left out, mended."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from workbench.data import repairing, repairs, versions
from workbench.text import visible
from workbench.verbs import import_options, recipes
from workbench.verbs.common import leaf
from workbench.verbs.following import add_detach, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace

_SHOWN = 10
"""Rows that are printed; --json gives all."""
_LONGEST = 400
"""Characters of a row, before and after, that are printed."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    parser = leaf(
        verbs,
        "repair",
        help="mend rows that an import left out, as another version",
        run=_repair,
        show=_show,
    )
    add_dataset(parser)
    import_options.add_kinds(parser, "only by these repairs")
    parser.add_argument(
        "--show", action="store_true", help="only show the rows before and after", dest="only_show"
    )
    add_detach(parser)


def _repair(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    version = versions.resolve(workspace, args.reference)
    kinds = import_options.kinds(args.kinds)
    if not args.only_show:
        return recipes.start(args, workspace, repairing.with_repair(version, kinds))
    rows = list(repairing.look(version, kinds))
    counts = Counter("+".join(row.repairs) for row in rows if row.repairs)
    return {
        "reference": version.reference,
        "bad": len(rows),
        "mendable": dict(counts),
        "does": {name: repairs.does(name) for name in repairs.NAMES},
        "rows": [row.to_json() for row in rows],
    }


def _show(result: dict[str, Any]) -> None:
    if "bad" not in result:
        show_result(recipes.show_made)(result)
        return
    mendable = sum(result["mendable"].values())
    print(
        f"{result['reference']}: {result['bad']:,} rows could not be read as examples; "
        f"{mendable:,} can be mended."
    )
    for names, count in result["mendable"].items():
        print(f"  {count:,} by {names}")
    used = {name for names in result["mendable"] for name in names.split("+")}
    for name in sorted(used):
        print(f"  {name} {result['does'][name]}")
    shown = [row for row in result["rows"] if row["repairs"]]
    for row in shown[:_SHOWN]:
        print(visible(f"\n── {row['source']}: {row['reason']}"))
        print(visible(f"before  {_short(row['before'])}"))
        for after in row["after"]:
            print(visible(f"after   {_short(after['messages'])}  ({'+'.join(row['repairs'])})"))
    if (more := len(shown) - _SHOWN) > 0:
        print(f"\nand {more:,} more; --json gives all")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
