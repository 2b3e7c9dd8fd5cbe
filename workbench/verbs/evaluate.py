"""`workbench eval`: base against adapter, or several of them, on held-out rows."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from workbench.evaluation import telling
from workbench.evaluation.request import ENGINES, Request, read_scores, start
from workbench.files import user_path
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs.common import leaf, table, width
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


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
    add_models(parser)
    parser.add_argument("--rows", type=count, metavar="N", help="validation rows to answer")
    parser.add_argument("--max-new-tokens", type=count, metavar="N", help="longest answer")
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
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        dest="metrics",
        metavar="[TASK=]NAME",
        help="may be given several times; MODULE:FUNCTION is one of your own",
    )
    parser.add_argument("--name", default="", help="name of the evaluation (default: a number)")
    add_detach(parser)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, which names whole models beside runs."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        dest="models",
        help="a merged model of this base that is measured, too; may be given several times",
    )


def count(text: str) -> int:
    """A whole number of 1 and more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.evaluation import own

    workspace = Workspace.find(args.workspace)
    run, *others = (runs.find(workspace, reference) for reference in args.references)
    for name in args.metrics:
        own.check(name)
    request = Request.of(
        runs.load_config(run).evaluation,
        args.rows,
        args.max_new_tokens,
        args.metrics,
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
    """Tables of figures by system, what changed, and what is wrong with outputs."""
    show_told(telling.figures(result))
    for told in (telling.changes(result), telling.degeneration(result), *telling.labels(result)):
        if told is not None:
            show_told(told)


def show_told(told: telling.Told) -> None:
    """One table, with its title above and its notes below; each part apart from what was before."""
    if told.title:
        print(f"\n{visible(told.title, one_line=True)}")
    if told.rows:
        print(table(told.headers, told.rows))
    for note in told.notes:
        print(textwrap.fill(visible(note, one_line=True), width()))
