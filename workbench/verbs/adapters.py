"""`workbench adapters`: list them, hold one against a base, take one in, combine several."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.text import size, visible
from workbench.tracking.view import ago
from workbench.verbs.common import group, leaf, table
from workbench.verbs.following import add_detach, do_job, show_result
from workbench.workspace import Workspace

_ADAPTER = "a run's id, `latest`, a name that `adapters list` shows, or a folder"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(
        subparsers, "adapters", help="list adapters, check one against a base, combine several"
    )
    leaf(
        verbs,
        "list",
        help="every adapter with base, rank, size, dataset and scores",
        run=_list,
        show=_show_list,
    )
    check = leaf(
        verbs,
        "check",
        help="whether an adapter is of a base: hash, layers, shapes; exit code 1 where it is not",
        run=_check,
        show=_show_check,
    )
    check.add_argument("adapter", metavar="ADAPTER", help=_ADAPTER)
    check.add_argument(
        "base", metavar="BASE", nargs="?", default="", help="default: the one that it says it is of"
    )
    check.set_defaults(status_of=lambda result: 0 if result["fits"] else 1)
    taken = leaf(
        verbs,
        "import",
        help="copy an adapter from elsewhere into the workspace, checked",
        run=_import,
        show=_show_import,
    )
    taken.add_argument("folder", metavar="DIR", help="a folder as PEFT's save_pretrained writes it")
    taken.add_argument("--name", default="", help="default: the folder's")
    taken.add_argument("--base", default="", help="its base, where it doesn't say which it is of")
    _add_combine(verbs)


def _add_combine(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from workbench.adapters.combining import METHODS

    combine = leaf(
        verbs,
        "combine",
        help="make one adapter of several of one base, by PEFT's methods",
        run=_combine,
        show=show_result(_show_combined),
    )
    combine.add_argument("adapters", metavar="ADAPTER", nargs="+", help=_ADAPTER)
    combine.add_argument("--name", required=True, help="what the result is called")
    combine.add_argument(
        "--weights", type=float, nargs="+", default=[], metavar="W", help="default: equal shares"
    )
    combine.add_argument("--method", choices=METHODS, default="linear", help="default: linear")
    combine.add_argument(
        "--density",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share of the values that ties, dare and magnitude_prune keep (default: 0.5)",
    )
    combine.add_argument("--rank", type=int, help="of the result, for methods that end in svd")
    combine.add_argument("--seed", type=int, default=0, help="what dare drops is drawn by it")
    combine.add_argument("--base", default="", help="default: the one that they say they are of")
    add_detach(combine)


def _list(args: argparse.Namespace) -> list[dict[str, Any]]:
    from workbench.adapters import kept

    return [one.to_json() for one in kept.list_adapters(Workspace.find(args.workspace))]


def _show_list(result: list[dict[str, Any]]) -> None:
    if not result:
        print("There are no adapters yet: `workbench train` makes one, `adapters import` takes in.")
        return
    rows = [
        [
            one["name"],
            one["made"],
            one["kind"] or "–",
            "–" if one["rank"] is None else one["rank"],
            _size(one["bytes"]) if one["bytes"] else "–",
            _base(one["base"]),
            one["dataset"] or "–",
            _scores(one["scores"]),
            ago(one["created"]),
        ]
        for one in result
    ]
    headers = ["adapter", "made", "kind", "rank", "size", "base", "dataset", "scores", "changed"]
    print(table(headers, rows))
    for one in result:
        if one["problem"]:
            print(visible(f"{one['name']}: {one['problem']}"))


def _size(amount: int) -> str:
    return size(amount) if amount >= 1 << 20 else f"{amount / 1024:.0f} KiB"


def _base(name: str) -> str:
    """Of a folder its last part."""
    return (Path(name).name if name.startswith(("/", "~", ".")) else name) or "–"


def _scores(scores: dict[str, Any]) -> str:
    known = [(name, value) for name, value in scores.items() if isinstance(value, int | float)]
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in known[:3]) or "–"


def _check(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.adapters import checks, files, kept, origin

    workspace = Workspace.find(args.workspace)
    adapter = files.read(kept.find(workspace, args.adapter))
    told = origin.of(adapter)
    base = origin.base_folder(workspace, told, args.base)
    found = checks.check(adapter, told, base)
    return {
        "adapter": str(adapter.folder),
        "kind": adapter.kind,
        "rank": adapter.rank,
        "base": str(base),
        "fits": not any(finding.verdict == checks.BAD for finding in found),
        "findings": [finding.to_json() for finding in found],
    }


def _show_check(result: dict[str, Any]) -> None:
    for finding in result["findings"]:
        print(visible(f"{finding['what']:14} {finding['verdict']:7} {finding['text']}"))
    verdict = "is of" if result["fits"] else "is NOT of"
    print(visible(f"{result['adapter']} {verdict} {result['base']}"))


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.adapters import kept
    from workbench.files import user_path

    workspace = Workspace.find(args.workspace)
    return kept.take_in(workspace, user_path(args.folder), args.name, args.base).to_json()


def _show_import(result: dict[str, Any]) -> None:
    rank = "" if result["rank"] is None else f", rank {result['rank']}"
    print(visible(f"{result['name']}: {result['kind']}{rank}, in {result['folder']}"))


def _combine(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.adapters import combining, kept
    from workbench.adapters.origin import PROVENANCE
    from workbench.files import read_json

    workspace = Workspace.find(args.workspace)
    target = kept.of_workspace(workspace) / args.name

    def result(folder: Path) -> dict[str, Any]:
        return {
            "name": args.name,
            "path": str(target),
            "provenance": read_json(target / PROVENANCE),
        }

    def start() -> Path:
        return combining.start(
            workspace,
            args.adapters,
            args.name,
            weights=args.weights,
            method=args.method,
            density=args.density,
            rank=args.rank,
            seed=args.seed,
            base=args.base,
        )

    return do_job(args, start, result)


def _show_combined(result: dict[str, Any]) -> None:
    made = result["provenance"]
    print(visible(f"{result['name']} is in {result['path']}"))
    for one in made["of"]:
        print(visible(f"{one['weight']:8g}  {one['run'] or one['adapter']}"))
    print(f"by {made['method']}; saved and loaded again it gives the same logits")
