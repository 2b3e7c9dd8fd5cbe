"""`workbench eval`: base against adapter on held-out rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.evaluation.request import Request, read_scores, start
from workbench.tracking import runs
from workbench.tracking.figures import interval
from workbench.verbs.common import leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace

_FIGURES = ("loss", "perplexity", "rouge_l", "exact_match", "token_f1")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "eval",
        help="measure base and adapter on the validation split",
        run=_evaluate,
        show=show_result(show_scores),
    )
    parser.add_argument("reference", nargs="?", default=runs.LATEST, metavar="RUN")
    parser.add_argument("--rows", type=_count, metavar="N", help="validation rows to answer")
    parser.add_argument("--max-new-tokens", type=_count, metavar="N", help="longest answer")
    parser.add_argument("--name", default="", help="name of the evaluation (default: a number)")
    add_detach(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    run = runs.find(Workspace.find(args.workspace), args.reference)
    config = runs.load_config(run).evaluation
    request = Request.of(config, args.rows, args.max_new_tokens)

    def result(folder: Path) -> dict[str, Any]:
        return {"run": run.name, "folder": str(folder), **read_scores(folder)}

    return do_job(args, lambda: start(run, request, args.name), result)


def show_scores(result: dict[str, Any]) -> None:
    """A table of figures by system, with their 95 % intervals."""
    systems = result["systems"]
    rows = [
        [name.replace("_", " "), *(interval(systems[system][name]) for system in systems)]
        for name in _FIGURES
    ]
    print(table(["figure", *systems], rows))
    counts = result["rows"]
    print(f"loss over {counts['loss']} rows, answers to {counts['answers']}; 95 % intervals")
