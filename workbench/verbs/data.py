"""`workbench data`: import, look, check."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data import revising, split, versions
from workbench.data.example import Message
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.text import visible
from workbench.verbs import (
    card,
    checks,
    data_export,
    draft,
    find,
    import_options,
    mix,
    recipes,
    repair,
    xray,
)
from workbench.verbs.common import group, leaf, say, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "data", help="import, look at and check datasets")
    _add_import(verbs)
    leaf(
        verbs,
        "build-default",
        help="make the default dataset from Python's own documentation",
        run=_build_default,
        show=recipes.show_made,
    )
    leaf(verbs, "list", help="every dataset version, the newest first", run=_list, show=_show_list)
    show = leaf(verbs, "show", help="rows in full, or as tokens", run=_look, show=_show_rows)
    show.add_argument("reference", metavar="REF", help="NAME, NAME@VERSION or a JSONL file")
    show.add_argument("--row", type=int, default=1, metavar="N", help="first row (default: 1)")
    show.add_argument("--rows", type=int, default=1, metavar="N", help="how many (default: 1)")
    show.add_argument("--tokens", action="store_true", help="each token, and whether it is trained")
    show.add_argument("--model", default="default", metavar="BASE", help="whose tokens")
    checks.add_parsers(verbs)
    recipes.add_parsers(verbs)
    repair.add_parser(verbs)
    data_export.add_parser(verbs)
    find.add_parser(verbs)
    draft.add_parser(verbs)
    xray.add_parsers(verbs)
    card.add_parser(verbs)
    mix.add_parser(verbs)
    check = leaf(
        verbs, "check", help="prove a version whole and free of leaks", run=_check, show=_show_check
    )
    add_dataset(check)
    removed = leaf(
        verbs,
        "removed",
        help="rows that were left out, with the reason",
        run=_removed,
        show=_show_removed,
    )
    add_dataset(removed)


def _add_import(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        verbs,
        "import",
        help="make a dataset version from files (JSONL, JSON, CSV, TSV, Parquet, text, a "
        "datasets folder), from hub:OWNER/NAME or from dataset_info.json:NAME",
        run=_import,
        show=show_result(recipes.show_made),
    )
    import_options.add(parser)
    add_detach(parser)


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data.import_job import start

    workspace = Workspace.find(args.workspace)
    origins, name, options = import_options.request(args, workspace)

    def result(folder: Path) -> dict[str, Any]:
        return recipes.made(versions.resolve(workspace, tasks.result(folder)))

    return do_job(args, lambda: start(workspace, origins, name, options), result)


def _build_default(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data import stdlib_docs

    return recipes.made(stdlib_docs.build(Workspace.find(args.workspace)))


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [v.to_json() for v in versions.list_versions(Workspace.find(args.workspace))]


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print("There are no datasets yet. `workbench data import FILE --name NAME` makes one.")
        return
    rows = [
        [
            version["reference"],
            version["rows"],
            version["splits"].get("train", 0),
            version["splits"].get("validation", 0),
            version["removed"],
            ", ".join(task for task in version["tasks"] if task) or "–",
        ]
        for version in result
    ]
    print(table(["dataset", "rows", "train", "validation", "removed", "tasks"], rows))


def _look(args: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.data.browse import locate, look
    from workbench.data.rows import open_rows

    workspace = Workspace.find(args.workspace)
    if args.rows < 1:
        raise WorkbenchError("--rows must be at least 1.")
    rows = open_rows(locate(workspace, args.reference))
    rows.index()
    first = args.row - 1
    if not 0 <= first < len(rows):
        raise WorkbenchError(
            f"{args.reference} has {len(rows):,} rows; there is no row {args.row}."
        )
    looked = [look(rows, n) for n in range(first, min(len(rows), first + args.rows))]
    result = [row.to_json() for row in looked]
    if args.tokens:
        _add_tokens(workspace, args.model, result)
    return result


def _add_tokens(workspace: Workspace, base: str, result: list[dict[str, Any]]) -> None:
    from workbench import base_models
    from workbench.data.example import Example
    from workbench.data.template import ChatTemplate, MaskError

    template = ChatTemplate.load(base_models.prepare(workspace, base, say))
    for row in result:
        row["encoded"] = []
        for body in row["examples"]:
            try:
                encoded = template.encode(Example.from_json(body))
            except MaskError as error:
                row["problem"] = error.message
                continue
            row["encoded"].append(
                {
                    "tokens": [asdict(token) for token in encoded.tokens],
                    "trained": encoded.trained_tokens,
                    "total": len(encoded.ids),
                }
            )


def _show_rows(result: list[dict[str, Any]]) -> None:
    for row in result:
        problem = f": {row['problem']}" if row["problem"] else ""
        print(visible(f"── row {row['row']}{problem}"))
        if "encoded" in row:
            for encoded in row["encoded"]:
                _show_tokens(encoded)
            continue
        for example in row["examples"]:
            about = [example.get(key, "") for key in ("task", "split", "source")]
            print(visible("  ".join(part for part in about if part)))
            if "text" in example:
                print(textwrap.indent(visible(example["text"]), "  "))
            if "tools" in example:
                print(f"tools:\n{textwrap.indent(visible(example['tools']), '  ')}")
            for message in example.get("messages", ()):
                print(f"{message['role']}:")
                print(textwrap.indent(visible(Message.from_json(message).written), "  "))


def _show_tokens(encoded: dict[str, Any]) -> None:
    rows = [
        [token["id"], "trained" if token["trained"] else token["reason"], repr(token["text"])]
        for token in encoded["tokens"]
    ]
    print(table(["id", "", "text"], rows))
    print(f"{encoded['trained']} of {encoded['total']} tokens are trained")


def _check(args: argparse.Namespace) -> dict[str, Any]:
    version = versions.resolve(Workspace.find(args.workspace), args.reference)
    versions.verify(version)
    examples = list(versions.read(version))
    leaks = split.leaking(examples)
    repeats = len(examples) - len({e.content for e in examples})
    return {
        "reference": version.reference,
        "rows": len(examples),
        "sha256": version.sha256,
        "exact_duplicates": repeats,
        "mixed": any(step["name"] == "mix" for step in versions.describe(version)["steps"]),
        "leaking_rows": [{"train": a.source, "validation": b.source} for a, b in leaks],
    }


def _show_check(result: dict[str, Any]) -> None:
    print(f"{result['reference']}: {result['rows']:,} rows, SHA-256 as it should be")
    why = " (a mixture repeats rows)" if result["mixed"] and result["exact_duplicates"] else ""
    print(f"exact duplicates: {result['exact_duplicates']:,}{why}")
    leaks = result["leaking_rows"]
    print(f"training rows with a prompt of a validation row: {len(leaks):,}")
    for leak in leaks[:20]:
        print(visible(f"  {leak['train']}  =  {leak['validation']}"))


def _removed(args: argparse.Namespace) -> list[dict[str, Any]]:
    version = versions.resolve(Workspace.find(args.workspace), args.reference)
    return [
        {"id": revising.removed_id(removed), **removed.to_json()}
        for removed in versions.read_removed(version)
    ]


def _show_removed(result: list[dict[str, Any]]) -> None:
    if not result:
        print("No row was left out.")
        return
    columns = ("step", "id", "source", "reason")
    print(table(columns, [[r[column] for column in columns] for r in result]))
