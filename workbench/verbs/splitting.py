"""What decides which rows may be on which side of a split, for verbs that make one."""

from __future__ import annotations

import argparse

from workbench.data.curate.duplicates import THRESHOLD
from workbench.data.recipe import Split
from workbench.errors import WorkbenchError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides which rows may be on which side of a split."""
    parser.add_argument(
        "--split-by",
        default="prompt",
        metavar="FIELD",
        help="rows with the same value of it stay together (default: the prompt)",
    )
    parser.add_argument(
        "--stratify", choices=("task",), help="hold out the share of each task, not of all rows"
    )
    parser.add_argument(
        "--near-duplicates-together",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="rows that say almost the same stay on one side (the default)",
    )


def step_of(args: argparse.Namespace) -> Split:
    """The step that a command line asks for. Raises WorkbenchError for a share that can't be."""
    if not 0 <= args.validation < 1:
        raise WorkbenchError("The validation share must be at least 0 and below 1.")
    return Split(
        share=args.validation,
        seed=args.seed,
        by=args.split_by,
        near_duplicates=THRESHOLD if args.near_duplicates_together and args.validation else None,
        stratify=args.stratify,
    )
