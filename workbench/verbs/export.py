"""`workbench export`: take the adapter or the merged model away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.export.request import CERTIFICATE, export_adapter, start_merge
from workbench.files import read_json
from workbench.tracking import runs
from workbench.verbs.common import group, leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "export", help="save the adapter, or the merged model, to a folder")
    adapter = leaf(
        verbs, "adapter", help="copy the adapter alone, as PEFT reads it", run=_adapter, show=_show
    )
    merged = leaf(
        verbs,
        "merged",
        help="save a whole model, the adapter merged into its base",
        run=_merged,
        show=show_result(_show),
    )
    for parser in (adapter, merged):
        parser.add_argument("reference", metavar="RUN", help="a run's id, or `latest`")
        parser.add_argument("--to", required=True, metavar="DIR", help="a folder to be made")
    add_detach(merged)


def _adapter(args: argparse.Namespace) -> dict[str, Any]:
    run = runs.find(Workspace.find(args.workspace), args.reference)
    target = export_adapter(run, Path(args.to).expanduser().absolute())
    return {"run": run.name, "path": str(target)}


def _merged(args: argparse.Namespace) -> dict[str, Any]:
    run = runs.find(Workspace.find(args.workspace), args.reference)
    target = Path(args.to).expanduser().absolute()

    def result(folder: Path) -> dict[str, Any]:
        merged = {"run": run.name, "path": str(target)}
        if (target / CERTIFICATE).exists():
            merged["merge"] = read_json(target / CERTIFICATE)
        return merged

    return do_job(args, lambda: start_merge(run, target), result)


def _show(result: dict[str, Any]) -> None:
    print(f"{result['run']} is in {result['path']}")
    if merge := result.get("merge"):
        print(
            f"against base plus adapter, over {merge['positions']} positions: largest logit "
            f"difference {merge['largest_logit_difference']:.4f}, mean KL "
            f"{merge['mean_kl_nats']:.2e} nats, same top token {merge['same_top_token']:.1%}"
        )
