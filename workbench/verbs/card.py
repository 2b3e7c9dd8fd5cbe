"""`workbench data card`: where a version's rows come from, and what is known of them."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.data import card, data_card, versions
from workbench.text import visible
from workbench.verbs.common import leaf
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    parser = leaf(
        verbs,
        "card",
        help="the data card: sources, licences, steps, figures, findings",
        run=_card,
        show=_show,
    )
    add_dataset(parser)


def _card(args: argparse.Namespace) -> dict[str, Any]:
    version = versions.resolve(Workspace.find(args.workspace), args.reference)
    return {**data_card.refresh(version), "path": str(version.folder / card.NAME)}


def _show(result: dict[str, Any]) -> None:
    print(visible(card.render(result)), end="")
    print(visible(f"\nin {result['path']}"))
