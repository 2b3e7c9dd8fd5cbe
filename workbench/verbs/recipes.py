"""`workbench data` verbs that make a version of another one, and say how one was made."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from workbench.data import diff, revising, versions
from workbench.data.reasons import Reasons
from workbench.data.recipe import Drop, Recipe, Redact, Remove
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, user_path
from workbench.jobs import tasks
from workbench.text import visible
from workbench.verbs import splitting
from workbench.verbs.common import leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_dataset
from workbench.workspace import Workspace

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Revise = Callable[[argparse.Namespace, Version], Recipe]
_REASONS = 12
"""Reasons that are printed; --json gives all."""
_SHOWN = 20
"""Changed rows that are printed; --json gives all."""


def add_parsers(verbs: Verbs) -> None:
    """Add the verbs to `workbench data`."""
    make = leaf(
        verbs,
        "make",
        help="make the version that a recipe describes",
        run=_make,
        show=show_result(show_made),
    )
    make.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    make.add_argument("--name", help="name of the dataset (default: the recipe's)")
    add_detach(make)
    recipe = leaf(verbs, "recipe", help="how a version was made, as YAML", run=_recipe, show=_print)
    add_dataset(recipe)
    recipe.add_argument(
        "--whole",
        action="store_true",
        help="from the files on, with the steps of the versions before: it needs no other version",
    )
    compare = leaf(verbs, "diff", help="what differs between two versions", run=_diff, show=_show)
    for name in ("before", "after"):
        compare.add_argument(name, metavar="REF", help="NAME or NAME@VERSION")
    _add_revisions(verbs)


def _add_revisions(verbs: Verbs) -> None:
    drop = _revision(verbs, "drop", "leave out the rows that a check flags", _drop)
    drop.add_argument("check", metavar="CHECK", help="such as near-duplicates")
    drop.add_argument("--kind", action="append", default=[], metavar="KIND", help="only these")
    add_options(drop)
    redact = _revision(verbs, "redact", "put placeholders in place of personal data", _redact)
    redact.add_argument("--kind", action="append", default=[], metavar="KIND", help="only these")
    add_options(redact)
    remove = _revision(verbs, "remove", "leave out rows by their numbers", _remove)
    remove.add_argument("rows", nargs="+", type=int, metavar="N")
    remove.add_argument("--reason", default="a person removed it", help="why")
    edit = _revision(verbs, "edit", "put what a JSON file holds in place of a row", _edit)
    edit.add_argument("row", type=int, metavar="N")
    edit.add_argument("file", type=Path, metavar="FILE", help="`messages` or `text`, and `task`")
    divide = _revision(verbs, "split", "hold out other rows for validation", _split)
    divide.add_argument(
        "--validation", type=float, default=0.1, metavar="SHARE", help="held out (default: 0.1)"
    )
    divide.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    splitting.add_options(divide)
    restore = _revision(verbs, "restore", "bring a removed row back", _restore)
    restore.add_argument("id", metavar="ID", help="as `workbench data removed` lists it")
    switch = _revision(verbs, "switch", "switch a step of the recipe off or on", _switch)
    switch.add_argument("number", type=int, metavar="N", help="counted from 1")
    switch.add_argument("state", choices=("off", "on"))
    _revision(verbs, "undo", "take back the last step of the recipe", _undo)


def _revision(verbs: Verbs, name: str, help: str, revise: Revise) -> argparse.ArgumentParser:
    def run(args: argparse.Namespace) -> dict[str, Any]:
        workspace = Workspace.find(args.workspace)
        version = versions.resolve(workspace, args.reference)
        return start(args, workspace, revise(args, version))

    parser = leaf(
        verbs, name, help=f"{help}, as another version", run=run, show=show_result(show_made)
    )
    add_dataset(parser)
    add_detach(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `--set NAME=VALUE`, for the options of a check."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="options",
        help="an option of the check, such as threshold=0.8",
    )


def options_from(texts: list[str]) -> dict[str, Any]:
    """The options in `NAME=VALUE` texts, with values as YAML has them."""
    import yaml

    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise WorkbenchError(f"{text!r} is no NAME=VALUE.")
        try:
            options[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise WorkbenchError(f"{text!r} has no value that can be read.") from error
    return options


def _drop(args: argparse.Namespace, version: Version) -> Recipe:
    step = Drop(check=args.check, options=options_from(args.options), kinds=tuple(args.kind))
    return revising.with_step(version, step)


def _redact(args: argparse.Namespace, version: Version) -> Recipe:
    kinds = tuple(args.kind) or Redact().kinds
    return revising.with_step(version, Redact(kinds=kinds, options=options_from(args.options)))


def _remove(args: argparse.Namespace, version: Version) -> Recipe:
    step = Remove(rows=revising.ids_of(version, args.rows), reason=args.reason)
    return revising.with_step(version, step)


def _edit(args: argparse.Namespace, version: Version) -> Recipe:
    fields = read_json_object(user_path(args.file))
    return revising.with_step(version, revising.edit_step(version, args.row, fields))


def _split(args: argparse.Namespace, version: Version) -> Recipe:
    return revising.with_step(version, splitting.step_of(args))


def _restore(args: argparse.Namespace, version: Version) -> Recipe:
    return revising.with_row_back(version, args.id)


def _switch(args: argparse.Namespace, version: Version) -> Recipe:
    return revising.switched(version, args.number, off=args.state == "off")


def _undo(args: argparse.Namespace, version: Version) -> Recipe:
    return revising.without_last(version)


def _make(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data import recipe as recipes

    recipe = recipes.load(user_path(args.recipe))
    if args.name:
        recipe = recipes.parse({**recipe.to_json(), "name": args.name}, str(args.recipe))
    return start(args, Workspace.find(args.workspace), recipe)


def start(args: argparse.Namespace, workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    """Make the version that a recipe describes as a job, and return what came of it."""
    from workbench.data import replay_job

    def result(folder: Path) -> dict[str, Any]:
        version = versions.resolve(workspace, tasks.result(folder))
        return made(version, replay_job.steps_of(folder))

    return do_job(args, lambda: replay_job.start(workspace, recipe), result)


def made(version: Version, did: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What `--json` says of a version that was made; `did` is what its steps did just now, which
    need not be how its rows were made first."""
    steps = versions.describe(version)["steps"] if did is None else did
    reasons = Reasons(versions.read_removed(version))
    return {
        **version.to_json(),
        "rows_in": steps[0]["before"] if steps else version.rows,
        "steps": steps,
        "reasons": reasons.to_json(),
        "mendable": dict(reasons.mendable),
    }


