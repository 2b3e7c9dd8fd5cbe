"""What `workbench data import` takes: what is imported, and how."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data import dataset_info, repairs, revising, versions
from workbench.errors import WorkbenchError
from workbench.verbs import splitting
from workbench.workspace import Workspace, check_name

if TYPE_CHECKING:
    from workbench.data.importing import Options


def add(parser: argparse.ArgumentParser) -> None:
    """Add the files and the options."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--name", help="name of the dataset (default: the first file's)")
    parser.add_argument(
        "--validation", type=float, default=0.1, metavar="SHARE", help="held out (default: 0.1)"
    )
    parser.add_argument(
        "--validation-file",
        action="append",
        default=[],
        metavar="FILE",
        help="the validation split, instead of a share; may be given several times",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    splitting.add_options(parser)
    parser.add_argument(
        "--license",
        action="append",
        default=[],
        metavar="[FILE=]ID",
        help="the licence that the rows are under, such as mit; of one file, or of all",
    )
    parser.add_argument("--task", default="", help="the task of every row, such as summarise")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out rows that can't be used, with a reason"
    )
    _add_reading(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
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


def request(args: argparse.Namespace, workspace: Workspace) -> tuple[list[str], str, Options]:
    """What is to be imported, under which name, and how. Raises WorkbenchError for what can be
    told before a file is read."""
    from workbench.data.importing import Options

    named = origins(args)
    options = Options(
        validation_share=args.validation,
        validation_files=tuple(args.validation_file),
        seed=args.seed,
        split_by=args.split_by,
        stratify=args.stratify or "",
        near_duplicates_together=args.near_duplicates_together,
        task=args.task,
        licenses=_licences(args),
        skip_bad=args.skip_bad,
        **_reading(args, workspace),
    )
    return named, args.name or _name_of(named[0]), options


def _reading(args: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    """How rows are read, by the names of `importing.Options`."""
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


def _licences(args: argparse.Namespace) -> dict[str, str]:
    """The licence of each file; under an empty name that of the others."""
    files = {*origins(args), *args.validation_file}
    found: dict[str, str] = {}
    for text in args.license:
        name, equals, licence = text.rpartition("=")
        if equals and name not in files:
            raise WorkbenchError(
                f"--license {text}: {name} is none of the files that are imported.",
                f"Write it as one of {', '.join(sorted(files))}.",
            )
        if not licence.strip():
            raise WorkbenchError(f"--license {text!r} names no licence.")
        if found.setdefault(name, licence) != licence:
            raise WorkbenchError(f"Two licences are given for {name or 'all files'}.")
    return found


def _name_of(origin: str) -> str:
    """The name of a dataset for what it is imported from: `gsm8k` for `hub:openai/gsm8k:main`."""
    last = re.split(r"[:@#]", Path(origin.removeprefix("hub:")).name)
    name = last[-1] if ".json" in last[0] and len(last) > 1 else last[0].partition(".")[0]
    try:
        return check_name(name, "dataset")
    except WorkbenchError as error:
        raise WorkbenchError(error.message, f"Choose one with --name. {error.hint}") from error
