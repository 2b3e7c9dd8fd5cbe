"""`workbench export`: take the adapter or the merged model away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.export import request
from workbench.export.request import CERTIFICATE, DTYPES, Options
from workbench.files import read_json, user_path
from workbench.text import visible
from workbench.verbs import export_gguf, push
from workbench.verbs.common import group, leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(
        subparsers, "export", help="save the adapter, or the merged model, to a folder; publish it"
    )
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
        parser.add_argument(
            "reference",
            metavar="RUN",
            help="a run's id, `latest`, or an adapter as `adapters list` shows it",
        )
        parser.add_argument("--to", required=True, metavar="DIR", help="a folder to be made")
    _add_merge_options(merged)
    add_detach(merged)
    export_gguf.add_parser(verbs)
    push.add_parser(verbs)


def _add_merge_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype", choices=DTYPES, default="", help="of the merged model (default: the base's own)"
    )
    parser.add_argument(
        "--shards",
        action="store_true",
        help="tensor by tensor, the whole model never in memory (by itself where memory is short)",
    )
    parser.add_argument(
        "--accept", action="store_true", help="keep it even beyond the bounds of its certificate"
    )
    parser.add_argument(
        "--rows", default="", metavar="REF", help="dataset to compare on (default: the run's own)"
    )
    parser.add_argument("--base", default="", help="base of an adapter that no run here has made")


def _adapter(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.adapters import kept

    folder = kept.find(Workspace.find(args.workspace), args.reference)
    target = user_path(args.to).absolute()
    run = _run_of(folder)
    if run is not None:
        request.export_adapter(run, target)
    else:
        request.export_named(folder, target)
    return {"run": run.name if run else folder.name, "path": str(target)}


def _merged(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    target = user_path(args.to).absolute()
    options = Options(args.dtype, args.shards, args.accept, args.rows)
    folder = _result(workspace, args.reference)
    run = _run_of(folder)

    def start() -> Path:
        if run is not None:
            return request.start_merge(run, target, options)
        return request.start_adapter_merge(workspace, folder, target, args.base, options)

    def result(job: Path) -> dict[str, Any]:
        merged = {"run": run.name if run else folder.name, "path": str(target)}
        if (target / CERTIFICATE).exists():
            merged["merge"] = read_json(target / CERTIFICATE)
        return merged

    return do_job(args, start, result)


def _result(workspace: Workspace, reference: str) -> Path:
    """The folder of an adapter, or of the model of a run that trained all weights."""
    from workbench.adapters import kept
    from workbench.errors import WorkbenchError
    from workbench.tracking import finding

    try:
        return kept.find(workspace, reference)
    except WorkbenchError:
        if "/" in reference or reference not in [*finding.ids(workspace), finding.LATEST]:
            raise
        return request.result_folder(finding.find(workspace, reference))


def _run_of(folder: Path) -> Path | None:
    """The run that made what is in `folder`, if it is in that."""
    from workbench.tracking.finding import MANIFEST

    return folder.parent if (folder.parent / MANIFEST).exists() else None


def _show(result: dict[str, Any]) -> None:
    print(visible(f"{result['run']} is in {result['path']}"))
    if merge := result.get("merge"):
        print(visible(merge["precision"]))
        print(_compared("against base plus adapter", merge))
        if other := merge["against_quantized"]:
            print(_compared(f"against the {merge['quantization']} base plus adapter", other))
        if not merge["within_bounds"]:
            print("BEYOND the bounds of its certificate, and kept as --accept says")
        if not merge["small_beside_adapter"]:
            print(
                f"The adapter itself moves the base by {merge['adapter_moves_kl_nats']:.2e} nats: "
                "beside that the rounding is not small; --dtype float32 rounds less."
            )
        if not merge["near_what_was_trained"]:
            print(
                "It answers otherwise than what was trained, on the quantised base: evaluate the "
                "merged model itself (workbench eval --model DIR)."
            )


def _compared(against: str, found: dict[str, Any]) -> str:
    answers = ""
    if found["outputs"]:
        answers = f", {found['changed_outputs']} of {found['outputs']} answers changed"
    return (
        f"{against}, over {found['positions']} positions: largest logit difference "
        f"{found['largest_logit_difference']:.4f}, mean KL {found['mean_kl_nats']:.2e} nats, "
        f"same top token {found['same_top_token']:.1%}{answers}"
    )
