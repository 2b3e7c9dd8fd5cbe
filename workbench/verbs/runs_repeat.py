"""`workbench runs repeat`: a run once more, and both loss curves side by side."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, say, width
from workbench.verbs.following import follow_run
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace

_NEWEST = ""
_APART = {
    "first_apart": "first apart",
    "furthest": "furthest apart",
    "first_beyond": "first beyond the tolerance",
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench runs`."""
    parser = leaf(
        verbs,
        "repeat",
        help="run one again from its manifest, and compare the loss curves",
        run=_repeat,
        show=show,
    )
    add_run(parser)
    parser.add_argument(
        "--compare",
        nargs="?",
        const=_NEWEST,
        metavar="OTHER",
        help="run nothing: compare with this run, or with the newest that repeats RUN",
    )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="T",
        help="how far two losses may be apart, relative; 0 asks for equality to the bit (default: "
        "0 where machine, packages and code are the same and no GPU is used, else 0.01)",
    )
    parser.add_argument(
        "--base", metavar="FOLDER", help="where the base model is now; its files must be the same"
    )
    parser.add_argument(
        "--detach", action="store_true", help="return once it has started; --compare compares later"
    )
    parser.set_defaults(status_of=status)


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("at least 0")
    return value


def _repeat(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.tracking import curve_comparison, repeating, runs

    workspace = Workspace.find(args.workspace)
    run = finding.find(workspace, args.reference)
    if args.compare is not None:
        return curve_comparison.compare(run, _other(workspace, run, args.compare), args.tolerance)
    folder = repeating.create(workspace, run, command=shlex.join(sys.argv), say=say, base=args.base)
    runs.start(folder)
    later = f"workbench runs repeat {run.name} --compare {folder.name}"
    say(f"{folder.name} has started: it repeats {run.name}, and outlives this terminal.")
    if args.detach:
        return {"run": run.name, "repeat": folder.name, "detached": True, "compare": later}
    try:
        status = follow_run(folder, say)
    except KeyboardInterrupt:
        say(f"Once it has ended, `{later}` compares them.")
        raise
    if status != "finished" and runs.summarise(folder).step == 0:
        raise WorkbenchError(f"{folder.name} took no step: {status}.", f"`{later}` compares them.")
    return curve_comparison.compare(run, folder, args.tolerance)


def _other(workspace: Workspace, run: Path, reference: str) -> Path:
    from workbench.tracking import repeating

    if reference != _NEWEST:
        return finding.find(workspace, reference)
    found = repeating.repeats_of(workspace, run)
    if not found:
        raise WorkbenchError(
            f"No run repeats {run.name}.",
            f"`workbench runs repeat {run.name}` does; --compare OTHER takes any run.",
        )
    return found[0]


def status(result: dict[str, Any]) -> int:
    """1 where a loss is further apart than the tolerance."""
    return 0 if result.get("detached") else int(not result["repeated"])


def show(result: dict[str, Any]) -> None:
    if result.get("detached"):
        print(f"Watch it with: workbench attach {result['repeat']}")
        print(f"Then: {result['compare']}")
        return
    run, repeat = result["run"], result["repeat"]
    states = " and ".join(dict.fromkeys(result["states"]))
    print(visible(f"{run} and {repeat}, {states}"))
    for name in ("training", "validation"):
        for line in _curve(name, result[name], result):
            print(visible(line))
    for line in _weights(result):
        print(visible(line))
    for line in textwrap.wrap(_verdict(result), width()):
        print(visible(line))


def _curve(name: str, curve: dict[str, Any], result: dict[str, Any]) -> list[str]:
    if not curve["compared"]:
        return [f"{name} loss    nothing to compare"] if name == "training" else []
    steps = f"{curve['compared']:,} steps" if name == "training" else f"{curve['compared']:,} times"
    same = "bit for bit the same" if curve["equal"] else "not the same"
    lines = [f"{name + ' loss':16} {steps}, to step {curve['last']:,}: {same}"]
    for what in ("first_apart", "furthest", "first_beyond"):
        if apart := curve[what]:
            lines += _apart(_APART[what], apart)
    for side, alone in zip((result["run"], result["repeat"]), curve["alone"], strict=True):
        if alone:
            lines.append(f"{'':16} {alone:,} more only in {side}")
    return lines


def _apart(what: str, apart: dict[str, Any]) -> list[str]:
    values = [
        "no number" if value is None else repr(value) for value in (apart["first"], apart["second"])
    ]
    share = apart["difference"]
    by = "" if share is None else f", by {share:.2g} of it"
    told = f"{'':16} {what} at step {apart['step']:,}{by}"
    return [told, f"{'':18} {values[0]} and {values[1]}"]


def _weights(result: dict[str, Any]) -> list[str]:
    weights = result["weights"]
    if weights is None:
        return ["weights          one of them has made none"]
    same = "bit for bit the same" if weights["equal"] else "not the same"
    lines = [f"{'weights':16} {same}, by SHA-256"]
    for one in weights["files"]:
        hashes = dict.fromkeys(one[side] or "absent" for side in ("run", "repeat"))
        lines += [f"{'':12} {one['file']}", *(f"{'':12} {digest}" for digest in hashes)]
    return lines


def _verdict(result: dict[str, Any]) -> str:
    allowed = result["tolerance"]
    equal = result["training"]["equal"] and result["validation"]["equal"]
    how = "to the bit" if equal or not allowed else f"within {allowed:g} of each loss"
    told = [f"{'It repeats' if result['repeated'] else 'It does not repeat'}, {how}."]
    if result["why_not"] and not equal:
        told.append(f"No equality to the bit is owed: {'; '.join(result['why_not'])}.")
    elif result["why_not"]:
        told.append(f"Nor would it have had to: {'; '.join(result['why_not'])}.")
    else:
        told.append("The machine and the packages are the same, and no GPU is used.")
    if result["code_changed"]:
        told.append("Workbench's own code has changed in between.")
    return " ".join(told)
