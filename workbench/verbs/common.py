"""What every verb shares: its options, and how a table is printed."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.settings import CHOICES
from workbench.text import visible
from workbench.verbs.tables import lay_out
from workbench.workspace import Workspace


def leaf(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    help: str,
    run: Callable[[argparse.Namespace], Any],
    show: Callable[[Any], None],
) -> argparse.ArgumentParser:
    """Add the command `name`.

    `run(args)` does the work and returns what `--json` prints; `show(result)` prints
    the same result for a person.
    """
    parser = subparsers.add_parser(name, help=help, description=help)
    add_workspace(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run, show=show)
    return parser


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace`, which may stand before the verb and after it."""
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        # A verb's own default would hide what was given before the verb.
        default=argparse.SUPPRESS,
        help="folder that holds everything (default: $WORKBENCH_HOME, else ./workbench-data)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, which changes fields of a config."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="settings",
        help="change a field, such as lora.rank=8; may be given several times",
    )


def add_app_options(parser: argparse.ArgumentParser) -> None:
    """Add how the app is drawn, for the command itself and for verbs that open the app."""
    for name, help in (
        ("--no-mouse", "leave the mouse to the terminal, so that it selects text"),
        ("--ascii", "draw with ASCII characters only, as --symbols ascii"),
    ):
        parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=help)
    parser.add_argument(
        "--symbols",
        choices=CHOICES["symbols"],
        default=argparse.SUPPRESS,
        help="what charts and bars are drawn with (default: by the settings and the terminal)",
    )


def group(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    help: str,
    alone: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Add the command `name` that has commands of its own; `alone` says what it does without
    one, where it does something."""
    parser = subparsers.add_parser(name, help=help, description=help)
    if alone is not None:
        alone(parser)
    return parser.add_subparsers(metavar="COMMAND", required=alone is None)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain text table, fitted to the terminal where it goes to one."""
    return lay_out(headers, rows, _columns())


def fitted(text: str) -> str:
    """A line of text, broken between words where it goes to a terminal that is narrower."""
    columns = _columns()
    return text if columns is None else textwrap.fill(text, columns, subsequent_indent="  ")


def _columns() -> int | None:
    """The terminal's; None where the result goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@dataclass(frozen=True, slots=True)
class OpenApp:
    """What a verb returns to have the app opened instead of a result printed."""

    workspace: Workspace
    mode: str
    run_id: str | None = None
    dataset: str | None = None
    session: str = ""
    annotator: str = ""
    """Who judges; empty: the login name."""
    mouse: bool = True
    symbols: str | None = None
    """What is asked for on the command line; None: by the settings."""
    compact: bool = False


def open_app(
    args: argparse.Namespace,
    mode: str,
    *,
    run_id: str | None = None,
    dataset: str | None = None,
    session: str = "",
    annotator: str = "",
    compact: bool = False,
) -> OpenApp:
    """The app on screen `mode`, with the options of the command line."""
    return OpenApp(
        workspace=Workspace.find(args.workspace),
        mode=mode,
        run_id=run_id,
        dataset=dataset,
        session=session,
        annotator=annotator,
        mouse=not args.no_mouse,
        symbols="ascii" if args.ascii else args.symbols,
        compact=compact,
    )


def width() -> int:
    """Columns that sentences are wrapped to: the terminal's, within what reads well."""
    return max(40, min(100, shutil.get_terminal_size().columns))


def say(text: str) -> None:
    """Progress in words goes to stderr, so that stdout holds the result alone."""
    print(visible(text), file=sys.stderr, flush=True)
