"""`workbench config forecast`: what a run would take of the machine's memory, by part."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.config.base_facts import BaseFacts
from workbench.config.memory import Device, Forecast, forecast, largest_work
from workbench.config.memory_switches import largest_max_length, largest_micro_batch, savings
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.text import size, visible
from workbench.verbs.common import add_settings, leaf, table
from workbench.workspace import Workspace

_WIDTH = 32
"""Characters of the bar of the whole."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """Where the run would be computed."""

    device: Device
    name: str
    free: int | None
    """Bytes."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is known of the rows."""

    longest: int | None = None
    """Tokens; None: as many as data.max_length."""
    validated: int | None = None
    trained_share: float = 1.0
    source: str = ""


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
    from workbench import base_models

    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    config = loading.load(path, args.settings)
    folder = base_models.resolve(workspace, config.model.base)
    facts, machine = BaseFacts.of(folder), _machine()
    rows, new_ids = _rows(workspace, config, folder)

    def foretell(changed: RunConfig, known: _Rows = rows) -> Forecast:
        work = largest_work(changed, known.longest, known.trained_share, known.validated)
        return forecast(changed, facts, work, machine.device, new_ids)

    def at_full_length(changed: RunConfig) -> Forecast:
        return foretell(changed, replace(rows, longest=None, validated=None))

    fits = None
    if machine.free is not None:
        fits = {
            "micro_batch": largest_micro_batch(config, foretell, machine.free),
            "max_length": largest_max_length(config, at_full_length, machine.free, facts.context),
        }
    return {
        "path": str(path),
        "base": config.model.base,
        "parameters": facts.parameters,
        **foretell(config).to_json(),
        "rows": asdict(rows),
        "machine": asdict(machine),
        "fits": fits,
        "savings": [asdict(saving) for saving in savings(config, foretell)],
    }


def _machine() -> _Machine:
    """The GPU with the most free memory, else the processor."""
    from workbench.hardware import host
    from workbench.hardware.nvml import Nvml

    nvml = Nvml()
    free = [(gpu.free, gpu.index) for gpu in nvml.occupancy() if gpu.free is not None]
    if free:
        most, index = max(free)
        names = {gpu.index: gpu.name for gpu in nvml.sample()}
        return _Machine(Device(gpu=True), f"GPU {index} ({names.get(index) or 'NVIDIA'})", most)
    device = Device(gpu=False, bfloat16=host.processor_has_bfloat16())
    return _Machine(device, "this machine, without a GPU", host.memory_left())


def _rows(workspace: Workspace, config: RunConfig, folder: Path) -> tuple[_Rows, tuple[int, ...]]:
    """What the dataset's verdict says of the rows, if one is there, and the ids of new tokens."""
    from workbench.data import verdict, versions
    from workbench.data.template import ChatTemplate

    data = config.data
    assumed = f"each row is taken to have data.max_length tokens, {data.max_length:,}, all trained"
    try:
        template = ChatTemplate.load(folder, new_tokens=config.model.new_tokens)
    except WorkbenchError as error:
        return _Rows(source=f"{assumed}: {error.message}"), ()
    try:
        version = versions.resolve(workspace, data.dataset) if data.dataset else None
        found = verdict.find(version, template) if version else None
    except WorkbenchError as error:
        return _Rows(source=f"{assumed}: {error.message}"), template.new_ids
    if version is None:
        return _Rows(source=f"{assumed}: data.dataset is empty"), template.new_ids
    if found is None or "train" not in found.lengths:
        asked = f"workbench data verdict {version.reference} --model {config.model.base}"
        return _Rows(source=f"{assumed}: `{asked}` finds how long they are"), template.new_ids
    train = found.lengths["train"]
    kept = train.at(data.max_length, data.too_long)
    validated = found.lengths.get("validation")
    rows = _Rows(
        longest=int(train.spread()["max"]),
        validated=int(validated.spread()["max"]) if validated else None,
        trained_share=kept.trained_kept / kept.tokens_kept if kept.tokens_kept else 1.0,
        source=f"the longest row by the verdict of {version.reference}",
    )
    return rows, template.new_ids


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
            f"{result['rows']['source']}."
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
