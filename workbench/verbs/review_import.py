"""`workbench review import`: judgements that were made elsewhere, to report on."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from workbench.files import user_path
from workbench.review import layouts
from workbench.text import visible
from workbench.verbs.common import leaf
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench review`."""
    known = ", ".join(layout.name for layout in layouts.KNOWN)
    parser = leaf(
        verbs, "import", help="take judgements made elsewhere", run=_import, show=_show_imported
    )
    parser.add_argument("file", metavar="FILE", help=".xlsx, .csv, .tsv, .json, .jsonl or .parquet")
    parser.add_argument("--name", help="name of the review (default: the file's)")
    parser.add_argument(
        "--layout",
        metavar="FILE",
        help=f"which column means what, as YAML (default: recognised; known: {known})",
    )
    parser.add_argument("--encoding", metavar="NAME", default="", help="of text (default: UTF-8)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out rows that are no judgement, and say so"
    )


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.review import importing

    path = user_path(args.file)
    name = args.name or _name(path)
    layout = user_path(args.layout) if args.layout else None
    study = importing.import_file(
        Workspace.find(args.workspace),
        path,
        name,
        layout,
        skip_bad=args.skip_bad,
        encoding=args.encoding,
    )
    return {
        "name": study.name,
        "judgements": len(study.assessments),
        "items": len({each.item for each in study.assessments}),
        "annotators": len({each.annotator for each in study.assessments}),
        "systems": sorted({system for each in study.assessments for system in each.systems}),
        "replaced": study.replaced,
        "refused": study.refused,
        "source": study.source,
    }


def _name(path: Path) -> str:
    """The file's name, with what can't be in a review's name as hyphens."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "review"


def _show_imported(result: dict[str, Any]) -> None:
    print(
        f"Review {result['name']}: {result['judgements']} judgements of {result['items']} items "
        f"by {result['annotators']} annotators, of {visible(', '.join(result['systems']))}."
    )
    if result["replaced"]:
        print(f"{result['replaced']} earlier judgements of the same by the same were replaced.")
    if result["refused"]:
        print(f"{result['refused']} rows were no judgement and were left out.")
    print(f"What they say: workbench review report {result['name']}")
