"""JSON Schema of a config file, for editors: completion, help on hover, bounds, choices.

It takes what `loading.load` takes and refuses what that refuses, as far as JSON Schema can say
it. It can't say the bounds of a number that is written as text (`"8"`), nor which fields can't be
had together, nor whether a pattern is one.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from workbench.config.fields import ConfigField, fields, sections
from workbench.config.loading import SWEEP
from workbench.config.schema import RunConfig
from workbench.config.section import SWITCH_WORDS
from workbench.config.sweep import Sweep, known_fields

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WHOLE = r"^\s*[+-]?[0-9]+(_[0-9]+)*(\.0+)?\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_SWITCH = f"^({'|'.join(f'{w}|{w.title()}|{w.upper()}' for w in SWITCH_WORDS)})$"
_AS_TEXT = {"integer": _WHOLE, "number": _NUMBER, "boolean": _SWITCH}
"""What a value of such a type may be written as in quotes, or by YAML 1.1's other words."""


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a config file; to be read only."""
    raw = RunConfig.model_json_schema()
    whole = _plain(raw, raw.pop("$defs"))
    for item in fields():
        _describe(whole, item)
    for name in sections():  # one whose fields are all commented out is empty
        whole["properties"][name]["type"] = ["object", "null"]
    whole["properties"][SWEEP], varied = _sweep()
    title = "A run of workbench"
    return {"$schema": DIALECT, "title": title, **whole, "$defs": {"varied": varied}}


def text() -> str:
    """The JSON Schema as a file holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references and titles, whose scalars may stand in quotes."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(definitions[node["$ref"].rpartition("/")[2]], definitions)
    made = {
        key: {name: _plain(value, definitions) for name, value in inner.items()}
        if key == "properties"
        else inner
        if key == "default"
        else _plain(inner, definitions)
        for key, inner in node.items()
        if key not in ("title", "unit", "source")
    }
    if (pattern := _AS_TEXT.get(str(made.get("type")))) is not None:
        made |= {"type": [made["type"], "string"], "pattern": pattern}
    return made


def _sweep() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a file's sweep, and that of what each of its fields may be."""
    raw = Sweep.model_json_schema()
    made = _plain(raw, raw.pop("$defs"))
    varied = made["properties"]["fields"]
    choices = {"type": "array", "minItems": 1}
    kinds = [choices, *varied["additionalProperties"]["oneOf"]]
    varied["properties"] = {
        path: {"$ref": "#/$defs/varied", "description": item.help}
        for path, item in known_fields().items()
    }
    varied["additionalProperties"] = False
    return made, {"anyOf": kinds}


def _describe(whole: dict[str, Any], item: ConfigField) -> None:
    """Put a field's unit and source to its help, as an editor shows it."""
    node = whole
    for name in item.path.split("."):
        node = node["properties"][name]
    unit = f" Unit: {item.unit}." if item.unit else ""
    bounds = f" Bounds: {item.bounds}." if item.bounds else ""
    default = json.dumps(item.default, ensure_ascii=False)
    about = f"{item.help}{unit}{bounds}\nDefault: {default}. Source: {item.source}."
    node["description"] = about
