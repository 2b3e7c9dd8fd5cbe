"""`workbench config forecast`: what a run would take of memory, time and disk, before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, cast

from workbench.config import loading, processes
from workbench.config.circumstances import Circumstances
from workbench.config.duration import forecast_time
from workbench.config.effective import effective
from workbench.config.memory import Forecast
from workbench.config.memory_switches import largest_max_length, largest_micro_batch, savings
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.text import size, visible
from workbench.tracking.comparison import span
from workbench.verbs.common import add_settings, leaf, say, table
from workbench.verbs.naming import add_config
from workbench.workspace import Workspace

_WIDTH = 32
"""Characters of the bar of the whole."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench config`."""
    parser = leaf(
        verbs,
        "forecast",
        help="what a run would take of memory, time and disk, and what would make it less",
        run=_forecast,
        show=_show,
    )
    add_config(parser)
    parser.add_argument(
        "--offline", action="store_true", help="ask no hub about a base that isn't here"
    )
    add_settings(parser)


def _forecast(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.planning import known

    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    config = loading.load(path, args.settings)
    facts = known.gather(workspace, config, fetch=None if args.offline else say)
    if facts.base is None:
        # The hub, which is asked last, knows why it can't be had at all.
        reasons = [why for why in facts.unknown if why.startswith(("The base:", "The hub:"))]
        what, _, advice = reasons[-1].partition("\n")
        raise WorkbenchError(f"This can't be forecast. {what}", advice)
    return {
        "path": str(path),
        "base": config.model.base,
        "parameters": facts.base.parameters,
        **_memory(config, facts),
        "rows": _rows(config, facts),
        "machine": asdict(facts.machine),
        "time": forecast_time(config, facts).to_json(),
        "effective": effective(config, facts).to_json(),
        "unknown": list(facts.unknown),
    }


def _memory(config: RunConfig, facts: Circumstances) -> dict[str, Any]:
    machine, base = facts.machine, facts.base

    def foretell(changed: RunConfig) -> Forecast:
        return cast(Forecast, facts.forecast(changed))

    def at_full_length(changed: RunConfig) -> Forecast:
        return cast(Forecast, facts.forecast(changed, full_length=True))

    # Processes have a GPU each, and share a host's memory.
    sharing = 1 if machine.device.gpu else config.job.processes
    fits = None
    if machine.free is not None and base is not None:
        free = machine.free // sharing
        fits = {
            "free": free,
            "micro_batch": largest_micro_batch(config, foretell, free),
            "max_length": largest_max_length(config, at_full_length, free, base.context),
        }
    return {
        **foretell(config).to_json(),
        "processes": config.job.processes,
        "spread": _spread(config),
        "fits": fits,
        "savings": [asdict(saving) for saving in savings(config, foretell)],
    }


def _spread(config: RunConfig) -> str:
    """What spreads the model over several processes; `none` where nothing does."""
    if not processes.spreads_weights(config):
        return "none"
    return "fsdp" if config.job.sharding == "fsdp" else "deepspeed"


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
    _show_machine(result)
    print("\nWhat a switch would save:")
    saved = [[s["setting"], _signed(s["saved"]), s["what"]] for s in result["savings"]]
    print(table(["--set", "memory", "what"], saved))
    print("\nHow long it would take:")
    print(visible("\n".join(_time(result["time"]))))
    print("\nWhat it comes to:")
    print("\n".join(_effective(result["effective"])))


def _show_machine(result: dict[str, Any]) -> None:
    machine, fits, total = result["machine"], result["fits"], result["total"]
    if result["processes"] > 1:
        print(f"That is what each of {result['processes']} processes takes.")
    if result["spread"] != "none":
        print("The model is spread over them: each takes less, which isn't counted.")
    if fits is None:
        print(f"Nobody tells what is free on {machine['name']}.")
        return
    verdict = "it fits" if total <= fits["free"] else "it does not fit"
    shared = " for each" if fits["free"] != machine["free"] else ""
    print(visible(f"{size(fits['free'])} is free{shared} on {machine['name']}: {verdict}."))
    if not fits["micro_batch"]:
        print("Not one row at once has room.")
    else:
        print(f"The most rows at once that fit, of those of a step: {fits['micro_batch']:,}.")
    if fits["max_length"]:
        print(f"The longest data.max_length that fits: {fits['max_length']:,} tokens.")


def _time(told: dict[str, Any]) -> Iterator[str]:
    if told["step"] is None:
        yield f"Nothing can be said: {told['basis']}."
        return
    speed = told["tokens_per_second"]
    rows = [["a step", span(told["step"]), f"{speed['low']:,.0f} to {speed['high']:,.0f} tokens/s"]]
    steps = f"{told['steps']:,} steps" if told["steps"] else ""
    for name, key, what in (
        ("an epoch", "epoch", f"{told['tokens']:,.0f} tokens" if told["tokens"] else ""),
        ("training", "training", steps),
        ("validations", "validations", ""),
        ("answers", "answers", "of evaluation.samples, at each validation"),
        ("the whole run", "whole", "without loading and checkpoints"),
    ):
        if told[key] is not None:
            rows.append([name, span(told[key]), what])
    yield table(["", "time", ""], rows)
    yield f"The speed: {told['basis']}."
    yield from told["unknown"]


def _effective(values: dict[str, Any]) -> Iterator[str]:
    """Each value, or why there is none."""
    share = values["trained_share"]
    trained = values["trained_parameters"]
    rows = [
        ["scale of the update", _number(values, "scale", "g")],
        ["rows a step", _number(values, "rows_a_step", ".4g")],
        ["tokens a step", _number(values, "tokens_a_step", ",.0f")],
        ["steps an epoch", _number(values, "steps_an_epoch", ",")],
        ["steps", _number(values, "total_steps", ",")],
        ["warm-up", _number(values, "warmup_steps", ",")],
        ["validations", _number(values, "validations", ",")],
        [
            "trained",
            f"{trained:,} parameters, {share:.2%}"
            if trained is not None
            else values["why"]["trained_parameters"],
        ],
        ["the result on disk", _bytes(values, "result_bytes")],
        ["a checkpoint on disk", _bytes(values, "checkpoint_bytes")],
        ["all that is kept at once", _disk(values)],
    ]
    yield table(["", ""], rows).lstrip("\n")


def _number(values: dict[str, Any], name: str, how: str) -> str:
    value = values[name]
    return f"– ({values['why'][name]})" if value is None else format(value, how)


def _bytes(values: dict[str, Any], name: str) -> str:
    value = values[name]
    return f"– ({values['why'][name]})" if value is None else size(value)


def _disk(values: dict[str, Any]) -> str:
    if values["run_bytes"] is None:
        return _bytes(values, "run_bytes")
    count = values["checkpoints"]
    told = f"{size(values['run_bytes'])}, with {count} checkpoint{'s' * (count != 1)}"
    if values["disk_free"] is None:
        return told
    room = "" if values["fits_on_disk"] else ": too little"
    return f"{told}; {size(values['disk_free'])} is free{room}"


def _bar(part: int, total: int) -> str:
    return "#" * round(_WIDTH * part / total)


def _signed(amount: int) -> str:
    return size(amount) if amount >= 0 else f"-{size(-amount)}"
