"""`workbench data mix`: one dataset version of several tasks or datasets, in shares."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.data import mixing, versions
from workbench.data.mix import MOST_EPOCHS
from workbench.data.recipe import Mix
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.text import visible
from workbench.verbs import recipes
from workbench.verbs.common import leaf, say, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench data`."""
    parser = leaf(
        verbs,
        "mix",
        help="mix datasets or tasks in shares, as a version",
        run=_mix,
        show=show_result(_show),
    )
    parser.add_argument("name", metavar="NAME", help="name of the mixture")
    parser.add_argument(
        "references", nargs="+", metavar="REF[=WEIGHT]", help="NAME or NAME@VERSION, and its share"
    )
    parser.add_argument(
        "--by",
        choices=("task", "source"),
        help="what has a share (default: source; of a single REF, and with --weight, task)",
    )
    parser.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="TASK=WEIGHT",
        help="the share of a task; give one to each",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="shares by size^(1/T): 1 in proportion (the default), more is more even",
    )
    parser.add_argument("--cap", type=int, metavar="N", help="rows of each that count, at most")
    parser.add_argument("--rows", type=int, metavar="N", help="training rows of the mixture")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of rows (default: 0)")
    parser.add_argument("--preview", action="store_true", help="only say what would be in it")
    parser.add_argument("--model", metavar="BASE", help="with --preview: count its tokens, too")
    add_detach(parser)


def _mix(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data import replay_job

    workspace = Workspace.find(args.workspace)
    if args.model and not args.preview:
        raise WorkbenchError("--model counts tokens for --preview; the mixture needs none.")
    named = [_weighted(text) for text in args.references]
    found = [versions.resolve(workspace, reference) for reference, _ in named]
    weights = {v.reference: w for v, (_, w) in zip(found, named, strict=True) if w is not None}
    by = args.by or ("source" if weights or (len(found) > 1 and not args.weight) else "task")
    if weights and by == "task":
        raise WorkbenchError(
            "REF=WEIGHT is the share of a source.", "Leave out --by task, or use --weight TASK=W."
        )
    if args.weight and by == "source":
        raise WorkbenchError(
            "--weight is the share of a task.", "Add --by task, or write REF=WEIGHT."
        )
    step = _step(args, by, weights)
    recipe = mixing.recipe_of(args.name, found, step)
    planned = _preview(workspace, found, step, args.model)
    if args.preview:
        return {"name": args.name, "by": by, "parts": planned}

    def result(folder: Path) -> dict[str, Any]:
        return recipes.made(versions.resolve(workspace, tasks.result(folder)))

    return do_job(args, lambda: replay_job.start(workspace, recipe), result)


def _step(args: argparse.Namespace, by: str, weights: dict[str, float]) -> Mix:
    from pydantic import ValidationError

    for text in args.weight:
        task, weight = _weighted(text)
        if weight is None:
            raise WorkbenchError(f"--weight {text!r} is no TASK=WEIGHT.")
        if weights.setdefault(task, weight) != weight:
            raise WorkbenchError(f"Two weights are given for the task {task}.")
    body = {
        "by": by,
        "weights": weights,
        "temperature": args.temperature,
        "cap": args.cap,
        "rows": args.rows,
        "seed": args.seed,
    }
    try:
        return Mix.model_validate(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the mixture'}: "
            f"{e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise WorkbenchError(f"There is no such mixture: {problems}.") from error


def _weighted(text: str) -> tuple[str, float | None]:
    """A name, and its weight where it has one."""
    name, equals, weight = text.rpartition("=")
    if not equals:
        return text, None
    try:
        return name, float(weight)
    except ValueError as error:
        raise WorkbenchError(f"The weight of {name}, {weight!r}, is no number.") from error


def _preview(
    workspace: Workspace, found: list[Version], step: Mix, base: str | None
) -> list[dict[str, Any]]:
    template = None
    if base is not None:
        from workbench import base_models
        from workbench.data.template import ChatTemplate

        template = ChatTemplate.load(base_models.prepare(workspace, base, say))
    return [planned.to_json() for planned in mixing.preview(found, step, template)]


def _show(result: dict[str, Any]) -> None:
    if "parts" not in result:
        recipes.show_made(result)
        print(shares(result["steps"][-1]["parameters"]["parts"]))
        return
    print(shares(result["parts"]))
    print("Rows that two of them share, and leaks, are left out before it is mixed.")


def shares(parts: list[dict[str, Any]]) -> str:
    """A table of what a mixture takes of each part, and what is to be said of many repeats."""
    whole = sum(part["taken"] for part in parts)
    counted = any(part.get("tokens") is not None for part in parts)
    rows = [
        [
            part["name"] or "–",
            part["rows"],
            f"{100 * part['taken'] / whole:.1f} %",
            part["taken"],
            f"{part['epochs']:.2f}",
            *([part["tokens"]] if counted else []),
        ]
        for part in parts
    ]
    columns = ["of", "rows there", "share", "rows taken", "epochs", *["tokens"] * counted]
    lines = [table(columns, rows)]
    lines += [
        visible(
            f"{part['name'] or '–'} is seen {part['repeats']:.1f} times in one pass: past "
            f"{MOST_EPOCHS} epochs repeats teach less and less (Muennighoff et al., 2023).",
            one_line=True,
        )
        for part in parts
        if part["repeats"] > MOST_EPOCHS
    ]
    return "\n".join(lines)
