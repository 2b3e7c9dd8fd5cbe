"""`workbench score`: every figure of outputs that are stored, without a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.tracking import runs
from workbench.verbs.common import leaf
from workbench.verbs.evaluate import show_scores, show_told
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.evaluation.names import Settings
    from workbench.evaluation.rescoring import Data


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "score",
        help="measure outputs that are stored, anew: of an evaluation, or of a file",
        run=_score,
        show=_show,
    )
    parser.add_argument(
        "reference",
        nargs="?",
        default=runs.LATEST,
        metavar="WHAT",
        help="a run (its newest evaluation), an evaluation's folder, or a .jsonl file of rows "
        "with prompt, reference or references, and outputs by system",
    )
    add_choices(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap")
    parser.add_argument(
        "--train", metavar="REF", help="dataset whose training rows outputs may be copied from"
    )
    parser.add_argument("--save", action="store_true", help="keep it as the evaluation's result")
    parser.add_argument(
        "--slices", action="store_true", help="print figures by task, length and contamination, too"
    )
    parser.add_argument(
        "--show", metavar="MARK", dest="mark", help="print the outputs that a mark is on: loop, …"
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add what says which metrics there are to be."""
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        dest="metrics",
        metavar="[TASK=]NAME",
        help="may be given several times; MODULE:FUNCTION is one of your own "
        "(default: by the shape of the references)",
    )
    parser.add_argument("--labels", metavar="A,B,…", help="of classification (default: the data's)")
    parser.add_argument("--pattern", metavar="REGEX", help="that outputs are to match")


def _score(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.evaluation import rescoring

    workspace = Workspace.find(args.workspace)
    given = user_path(args.reference)
    if given.is_file():
        if args.save:
            raise WorkbenchError("--save is for an evaluation's folder, not for a file.")
        settings = _settings(args, {})
        data = _data(args, workspace, None)
        scored = rescoring.score_file(given, settings, data, seed=args.seed)
        where, about = given, {}
    else:
        where = _folder(workspace, args.reference, given)
        about = _known(where)
        settings = _settings(args, about)
        data = _data(args, workspace, where.absolute().parent.parent)
        scored = rescoring.score_folder(where, settings, data, seed=args.seed)
    if args.save:
        rescoring.save(where, scored, about)
    body = {**about, **scored.result, "where": str(where), "slices_asked": args.slices}
    if args.mark:
        body["shown"] = _shown(where, scored.rows, args.mark)
    return body


def _folder(workspace: Workspace, reference: str, given: Path) -> Path:
    from workbench.evaluation.rows import OUTPUTS

    if given.is_dir():
        if not (given / OUTPUTS).exists():
            raise WorkbenchError(
                f"{given} has no {OUTPUTS}: it is no evaluation.",
                "Name a run, the folder of an evaluation, or a .jsonl file.",
            )
        return given
    run = runs.find(workspace, reference)
    newest = runs.newest_evaluation(run)
    if newest is None:
        raise WorkbenchError(f"The run {run.name} has not been evaluated.", "workbench eval")
    return newest


def _known(folder: Path) -> dict[str, Any]:
    from workbench.evaluation.request import SCORES
    from workbench.files import read_json_object

    return read_json_object(folder / SCORES) if (folder / SCORES).exists() else {}


def _settings(args: argparse.Namespace, known: dict[str, Any]) -> Settings:
    """What was asked for before, but where something else is wanted now."""
    from workbench.evaluation.names import Settings
    from workbench.evaluation.rescoring import settings_of

    before = settings_of(known)
    labels = args.labels.split(",") if args.labels else before.labels
    return Settings(
        metrics=tuple(args.metrics) or before.metrics,
        labels=tuple(name.strip() for name in labels if name.strip()),
        pattern=args.pattern or before.pattern,
    )


def _data(args: argparse.Namespace, workspace: Workspace, run: Path | None) -> Data:
    from workbench.data import versions
    from workbench.evaluation.rescoring import Data, data_of, data_of_run

    if args.train:
        return data_of(versions.resolve(workspace, args.train))
    return data_of_run(run) if run else Data()


def _shown(where: Path, scored: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """The outputs that a mark is on."""
    from workbench.degeneration.marks import RULES
    from workbench.evaluation.rows import OUTPUTS, read_outputs

    there = {name for row in scored for found in row["marks"].values() for name in found}
    known = {*RULES, "degenerate", "copied", "copied_whole", *there}
    if mark not in known:
        raise WorkbenchError(f"There is no mark {mark}.", f"There are {', '.join(sorted(known))}.")
    marked = {
        (row["key"], system)
        for row in scored
        for system, found in row["marks"].items()
        if mark in found
    }
    return [
        {
            "line": row.line,
            "key": row.key,
            "system": system,
            "prompt": row.prompt,
            "references": list(row.references),
            "output": text,
        }
        for row in read_outputs(where if where.is_file() else where / OUTPUTS)
        for system, text in row.outputs.items()
        if (row.key, system) in marked
    ]


def _show(result: dict[str, Any]) -> None:
    from workbench.evaluation import telling
    from workbench.text import visible

    if "shown" in result:
        for one in result["shown"]:
            head = f"=== line {one['line']}, {one['key']}, {one['system']}"
            print(visible(head, one_line=True))
            print(visible(f"{one['prompt']}\n--- output\n{one['output']}\n"))
        print(f"{len(result['shown'])} outputs")
        return
    show_scores(result)
    if result["slices_asked"]:
        for told in telling.slices(result):
            show_told(told)
