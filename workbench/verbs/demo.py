"""`workbench demo`: the whole path, on the default model and data."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from workbench.verbs.common import OpenApp, add_app_options, leaf, open_app, say
from workbench.verbs.evaluate import show_scores
from workbench.verbs.following import follow_run
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "demo",
        help="from an empty workspace to an evaluated, merged model, without a hub",
        run=_demo,
        show=_show,
    )
    add_app_options(parser)
    parser.add_argument("--plain", action="store_true", help="lines of text instead of the app")


def _demo(args: argparse.Namespace) -> OpenApp | dict[str, Any]:
    from workbench import demo

    workspace = Workspace.find(args.workspace)
    run = demo.prepare(workspace, say, command=shlex.join(sys.argv))
    if sys.stdin.isatty() and sys.stdout.isatty() and not (args.plain or args.json):
        return open_app(args, "monitor", run_id=run.name)
    follow_run(run, say)
    follow_run(run / demo.FOLLOW_UP, say)
    return demo.outcome(workspace, run)


def _show(result: dict[str, Any]) -> None:
    print()
    show_scores(result["evaluation"])
    print(f"adapter       {result['adapter']}")
    print(f"merged model  {result['merged']}")
    print(f"report        {result['report']}")
    review = result["review"]
    print(f"{review['items']} blind pairs wait for you: workbench review open {review['name']}")
