"""`workbench runs compare`: several runs held against each other."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, table, width
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to `workbench runs`."""
    compare = leaf(
        verbs,
        "compare",
        help="what differs between runs: configs, figures with intervals, data, environments",
        run=_compare,
        show=_show,
    )
    compare.add_argument(
        "references", nargs="+", metavar="RUN", help="two or more; the first is what others change"
    )


def _compare(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.tracking import comparing

    workspace = Workspace.find(args.workspace)
    folders = [finding.find(workspace, reference) for reference in args.references]
    folders = list(dict.fromkeys(folders))
    if len(folders) < 2:
        raise WorkbenchError(
            f"{folders[0].name} can't be compared with itself.", "Name two runs or more."
        )
    return comparing.whole(workspace, folders)


def _show(result: dict[str, Any]) -> None:
    from workbench.tracking import comparing_text

    for told in comparing_text.tables(result):
        if told.title:
            print(f"\n{visible(told.title, one_line=True)}")
        if told.rows:
            print(table(told.headers, told.rows))
        for note in told.notes:
            print(textwrap.fill(visible(note, one_line=True), width()))
