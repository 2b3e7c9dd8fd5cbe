"""`workbench config`: make and check the configs of runs."""

from __future__ import annotations

import argparse
import difflib
import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.config import json_schema, loading, reference, saving
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, user_path, write_text
from workbench.text import visible
from workbench.tracking import runs
from workbench.verbs import advise, config_import, exposures, forecast, presets
from workbench.verbs.common import add_settings, group, leaf, width
from workbench.verbs.naming import add_config
from workbench.verbs.tables import lay_out
from workbench.workspace import Workspace, check_name

_PAGE = "docs/config.md"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = group(subparsers, "config", help="make, show and check the configs of runs")
    leaf(verbs, "fields", help="every field, with its default", run=_fields, show=_show_fields)
    new = leaf(verbs, "new", help="write a config with every field", run=_new, show=_show_new)
    new.add_argument("name", metavar="NAME")
    presets.add_choices(new)
    add_settings(new)
    new.add_argument("--force", action="store_true", help="replace one that is there")
    change = leaf(
        verbs, "set", help="change fields in a config's file", run=_set, show=_show_changed
    )
    add_config(change)
    change.add_argument("settings", nargs="+", metavar="PATH=VALUE", help="such as lora.rank=8")
    schema = leaf(
        verbs, "schema", help="JSON Schema of a config, for editors", run=_schema, show=_show_schema
    )
    schema.add_argument("--output", metavar="FILE", help="write it there")
    docs = leaf(verbs, "docs", help="the reference page of all fields", run=_docs, show=_show_docs)
    docs.add_argument("--output", metavar="FILE", default=_PAGE, help=f"default: {_PAGE}")
    docs.add_argument("--check", action="store_true", help="only say whether it is up to date")
    show = leaf(verbs, "show", help="a config with all its defaults", run=_show, show=_show_yaml)
    check = leaf(verbs, "check", help="every problem of a config", run=_check, show=_show_checked)
    forecast.add_parser(verbs)
    advise.add_parser(verbs)
    presets.add_parser(verbs)
    config_import.add_parser(verbs)
    for parser in (show, check):
        add_config(parser)
        add_settings(parser)


