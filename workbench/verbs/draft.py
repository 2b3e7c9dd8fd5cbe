"""`workbench data draft`: decisions about rows, kept one by one, and the version made of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.data import editing, revising, versions
from workbench.data.draft import Draft
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, user_path
from workbench.jobs import tasks
from workbench.text import visible
from workbench.verbs import recipes
from workbench.verbs.common import leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace

_WORDS = {"keep": "stays", "remove": "is to go", "edit": "is rewritten"}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    draft = leaf(
        verbs,
        "draft",
        help="decide about rows one by one, and make a version of it all",
        run=_draft,
        show=show_result(_show),
    )
    add_dataset(draft)
    what = draft.add_mutually_exclusive_group()
    what.add_argument("--keep", nargs="+", type=int, metavar="N", help="rows that stay")
    what.add_argument("--remove", nargs="+", type=int, metavar="N", help="rows that are to go")
    what.add_argument(
        "--edit", nargs=2, metavar=("N", "FILE.yaml"), help="put what a YAML file holds in a row"
    )
    what.add_argument("--undo", action="store_true", help="take the last decision back")
    what.add_argument("--write", action="store_true", help="make a version of all decisions")
    draft.add_argument("--check", default="", help="whose finding the decision is about")
    add_detach(draft)


def _draft(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    version = versions.resolve(workspace, args.reference)
    draft = Draft(version.folder)
    if args.write:
        return _write(args, workspace, version, draft)
    if args.undo and draft.undo() is None:
        raise WorkbenchError(f"There is no decision about {version.reference} to take back.")
    if args.edit:
        number, file = args.edit
        if not number.isdecimal():
            raise WorkbenchError(f"{number} is no number of a row.")
        _decide(version, draft, "edit", [int(number)], args.check, _fields(user_path(file)))
    for do in ("keep", "remove"):
        if getattr(args, do):
            _decide(version, draft, do, getattr(args, do), args.check)
    return {
        "dataset": version.reference,
        "decisions": [decision.to_json() for decision in draft.waiting],
        "would_change": len(draft),
    }


def _fields(path: Path) -> dict[str, Any]:
    try:
        return editing.from_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8.", "Save it as UTF-8.") from error


def _decide(
    version: Version, draft: Draft, do: Any, numbers: list[int], check: str, fields: Any = None
) -> None:
    revising.ids_of(version, numbers)  # all or none
    rows = Table(version.data_path)
    for number in numbers:
        draft.decide(do, number - 1, rows[number - 1], check, fields)


def _write(
    args: argparse.Namespace, workspace: Workspace, version: Version, draft: Draft
) -> dict[str, Any]:
    from workbench.data import replay_job

    recipe, keys = revising.drafted(version, draft), [d.key for d in draft.waiting]

    def result(folder: Path) -> dict[str, Any]:
        made = versions.resolve(workspace, tasks.result(folder))
        draft.written(made.reference, keys)
        return recipes.made(made)

    return do_job(args, lambda: replay_job.start(workspace, recipe), result)


def _show(result: dict[str, Any]) -> None:
    if "steps" in result:
        recipes.show_made(result)
        return
    decisions = result["decisions"]
    rows = [[d["row"], _WORDS[d["do"]], d.get("check", ""), d["id"]] for d in decisions]
    if rows:
        print(visible(table(["row", "", "check", "id"], rows)))
    print(f"{result['dataset']}: {len(rows)} decisions that no version was made of yet")
    if result["would_change"]:
        print(f"`workbench data draft {result['dataset']} --write` makes one")
