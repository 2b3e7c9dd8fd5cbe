"""The options of `workbench data import` that say how rows are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.data import dataset_info, repairs, revising, versions
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


def add(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    parser.add_argument(
        "--repair", action="store_true", help="mend rows with the usual faults, by every repair"
    )
    add_kinds(parser, "only by these")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=FIELD",
        dest="mapping",
        help="which field is what: prompt, context, response, history, system, tools, task, text, "
        "or messages with role, content and role.user=NAME",
    )
    parser.add_argument(
        "--map-like", metavar="REF", help="which field is what, as a version was imported"
    )
    parser.add_argument(
        "--encoding", default="", metavar="NAME", help="of the files, such as cp1252"
    )
    parser.add_argument("--dataset", metavar="NAME", help="the data set of dataset_info.json")
    cut = parser.add_mutually_exclusive_group()
    for unit in ("chars", "tokens"):
        cut.add_argument(
            f"--cut-{unit}",
            type=int,
            metavar="N",
            help=f"cut plain texts at the ends of paragraphs into pieces of at most N {unit}",
        )
    parser.add_argument("--model", default="default", metavar="BASE", help="of --cut-tokens")


def _model(workspace: Workspace, base: str) -> str:
    """The base model as a recipe names it: a folder by its whole path."""
    from workbench import base_models

    if base_models.can_be_fetched(base):
        return base
    return str(base_models.resolve(workspace, base))


def add_kinds(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--kinds`, which names repairs."""
    names = ", ".join(repairs.NAMES)
    parser.add_argument("--kinds", metavar="KINDS", help=f"{help}, with commas between: {names}")


def read(args: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    """What they say, by the names of `importing.Options`. Raises WorkbenchError."""
    from workbench.data import mapping

    if args.mapping and args.map_like:
        raise WorkbenchError("--map and --map-like are two ways to say which field is what.")
    for given in (args.cut_chars, args.cut_tokens):
        if given is not None and given < 1:
            raise WorkbenchError("A piece of a text has at least one character or token.")
    mapped = mapping.from_texts(args.mapping)
    if args.map_like:
        version = versions.resolve(workspace, args.map_like)
        mapped = revising.mapping_of(version)
    return {
        "repairs": kinds(args.kinds) if args.repair or args.kinds else (),
        "mapping": mapped,
        "encoding": args.encoding,
        "cut": args.cut_chars or args.cut_tokens or 0,
        "cut_model": _model(workspace, args.model) if args.cut_tokens else "",
    }


def kinds(text: str | None) -> tuple[str, ...]:
    """The repairs that a text names; all for None. Raises WorkbenchError for others."""
    if text is None:
        return repairs.NAMES
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in repairs.NAMES]:
        raise WorkbenchError(
            f"There is no repair {unknown[0]!a}.", f"There are {', '.join(repairs.NAMES)}."
        )
    return names


def origins(args: argparse.Namespace) -> list[str]:
    """What is to be imported, as `importing` takes it."""
    if args.dataset is None:
        return list(args.files)
    if len(args.files) != 1 or Path(args.files[0]).name != dataset_info.NAME:
        raise WorkbenchError(f"--dataset goes with one file, {dataset_info.NAME}.")
    return [f"{args.files[0]}:{args.dataset}"]