def _fields(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [asdict(field) for field in loading.fields()]


def _show_fields(result: list[dict[str, Any]]) -> None:
    """A line of figures a field; below it its help, its choices and the source of its default."""
    rows = [
        [
            field["path"],
            "–" if field["default"] in (None, "", [], {}) else _yaml(field["default"]),
            field["bounds"],
            field["unit"],
        ]
        for field in result
    ]
    header, *lines = lay_out(["field", "default", "bounds", "unit"], rows).splitlines()
    print(header)
    for line, field in zip(lines, result, strict=True):
        choices = f" Choices: {', '.join(field['choices'])}." if field["choices"] else ""
        about = f"{field['help']}{choices} Source: {field['source']}."
        wrapped = textwrap.wrap(about, width(), initial_indent="    ", subsequent_indent="    ")
        print(visible(line), *wrapped, sep="\n")


def _yaml(value: object) -> str:
    return loading.value_text(value)


def _new(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.find(args.workspace)
    path = workspace.configs / f"{check_name(args.name, 'config')}.yaml"
    if path.exists() and not args.force:
        raise WorkbenchError(f"There is a config {path} already.", "--force replaces it.")
    made = presets.start(workspace, args, args.name)
    workspace.ensure()
    saving.save_new(path, made.config, made.comments())
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


def _set(args: argparse.Namespace) -> dict[str, Any]:
    path = loading.config_path(Workspace.find(args.workspace), args.config)
    after = loading.load_fields(path, args.settings)
    try:
        before = loading.load_fields(path)
    except loading.ConfigError:
        before = None  # what is wrong in the file, the settings mend
    saving.save_over(path, after)
    changed = [
        {
            "path": field.path,
            "old": loading.value_at(before, field.path) if before else None,
            "new": loading.value_at(after, field.path),
        }
        for field in loading.fields()
        if (
            loading.value_at(before, field.path) != loading.value_at(after, field.path)
            if before
            else any(setting.partition("=")[0].strip() == field.path for setting in args.settings)
        )
    ]
    return {"path": str(path), "changed": changed}


def _show_changed(result: dict[str, Any]) -> None:
    for change in result["changed"]:
        print(visible(f"{change['path']}: {_yaml(change['old'])} → {_yaml(change['new'])}"))
    print(f"Written to {result['path']}." if result["changed"] else "It was so already.")


def _schema(args: argparse.Namespace) -> dict[str, Any]:
    if not args.output:
        return json_schema.json_schema()
    return {"path": str(_write_to(args.output, json_schema.text()))}


def _write_to(name: str, text: str) -> Path:
    """Write what was asked for; its folder has to be there."""
    path = user_path(name)
    if not path.parent.is_dir():
        raise WorkbenchError(f"There is no folder {path.parent}.", "--output names a file.")
    write_text(path, text)
    return path


def _show_schema(result: dict[str, Any]) -> None:
    print(f"Written to {result['path']}." if "path" in result else json.dumps(result, indent=2))


def _docs(args: argparse.Namespace) -> dict[str, Any]:
    """Raises WorkbenchError when the page is not what the schema makes."""
    path, page = user_path(args.output), reference.page()
    if not args.check:
        return {"path": str(_write_to(args.output, page)), "written": True}
    try:
        there = path.read_text(encoding="utf-8")
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    if there != page:
        lines = difflib.unified_diff(there.splitlines(), page.splitlines(), lineterm="", n=0)
        first = "\n".join([line[:100] for line in lines][2:10])
        raise WorkbenchError(
            f"{path} is not what the schema makes:\n{first}", "`workbench config docs` makes it."
        )
    return {"path": str(path), "written": False}


def _show_docs(result: dict[str, Any]) -> None:
    print(f"Written to {result['path']}." if result["written"] else "It is up to date.")


def _check(args: argparse.Namespace) -> dict[str, Any]:
    """Every problem of the config itself, and of its sweep if it has one, else the first of what
    it names; and errors and warnings of its advice."""
    from workbench.planning import company

    workspace = Workspace.find(args.workspace)
    path = loading.config_path(workspace, args.config)
    if loading.SWEEP in loading.read(path).body:
        return _checked_sweep(workspace, path, args.settings)
    result = _show(args)
    config = loading.parse(result["config"], origin=result["path"])
    runs.check_inputs(workspace, config)
    return {
        **result,
        "exposure": exposures.of(workspace, config),
        "advice": advise.standing(workspace, config),
        "gpus": company.warnings(config),
    }


def _checked_sweep(workspace: Workspace, path: Path, settings: list[str]) -> dict[str, Any]:
    from workbench.config import sweep
    from workbench.sweeps import making

    swept = sweep.load(path, settings)
    planned = making.plan(workspace, swept, str(path))
    return {
        "path": str(path),
        "config": swept.config.model_dump(),
        "sweep": swept.sweep.model_dump(),
        "runs": len(planned) or swept.sweep.budget,
    }


def _show(args: argparse.Namespace) -> dict[str, Any]:
    path = loading.config_path(Workspace.find(args.workspace), args.config)
    config = loading.load(path, args.settings)
    return {"path": str(path), "config": config.model_dump(), "yaml": loading.dump(config)}


def _show_yaml(result: dict[str, Any]) -> None:
    print(result["yaml"], end="")


def _show_checked(result: dict[str, Any]) -> None:
    print(f"{result['path']} is in order.")
    if "sweep" in result:
        most = " at most" if result["sweep"]["method"] == "optuna" else ""
        print(f"Its sweep makes {result['runs']} runs{most}: workbench sweep plan shows them.")
        return
    print(exposures.text(result["exposure"]))
    for found in result["advice"]:
        print(visible(f"\n{advise.told(found)}"))
    for text in result["gpus"]:
        print(visible(f"\nwarning: {text}"))
