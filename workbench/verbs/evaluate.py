"""`workbench eval`: base against adapter, or several of them, on held-out rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.evaluation.request import ENGINES, Request, read_scores, start
from workbench.files import user_path
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
    parser.add_argument(
        "references",
        nargs="*",
        default=[runs.LATEST],
        metavar="RUN",
        help="default: the latest; of several the first one's held-out rows are answered by all",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        dest="models",
        help="a merged model of this base that is measured, too; may be given several times",
    )
    parser.add_argument("--rows", type=_count, metavar="N", help="validation rows to answer")
    parser.add_argument("--max-new-tokens", type=_count, metavar="N", help="longest answer")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="0: the likeliest token (default)",
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest tokens only"
    )
    parser.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="draw from so many tokens (0: all)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="what is drawn begins here"
    )
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="what answers")
    parser.add_argument(
        "--fresh", action="store_true", help="make answers again that are known already"
    )
    parser.add_argument("--name", default="", help="name of the evaluation (default: a number)")
    add_detach(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    run, *others = (runs.find(workspace, reference) for reference in args.references)
    request = Request.of(
        runs.load_config(run).evaluation,
        args.rows,
        args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        seed=args.seed,
        runs=tuple(other.name for other in others),
        models=tuple(str(user_path(text).absolute()) for text in args.models),
        engine=args.engine,
        fresh=args.fresh,
    )

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
