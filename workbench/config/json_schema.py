"""JSON Schema of a config file, for editors: completion, help on hover, bounds, choices.

It takes what `loading.load` takes and refuses what that refuses, as far as JSON Schema can say
it. It can't say the bounds of a number that is written as text (`"8"`), nor which fields can't be
had together, nor whether a pattern is one.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from workbench.config.fields import ConfigField, fields
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
    whole["properties"][SWEEP] = _sweep()
    return {"$schema": DIALECT, "title": "A run of workbench", **whole}


def _sweep() -> dict[str, Any]:
    """The section beside the config: a bare list of a field is its choices."""
    raw = Sweep.model_json_schema()
    made: dict[str, Any] = _plain(raw, raw.pop("$defs"))
    spec = made["properties"]["fields"].pop("additionalProperties")
    kinds = [{**kind, "type": "object"} for kind in spec["oneOf"]]
    made["properties"]["fields"] |= {
        "propertyNames": {"enum": list(known_fields())},
        "additionalProperties": {"oneOf": [{"type": "array", "minItems": 1}, *kinds]},
    }
    return made


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
        return _section(definitions[node["$ref"].rpartition("/")[2]], definitions)
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


def _section(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A section, which may be empty: all of its fields commented out."""
    return {**_plain(node, definitions), "type": ["object", "null"]}


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
