"""`workbench config forecast`: what a run would take of the machine's memory, by part."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, cast

from workbench.config import loading
from workbench.config.circumstances import Circumstances
from workbench.config.memory import Forecast
from workbench.config.memory_switches import largest_max_length, largest_micro_batch, savings
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.text import size, visible
from workbench.verbs.common import add_settings, leaf, table
from workbench.workspace import Workspace

_WIDTH = 32
"""Characters of the bar of the whole."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench config`."""
    parser = leaf(
        verbs,
        "forecast",
        help="what a run would take of the machine's memory, and what would make it less",
        run=_forecast,
        show=_show,
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or a name")
    add_settings(parser)


def _forecast(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.planning import known

    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    config = loading.load(path, args.settings)
    facts = known.gather(workspace, config)
    if facts.base is None:
        raise WorkbenchError(f"The memory can't be forecast. {facts.unknown[0]}")
    machine = facts.machine

    def foretell(changed: RunConfig) -> Forecast:
        return cast(Forecast, facts.forecast(changed))

    def at_full_length(changed: RunConfig) -> Forecast:
        return cast(Forecast, facts.forecast(changed, full_length=True))

    fits = None
    if machine.free is not None:
        fits = {
            "micro_batch": largest_micro_batch(config, foretell, machine.free),
            "max_length": largest_max_length(
                config, at_full_length, machine.free, facts.base.context
            ),
        }
    return {
        "path": str(path),
        "base": config.model.base,
        "parameters": facts.base.parameters,
        **foretell(config).to_json(),
        "rows": _rows(config, facts),
        "machine": asdict(machine),
        "fits": fits,
        "savings": [asdict(saving) for saving in savings(config, foretell)],
    }


def _rows(config: RunConfig, facts: Circumstances) -> str:
    """Where the length of the longest row is from, in words."""
    if facts.dataset is not None and facts.dataset.lengths:
        return f"the longest row by the verdict of {facts.dataset.reference}"
    why = "; ".join(facts.unknown)
    length = f"{config.data.max_length:,}"
    return f"each row is taken to have data.max_length tokens, {length}, all trained. {why}"


def _show(result: dict[str, Any]) -> None:
    total = result["total"]
    rows = [
        [p["name"], size(p["bytes"]), _bar(p["bytes"], total), p["note"]]
        for p in result["parts"]
        if p["bytes"]
    ]
    rows.append(["total", size(total), "", ""])
    print(visible(f"{result['path']}: {result['base']}, {result['parameters']:,} parameters"))
    print(table(["part", "memory", "", "what"], rows))
    if result["paged"]:
        print(f"and {size(result['paged'])} of the optimiser's state in pages, moved to the host")
    work = result["work"]
    print(
        visible(
            f"The largest batch: {work['tokens']:,} tokens, the longest row {work['longest']:,}; "
            f"{result['rows']}."
        )
    )
    _show_machine(result["machine"], result["fits"], total)
    print("\nWhat a switch would save:")
    saved = [[s["setting"], _signed(s["saved"]), s["what"]] for s in result["savings"]]
    print(table(["--set", "memory", "what"], saved))


def _show_machine(machine: dict[str, Any], fits: dict[str, int] | None, total: int) -> None:
    if fits is None:
        print(f"Nobody tells what is free on {machine['name']}.")
        return
    verdict = "it fits" if total <= machine["free"] else "it does not fit"
    print(visible(f"{size(machine['free'])} is free on {machine['name']}: {verdict}."))
    if not fits["micro_batch"]:
        print("Not one row at once has room.")
    else:
        print(f"The most rows at once that fit, of those of a step: {fits['micro_batch']:,}.")
    if fits["max_length"]:
        print(f"The longest data.max_length that fits: {fits['max_length']:,} tokens.")


def _bar(part: int, total: int) -> str:
    return "#" * round(_WIDTH * part / total)


def _signed(amount: int) -> str:
    return size(amount) if amount >= 0 else f"-{size(-amount)}"
