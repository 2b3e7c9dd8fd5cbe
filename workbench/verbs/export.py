"""`workbench export`: take the adapter or the merged model away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.export.request import CERTIFICATE, export_adapter, start_merge
from workbench.files import read_json
from workbench.tracking import runs
from workbench.verbs.common import group, leaf, say
from workbench.verbs.following import finish_job
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "export", help="save the adapter, or the merged model, to a folder")
    for name, help, run in (
        ("adapter", "copy the adapter alone, as PEFT reads it", _adapter),
        ("merged", "merge the adapter into its base and save a whole model", _merged),
    ):
        parser = leaf(verbs, name, help=help, run=run, show=_show)
        parser.add_argument("reference", metavar="RUN", help="a run's id, or `latest`")
        parser.add_argument("--to", required=True, metavar="DIR", help="a folder to be made")


def _adapter(args: argparse.Namespace) -> dict[str, Any]:
    run = runs.find(Workspace.find(args.workspace), args.reference)
    target = export_adapter(run, Path(args.to).expanduser().absolute())
    return {"run": run.name, "path": str(target)}


def _merged(args: argparse.Namespace) -> dict[str, Any]:
    run = runs.find(Workspace.find(args.workspace), args.reference)
    target = Path(args.to).expanduser().absolute()
    finish_job(start_merge(run, target), say)
    return {"run": run.name, "path": str(target), "merge": read_json(target / CERTIFICATE)}


def _show(result: dict[str, Any]) -> None:
    print(f"{result['run']} is in {result['path']}")
    if merge := result.get("merge"):
        print(
            f"against base plus adapter, over {merge['positions']} positions: largest logit "
            f"difference {merge['largest_logit_difference']:.4f}, mean KL "
            f"{merge['mean_kl_nats']:.2e} nats, same top token {merge['same_top_token']:.1%}"
        )
