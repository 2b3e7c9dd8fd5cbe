"""The reference page of the configuration, made from the schema: docs/config.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.config.fields import ConfigField, fields, sections
from workbench.config.json_schema import json_schema

_TITLES = {
    "": "The run",
    "model": "`model`: what is fine-tuned",
    "data": "`data`: what it is trained on",
    "lora": "`lora`: the adapter",
    "training": "`training`: how it is trained",
    "evaluation": "`evaluation`: what is measured, and when",
    "checkpoints": "`checkpoints`: what is kept to resume from",
    "logging": "`logging`: what is written while it trains",
    "job": "`job`: processes, GPUs, restarts",
}


def page() -> str:
    """The reference page as Markdown."""
    parts = [Path(__file__).with_name("reference.md").read_text(encoding="utf-8")]
    for section in ["", *sections()]:
        rows = [_row(item) for item in fields() if item.path.rpartition(".")[0] == section]
        parts.append(
            f"## {_TITLES.get(section, f'`{section}`')}\n\n"
            "| field | type | default | bounds | unit | what | source of the default |\n"
            "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _row(item: ConfigField) -> str:
    default = "nothing" if item.default is None else f"`{json.dumps(item.default)}`"
    cells = [
        f"`{item.path}`",
        _type(item),
        default,
        item.bounds,
        item.unit,
        item.help,
        item.source,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _type(item: ConfigField) -> str:
    """What a field may be, in words."""
    choices = ", ".join(f"`{choice}`" for choice in item.choices)
    if isinstance(item.default, dict):
        return "names, each with a weight above 0"
    if (words := _listed(item.path)) is not None:
        those = f"list of {', '.join(f'`{word}`' for word in words)}" if words else "list of names"
        return those if isinstance(item.default, list) else f"text or {those}"
    names = {"int": "whole number", "float": "number", "bool": "`true` or `false`", "text": "text"}
    if item.kind in names:
        return f"{names[item.kind]} or {choices}" if choices else names[item.kind]
    return choices


def _listed(path: str) -> list[str] | None:
    """The words that a list may hold, none where it is any; None where it is no list."""
    node: dict[str, Any] = json_schema()
    for name in path.split("."):
        node = node["properties"][name]
    for kind in node.get("anyOf", [node]):
        if kind.get("type") == "array":
            return list(kind["items"].get("enum", []))
    return None
