"""`workbench config`: make and check the configs of runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.tracking import runs
from workbench.verbs import config_import, exposures, forecast, presets
from workbench.verbs.common import add_settings, group, leaf, table
from workbench.workspace import Workspace, check_name


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "config", help="make, show and check the configs of runs")
    leaf(verbs, "fields", help="every field, with its default", run=_fields, show=_show_fields)
    new = leaf(verbs, "new", help="write a config with every field", run=_new, show=_show_new)
    new.add_argument("name", metavar="NAME")
    presets.add_choices(new)
    add_settings(new)
    new.add_argument("--force", action="store_true", help="replace one that is there")
    show = leaf(verbs, "show", help="a config with all its defaults", run=_show, show=_show_yaml)
    check = leaf(verbs, "check", help="every problem of a config", run=_check, show=_show_checked)
    forecast.add_parser(verbs)
    presets.add_parser(verbs)
    config_import.add_parser(verbs)
    for parser in (show, check):
        parser.add_argument("config", metavar="CONFIG", help="a YAML file, or a name")
        add_settings(parser)


def _fields(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [asdict(field) for field in loading.fields()]


def _show_fields(result: list[dict[str, Any]]) -> None:
    rows = [
        [
            field["path"],
            "–" if field["default"] in (None, "") else field["default"],
            field["unit"],
            field["help"] + (f" [{' | '.join(field['choices'])}]" if field["choices"] else ""),
        ]
        for field in result
    ]
    print(table(["field", "default", "unit", "what"], rows))


def _new(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    path = workspace.configs / f"{check_name(args.name, 'config')}.yaml"
    if path.exists() and not args.force:
        raise WorkbenchError(f"There is a config {path} already.", "--force replaces it.")
    made = presets.start(workspace, args, args.name)
    workspace.ensure()
    loading.save(made.config, path, made.comments())
    preset = made.preset.to_json() if made.preset else None
    return {"path": str(path), "config": made.config.model_dump(), "preset": preset}


def _show_new(result: dict[str, Any]) -> None:
    print(f"Written to {result['path']}.")
    if result["preset"]:
        presets.show_notes(result["preset"])
    name = Path(result["path"]).stem
    data = result["config"]["data"]
    if not data["dataset"] and not data["mixture"]:
        print("Set data.dataset in it; `workbench data list` shows what there is.")
    print(f"Start it with: workbench train {name}")


def _check(args: argparse.Namespace) -> dict[str, Any]:
    """Every problem of the config itself, else the first of what it names."""
    result = _show(args)
    config = loading.parse(result["config"], origin=result["path"])
    workspace = Workspace.find(args.workspace)
    runs.check_inputs(workspace, config)
    return {**result, "exposure": exposures.of(workspace, config)}


def _show(args: argparse.Namespace) -> dict[str, Any]:
    path = loading.config_path(Workspace.find(args.workspace), args.config)
    config = loading.load(path, args.settings)
    return {"path": str(path), "config": config.model_dump(), "yaml": loading.dump(config)}


def _show_yaml(result: dict[str, Any]) -> None:
    print(result["yaml"], end="")


def _show_checked(result: dict[str, Any]) -> None:
    print(f"{result['path']} is in order.")
    print(exposures.text(result["exposure"]))
