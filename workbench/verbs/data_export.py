"""`workbench data export`: a dataset version as files for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.data import schemas
from workbench.data.versions import SPLITS
from workbench.files import user_path
from workbench.text import visible
from workbench.verbs.common import leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    parser = leaf(
        verbs,
        "export",
        help="write a version as a file, or as a folder for `datasets`",
        run=_export,
        show=show_result(_show),
    )
    add_dataset(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="PATH",
        help="its end says what it is: .jsonl, .json, .csv, .tsv (each also with .gz), .parquet; "
        "without one it is a folder as Dataset.save_to_disk writes it",
    )
    parser.add_argument(
        "--format",
        default="rows",
        choices=list(schemas.SCHEMAS),
        help="which fields a row has (default: rows, which holds conversations as openai does and "
        "plain texts as text)",
    )
    parser.add_argument("--split", default="", choices=SPLITS, help="the rows of this one alone")
    parser.add_argument(
        "--dataset-info",
        default="",
        metavar="NAME",
        help="name the file in LLaMA-Factory's dataset_info.json beside it",
    )
    add_detach(parser)


def _export(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data import export_job
    from workbench.data.exporting import Options

    workspace = Workspace.find(args.workspace)
    options = Options(schema=args.format, split=args.split, info=args.dataset_info)
    path = user_path(args.out)

    def start() -> Path:
        return export_job.start(workspace, args.reference, path, options)

    return do_job(args, start, export_job.written)


def _show(result: dict[str, Any]) -> None:
    counts = ", ".join(f"{count:,} {split}" for split, count in result["rows"].items())
    print(visible(f"{result['reference']}: {counts} rows as {result['schema']}"))
    print(visible(f"in {result['path']}"))
    if result["info"]:
        print(visible(f"dataset_info.json beside it names it {result['info']}"))
