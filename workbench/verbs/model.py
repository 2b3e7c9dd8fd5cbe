"""`workbench model`: base models on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from workbench import base_models, default_model, fetching
from workbench.files import read_json
from workbench.text import visible
from workbench.verbs.common import group, leaf
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "model", help="fetch and look at base models")
    prepare = leaf(
        verbs,
        "prepare",
        help="fetch or convert a base model, once, so that runs can use it",
        run=_prepare,
        show=show_result(_show),
    )
    prepare.add_argument("base", metavar="BASE", help="a folder, a hub id, or `default`")
    add_detach(prepare)
    show = leaf(verbs, "show", help="what a base model is", run=_describe, show=_show)
    show.add_argument("base", metavar="BASE", help="a folder, a hub id, or `default`")


def _prepare(args: argparse.Namespace) -> dict[str, Any]:
    workspace, name = Workspace.find(args.workspace).ensure(), args.base
    if base_models.is_here(workspace, name) or not base_models.can_be_fetched(name):
        return _describe(args)
    return do_job(args, lambda: fetching.start(workspace, name), lambda folder: _describe(args))


def _describe(args: argparse.Namespace) -> dict[str, Any]:
    folder = base_models.resolve(Workspace.find(args.workspace), args.base)
    config = read_json(folder / "config.json")
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "name": args.base,
        "folder": str(folder),
        "type": config.get("model_type"),
        "layers": config.get("num_hidden_layers"),
        "hidden_size": config.get("hidden_size"),
        "vocabulary": config.get("vocab_size"),
        "longest_context": config.get("max_position_embeddings"),
        "weight_bytes": size,
        "licence": default_model.LICENCE if args.base == base_models.DEFAULT else None,
    }


def _show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if value is not None:
            print(visible(f"{name.replace('_', ' '):16} {value}"))