def show_made(result: dict[str, Any]) -> None:
    """Print the rows after each step."""
    columns = ("before", "after", "changed")
    rows = [[f"{s['name']}", *(s.get(column, 0) for column in columns)] for s in result["steps"]]
    print(visible(table(["step", *columns], rows)))
    splits = ", ".join(f"{count:,} {name}" for name, count in result["splits"].items())
    print(f"\n{result['reference']}: {result['rows']:,} rows ({splits})")
    print(f"in {result['folder']}")
    if pairs := sum(step["parameters"].get("preference_pairs", 0) for step in result["steps"]):
        print(
            f"{pairs:,} rows were preference pairs: the chosen answer is the response; the "
            "rejected one stays in the row's field `rejected`, and nothing is trained on it."
        )
    if result["removed"]:
        _show_reasons(result)


def _show_reasons(result: dict[str, Any]) -> None:
    """Print how many rows came in, how many didn't, and why."""
    print(
        f"\n{result['rows_in']:,} rows came in, {result['removed']:,} rows were left out; "
        f"`workbench data removed {result['reference']}` has each:"
    )
    groups = result["reasons"]
    for group in groups[:_REASONS]:
        reason = f"  {group['count']:,} × {group['step']}: {group['reason']}"
        print(visible(f"{reason} (first {group['first']})", one_line=True))
    if more := sum(group["count"] for group in groups[_REASONS:]):
        print(f"  and {more:,} for other reasons; --json gives all")
    if mendable := sum(result["mendable"].values()):
        print(
            f"{mendable:,} of them can be mended: `workbench data repair {result['reference']} "
            "--show` says how."
        )


def _recipe(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    recipe = revising.recipe_of(versions.resolve(workspace, args.reference))
    return (revising.whole_recipe(workspace, recipe) if args.whole else recipe).to_json()


def _print(result: dict[str, Any]) -> None:
    from workbench.data.recipe import parse

    print(visible(parse(result, "the recipe").to_yaml()), end="")


def _diff(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    before, after = (versions.resolve(workspace, r) for r in (args.before, args.after))
    found = diff.compare(before, after)
    return {
        "before": before.reference,
        "after": after.reference,
        "rows": list(found.rows),
        "same": found.same,
        **{what: found.count(what) for what in diff.KINDS},
        "changes": [change.to_json() for change in found.changes],
    }


def _show(result: dict[str, Any]) -> None:
    before, after = result["rows"]
    print(f"{result['before']}: {before:,} rows; {result['after']}: {after:,} rows")
    counts = ", ".join(f"{result[what]:,} {what}" for what in diff.KINDS)
    print(f"{result['same']:,} the same, {counts}")
    for change in result["changes"][:_SHOWN]:
        print(visible(_shown(change), one_line=True))
    if (more := len(result["changes"]) - _SHOWN) > 0:
        print(f"and {more:,} more; --json gives all")


def _shown(change: dict[str, Any]) -> str:
    row = change.get("after") or change["before"]
    place = f"{change['what']:8} {row.get('source', '')}  "
    if change["what"] == "moved":
        old = change["before"]
        return (
            f"{place}{old['split']} {old.get('task', '')} -> {row['split']} {row.get('task', '')}"
        )
    if change["what"] == "changed":
        marks = {"=": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
        return place + "".join(marks[what].format(text) for what, text in change["diff"])
    return f"{place}{row.get('text') or row['messages'][-1]['content']}"
