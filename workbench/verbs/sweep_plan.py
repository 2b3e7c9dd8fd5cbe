"""`workbench sweep plan`: the runs that a sweep would make, before it is started."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workbench.config import loading
from workbench.config import sweep as sweeps
from workbench.config.combinations import Combination
from workbench.config.sweep import Follow, Range, Swept
from workbench.errors import WorkbenchError
from workbench.sweeps import making
from workbench.text import size, visible
from workbench.verbs.advise import counted as advice_counted
from workbench.verbs.common import table, width
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.config.circumstances import Circumstances


def load(args: argparse.Namespace) -> tuple[Workspace, str, Swept, list[Combination]]:
    """The sweep of a config, with the runs that it makes. Raises WorkbenchError."""
    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    swept = sweeps.load(path, args.settings)
    return workspace, str(path), swept, making.plan(workspace, swept, str(path))


def plan(args: argparse.Namespace) -> dict[str, Any]:
    workspace, path, swept, planned = load(args)
    outlook = _Outlook(workspace)
    return {
        "path": path,
        "name": swept.config.name,
        "sweep": swept.sweep.model_dump(),
        "fields": {path: _over(spec) for path, spec in swept.sweep.fields.items()},
        "count": len(planned) or swept.sweep.budget,
        "runs": [outlook.of(one) for one in planned],
        "machine": outlook.machine,
        "unknown": sorted(outlook.unknown),
        "remarks": making.remarks(planned),
    }


class _Outlook:
    """What is to be said of each run, on its own base; what is known of a base and a dataset is
    gathered once."""

    def __init__(self, workspace: Workspace) -> None:
        from workbench.planning import known

        self._workspace = workspace
        self._known: dict[tuple[object, ...], Circumstances] = {}
        self.machine: dict[str, Any] = asdict(known.this_machine())
        self.unknown: set[str] = set()

    def of(self, one: Combination) -> dict[str, Any]:
        """A run's values, the bytes that it takes (None where nobody can tell, which `unknown`
        explains), and its advice but for hints."""
        from workbench.config.advice import advise
        from workbench.planning import known

        key = known.key(one.config)
        if key not in self._known:
            self._known[key] = known.gather(self._workspace, one.config)
        facts = self._known[key]
        self.unknown.update(facts.unknown)
        found = [asdict(a) for a in advise(one.config, facts) if a.severity != "hint"]
        return {"values": one.values, "memory": self._memory(one, facts), "advice": found}

    def _memory(self, one: Combination, facts: Circumstances) -> int | None:
        try:
            forecast = facts.forecast(one.config)
        except WorkbenchError as error:
            self.unknown.add(error.message)
            return None
        return None if forecast is None else forecast.total


def _over(spec: Any) -> str:
    """What a field is varied over, in words."""
    if isinstance(spec, Range):
        return f"{spec.min:g} to {spec.max:g}" + (", log scale" if spec.scale == "log" else "")
    if isinstance(spec, Follow):
        return f"{spec.times:g} x {spec.of}"
    return ", ".join(cell(value) for value in spec.values)


def show_plan(result: dict[str, Any]) -> None:
    sweep = result["sweep"]
    over = counted(len(result["fields"]), "field")
    print(visible(f"{result['path']}: {sweep['method']} over {over}"))
    for path, values in result["fields"].items():
        print(visible(f"  {path}: {values}", one_line=True))
    if sweep["method"] == "optuna":
        print(
            f"Each run is chosen by the {sweep['metric']} of those before it: {result['count']} "
            f"at most, {sweep['parallel']} at a time."
        )
    else:
        names = short_names([list(run["values"]) for run in result["runs"]])
        rows = [
            [
                number,
                *(cell(run["values"][path]) for path in names),
                "–" if run["memory"] is None else size(run["memory"]),
                advice_counted(run["advice"]) or "–",
            ]
            for number, run in enumerate(result["runs"], 1)
        ]
        print(table(["", *names.values(), "memory", "advice"], rows))
        _show_advice(result["runs"])
        _show_room(result)
        print(f"{counted(len(rows), 'run')} of {sweep['budget']} that the budget allows.")
    for text in (*result["remarks"], *result["unknown"]):
        print(visible(text))
    print(f"Start it with: workbench sweep start {shlex.quote(result['path'])}")


def _show_advice(runs: Sequence[dict[str, Any]]) -> None:
    """Each piece of advice once, with the runs that it is of."""
    of: dict[str, list[int]] = {}
    first: dict[str, dict[str, Any]] = {}
    for number, run in enumerate(runs, 1):
        for found in run["advice"]:
            of.setdefault(found["name"], []).append(number)
            first.setdefault(found["name"], found)
    for name, found in first.items():
        numbers = of[name]
        which = "each run" if len(numbers) == len(runs) else f"run {', '.join(map(str, numbers))}"
        told = f"{found['severity']} on {which}: {name} ({found['path']}). {found['text']}"
        print(visible(textwrap.fill(told, width(), subsequent_indent="    ")))


def _show_room(result: dict[str, Any]) -> None:
    machine, wanted = result["machine"], [run["memory"] for run in result["runs"]]
    known = [amount for amount in wanted if amount is not None]
    if machine["free"] is None or not known:
        return
    over = sum(amount > machine["free"] for amount in known)
    fit = f"{over} of {len(known)} do not fit" if over else "each of them fits"
    print(visible(f"{size(machine['free'])} is free on {machine['name']}: {fit}."))


def cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, dict):
        return " ".join(f"{name}={cell(part)}" for name, part in value.items())
    return "–" if value is None else str(value)


def short_names(paths: Sequence[Sequence[str]]) -> dict[str, str]:
    """Each path by its last part, where that is not another one's too."""
    every = list(dict.fromkeys(path for one in paths for path in one))
    last = [path.rpartition(".")[2] for path in every]
    return {
        path: name if last.count(name) == 1 else path
        for path, name in zip(every, last, strict=True)
    }


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
