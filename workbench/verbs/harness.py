"""`workbench harness`: the tasks of lm-evaluation-harness, on base, adapters and merged models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.files import user_path
from workbench.tracking import runs
from workbench.verbs.common import group, leaf
from workbench.verbs.evaluate import add_models, count, show_scores
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.verbs.naming import add_named_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "harness", help="run tasks of lm-evaluation-harness, or read results")
    run = leaf(
        verbs,
        "run",
        help="ask base and adapter tasks of lm-evaluation-harness",
        run=_run,
        show=show_result(show_scores),
    )
    run.add_argument(
        "references",
        nargs="*",
        default=[runs.LATEST],
        metavar="RUN",
        help="default: the latest; several of one base are asked together",
    )
    run.add_argument(
        "--tasks",
        action="append",
        required=True,
        metavar="TASK,…",
        help="names that lm_eval knows (gsm8k), task files (.yaml), or folders of them; may be "
        "given several times",
    )
    add_models(run)
    run.add_argument("--limit", type=count, metavar="N", help="so many documents of each task")
    run.add_argument("--fewshot", type=_shots, metavar="N", help="examples before each question")
    run.add_argument(
        "--chat", action="store_true", help="put the model's chat template around each question"
    )
    run.add_argument("--batch", type=count, metavar="N", help="requests at once")
    run.add_argument(
        "--download", action="store_true", help="fetch data from the hub that is not here"
    )
    run.add_argument(
        "--allow-task-code",
        action="store_true",
        help="run the Python code that local task files name, and metrics of the hub",
    )
    run.add_argument("--fresh", action="store_true", help="ask again what is known already")
    run.add_argument("--name", default="", help="name of the evaluation (default: a number)")
    add_detach(run)
    take = leaf(
        verbs,
        "import",
        help="take results that lm-evaluation-harness made elsewhere into a run",
        run=_import,
        show=show_scores,
    )
    take.add_argument(
        "results",
        nargs="+",
        metavar="[SYSTEM=]RESULTS",
        help="results_*.json, or the folder that holds it, with its samples_*.jsonl beside it; "
        "base=FILE adapter=FILE for two that are held against each other",
    )
    add_named_run(take)
    take.add_argument("--name", default="", help="name of the evaluation (default: a number)")


def _shots(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("it can't be below 0")
    return number


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.harness.request import Request, check_installed, read_result, spelt, start

    check_installed()
    workspace = Workspace.find(args.workspace)
    run, *others = (runs.find(workspace, reference) for reference in args.references)
    names = [text.strip() for given in args.tasks for text in given.split(",")]
    request = Request(
        tasks=tuple(dict.fromkeys(spelt(name) for name in names if name)),
        limit=args.limit,
        fewshot=args.fewshot,
        chat=args.chat,
        batch=args.batch,
        runs=tuple(other.name for other in others),
        models=tuple(str(user_path(text).absolute()) for text in args.models),
        download=args.download,
        allow_task_code=args.allow_task_code,
        fresh=args.fresh,
    )

    def result(folder: Path) -> dict[str, Any]:
        return {"run": run.name, "folder": str(folder), **read_result(folder)}

    return do_job(args, lambda: start(run, request, args.name), result)


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.harness import importing
    from workbench.harness.request import read_result

    run = runs.find(Workspace.find(args.workspace), args.reference)
    folder = importing.take(run, importing.named(args.results, run), args.name)
    return {"run": run.name, "folder": str(folder), **read_result(folder)}
