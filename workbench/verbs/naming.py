"""The arguments that name what a verb is about: a run, a dataset or a config."""

from __future__ import annotations

import argparse

from workbench.tracking.finding import LATEST


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add `reference`, a run: the latest where none is named."""
    parser.add_argument(
        "reference",
        nargs="?",
        default=LATEST,
        metavar="RUN",
        help="its id, the start of it, or `latest` (the default)",
    )


def add_named_run(parser: argparse.ArgumentParser) -> None:
    """Add `reference`, a run that must be named."""
    parser.add_argument("reference", metavar="RUN", help="its id, the start of it, or `latest`")


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add `reference`, a version of a dataset."""
    parser.add_argument("reference", metavar="REF", help="NAME or NAME@VERSION")


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `config`, a file or the name of one in the workspace."""
    parser.add_argument(
        "config",
        nargs=None if required else "?",
        metavar="CONFIG",
        help="a YAML file, or a name",
    )
