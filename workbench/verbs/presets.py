"""`workbench config presets`: starting points by base, method and task, with their sources."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.text import visible
from workbench.verbs.common import leaf, say, table, width
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.config.presets import Family, Preset

METHODS = {"lora": False, "qlora": True}
"""Whether the base is quantised."""


@dataclass(frozen=True, slots=True)
class Start:
    """A config to begin with, and what its settings rest on."""

    config: RunConfig
    preset: Preset | None = None

    def comments(self) -> dict[str, str]:
        """The source of each setting that is still the preset's."""
        from workbench.config import presets

        if self.preset is None:
            return {}
        other = {d.path for d in presets.differences(self.config, self.preset)}
        return {
            path: figure.source
            for path, figure in self.preset.settings.items()
            if path not in other and not _goes_without_saying(path, figure.value, figure.others)
        }


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench config`."""
    parser = leaf(
        verbs,
        "presets",
        help="starting points by base, method and task, each figure with its source",
        run=_presets,
        show=_show,
    )
    add_choices(parser)
    parser.add_argument(
        "--markdown", action="store_true", help="print the page docs/presets.md, of all families"
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add what a preset is chosen by."""
    parser.add_argument("--preset", choices=METHODS, help="LoRA, or QLoRA (the base in 4 bits)")
    parser.add_argument("--base", metavar="BASE", help="a folder, a hub id, or default")
    parser.add_argument(
        "--task",
        metavar="TASK",
        help="what it is for, such as summarisation; `workbench config presets` lists them",
    )
    parser.add_argument("--dataset", metavar="REF", help="the rows that cutoff and epochs are for")


def start(workspace: Workspace, args: argparse.Namespace, name: str) -> Start:
    """The config that `config new` writes: the defaults, those of a preset, then `--set`.

    Raises WorkbenchError for a base that isn't there, ConfigError for what can't be set.
    """
    from workbench.config import presets

    chosen = [f"name={name}"]
    chosen += [f"model.base={args.base}"] if args.base else []
    chosen += [f"data.dataset={args.dataset}"] if args.dataset else []
    if args.preset is None:
        if args.task:
            raise WorkbenchError("--task goes with --preset.", "Add --preset lora or qlora.")
        return Start(loading.default_config([*chosen, *args.settings]))
    # What is set by hand decides what the preset is for: its base, its dataset.
    config = loading.default_config([*chosen, *args.settings])
    found = _made(workspace, config, [args.preset], args.task or "")[0]
    plain = loading.default_config(chosen)
    with_preset = presets.apply(plain, found).model_dump()
    return Start(loading.parse(with_preset, args.settings, origin="The config"), found)


def _made(workspace: Workspace, config: RunConfig, methods: list[str], task: str) -> list[Preset]:
    from workbench import base_models
    from workbench.config import presets
    from workbench.config.presets.shapes import facts_of
    from workbench.data import versions
    from workbench.planning import known

    if config.data.dataset:
        versions.resolve(workspace, config.data.dataset)  # one that isn't there is refused
    name = config.model.base
    local = user_path(name)
    is_folder = name != base_models.DEFAULT and local.is_dir()
    try:
        facts = facts_of(local if is_folder else base_models.resolve(workspace, name))
        around = known.gather(workspace, config)
    except WorkbenchError:
        # Of a hub's model its two small files are enough.
        around = known.gather(workspace, config, fetch=say)
        if around.base is None:
            raise
        facts = around.base
    around = replace(around, base=facts)
    return [
        presets.preset(facts, quantised=METHODS[method], task=task, circumstances=around)
        for method in methods
    ]


def _presets(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.config import presets
    from workbench.config.presets import page

    if args.markdown:
        return {"markdown": page.markdown()}
    if args.base is None and args.dataset is None and args.preset is None:
        tasks = [presets.task_of(args.task)] if args.task else presets.TASKS.values()
        return {
            "families": [_family(family) for family in presets.FAMILIES],
            "tasks": [task.to_json() for task in tasks],
        }
    chosen = [f"model.base={args.base}"] if args.base else []
    chosen += [f"data.dataset={args.dataset}"] if args.dataset else []
    config = loading.default_config(chosen)
    methods = [args.preset] if args.preset else list(METHODS)
    made = _made(Workspace.find(args.workspace), config, methods, args.task or "")
    return {
        "base": config.model.base,
        "task": args.task or "",
        "presets": [preset.to_json() for preset in made],
    }


def _family(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "title": family.title,
        "model_types": list(family.model_types),
        "modules": list(family.modules),
        "sizes": [{"name": m.name, "parameters": m.parameters} for m in family.members],
        "recipes": [recipe.source for recipe in family.recipes],
    }


def _show(result: dict[str, Any]) -> None:
    if "markdown" in result:
        print(result["markdown"], end="")
    elif "families" in result:
        _show_all(result)
    else:
        first, *others = result["presets"]
        _show_one(first, None)
        for preset in others:
            print()
            _show_one(preset, first)
        print()
        _show_task(result["task"])
        print(
            visible(
                "Write a config from one: workbench config new NAME --preset lora|qlora "
                f"--base {result['base']}"
            )
        )


def _show_all(result: dict[str, Any]) -> None:
    for family in result["families"]:
        print(f"{family['title']} (model_type {', '.join(family['model_types'])})")
        _indent(", ".join(size["name"] for size in family["sizes"]), 4)
    print("Any other base gets the general preset.\n\nBy the task (--task):")
    rows = [[task["name"], task["title"].partition(": ")[2]] for task in result["tasks"]]
    print(table(["task", "for"], rows))
    print("\nWith every figure and its source: workbench config presets --base BASE [--task TASK]")


def _show_one(preset: dict[str, Any], first: dict[str, Any] | None) -> None:
    """A preset in full, or what is otherwise than in the one before."""
    from workbench.config.presets import plain as written

    _indent(f"{preset['name']}: {preset['title']}", 0)
    settings, notes = preset["settings"], preset["notes"]
    if first is not None:
        print(visible(f"as {first['name']}, but for"))
        settings = {p: f for p, f in settings.items() if f != first["settings"].get(p)}
        notes = [note for note in notes if note not in first["notes"]]
    plain = {p: f for p, f in settings.items() if _goes_without_saying(p, f["value"], f["others"])}
    column = max((len(path) for path in settings if path not in plain), default=0) + 4
    for path, figure in settings.items():
        if path in plain:
            continue
        print(visible(f"  {path.ljust(column - 2)}{written(figure['value'])}", one_line=True))
        _indent(figure["source"], column)
        if figure["others"]:
            _indent(f"others: {figure['others']}", column)
    if plain:
        listed = ", ".join(f"{path} {written(f['value'])}" for path, f in plain.items())
        _indent(f"and as by default {listed}", 2)
    _show_notes(notes, width())


def _goes_without_saying(path: str, value: Any, others: str) -> bool:
    """Whether a setting is only there so that a config that has it otherwise is put right."""
    return bool(value == loading.value_at(RunConfig(), path) and not others)


def _indent(text: str, column: int) -> None:
    space = " " * column
    print(
        textwrap.fill(
            visible(text, one_line=True),
            max(width(), column + 30),
            initial_indent=space,
            subsequent_indent=space,
            break_on_hyphens=False,
        )
    )


def show_notes(preset: dict[str, Any]) -> None:
    """What is to be known of a preset that a config was made from."""
    print(visible(f"From the preset {preset['name']}; the source of each setting stands above it."))
    _show_notes(preset["notes"], width())


def _show_notes(notes: list[dict[str, str]], width: int) -> None:
    for note in notes:
        source = f" [{note['source']}]" if note["source"] else ""
        print(textwrap.fill(visible(f"- {note['text']}{source}"), width, subsequent_indent="  "))


def _show_task(name: str) -> None:
    if not name:
        return
    from workbench.config.presets import task_of

    task = task_of(name)
    for what, text in (("Data", task.data), ("Judged by", task.metric)):
        print(textwrap.fill(f"{what}: {text}", width(), subsequent_indent="  "))
