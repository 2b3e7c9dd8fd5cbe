"""`workbench runs using`: which runs used a dataset version, or a row of it."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from workbench.text import visible
from workbench.verbs.common import leaf, table, width
from workbench.workspace import Workspace

_SHOWN = 200
"""Characters of a row that are printed."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to `workbench runs`."""
    using = leaf(
        verbs,
        "using",
        help="which runs used this dataset version, or this row",
        run=_using,
        show=_show,
    )
    using.add_argument("reference", metavar="DATASET", help="NAME or NAME@VERSION")
    which = using.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, metavar="N", help="a row of it by its line, from 1")
    which.add_argument("--id", metavar="ID", help="a row of it by its id, as `data find` tells it")


def _using(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.tracking import using

    workspace = Workspace.find(args.workspace)
    if args.row is None and args.id is None:
        uses = using.of_dataset(workspace, args.reference)
        return {"dataset": args.reference, "runs": [use.to_json() for use in uses]}
    row = using.find_row(workspace, args.reference, args.id or args.row)
    found, gone = using.of_row(workspace, row)
    return {
        "dataset": row.version.reference,
        "row": row.to_json(),
        "runs": [use.to_json() for use in found],
        "gone": gone,
    }


def _show(result: dict[str, Any]) -> None:
    runs = result["runs"]
    if "row" in result:
        _show_row(result["row"])
        if runs:
            headers = ["run", "state", "version", "row", "split", "learnt", "steps", "losses"]
            print(table(headers, [_row_cells(use) for use in runs]))
        else:
            print("No run's dataset has it.")
        if result["gone"]:
            gone = (
                f"Not in this workspace any more, so not looked into: {', '.join(result['gone'])}."
            )
            print(textwrap.fill(visible(gone, one_line=True), width()))
        return
    if not runs:
        print(visible(f"No run has used {result['dataset']}.", one_line=True))
        return
    from workbench.tracking.using import WORDS

    rows = [
        [use["run"], use["status"], WORDS[use["how"]], _share(use), use["dataset"]] for use in runs
    ]
    print(table(["run", "state", "how", "version", "trained on"], rows))


def _show_row(row: dict[str, Any]) -> None:
    text = row.get("text") or " -> ".join(m["content"] for m in row["messages"])
    print(visible(f"{row['dataset']}, row {row['row']:,}, id {row['id']}", one_line=True))
    print(visible(text[:_SHOWN], one_line=True))
    print()


def _share(use: dict[str, Any]) -> str:
    return use["used"] if use["share"] is None else f"{use['used']} ({use['share']:.0%})"


def _row_cells(use: dict[str, Any]) -> list[str]:
    learnt = {True: "yes", False: "no", None: "not known"}[use["learnt"]]
    losses = ", ".join("none" if loss is None else f"{loss:.3f}" for loss in use["losses"])
    steps = ", ".join(map(str, use["steps"]))
    place = f"{use['row']:,}"
    return [use["run"], use["status"], use["dataset"], place, use["split"], learnt, steps, losses]
