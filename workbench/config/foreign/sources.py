"""Reads the file of another trainer: YAML, JSON or a command line, each key with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workbench.config.foreign import command_line
from workbench.config.yaml_reading import file_text
from workbench.errors import WorkbenchError

_COMMAND = re.compile(r"^[^#\n]*?(?:\btrl|\.py|\baccelerate|\btorchrun)\b", re.MULTILINE)
_OPTION = re.compile(r"(?:^|\s)--[A-Za-z]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the file."""

    key: str
    value: Any
    line: int | None = None
    file: str = ""
    """Where it isn't in the file itself: that of a command line's --config."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds."""

    path: Path
    kind: str
    """`yaml`, `json` or `command`."""
    settings: tuple[Setting, ...]
    lines: dict[str, int] = field(default_factory=dict)
    """Line of each path, such as `datasets[0].type`."""
    twice: tuple[Setting, ...] = ()
    """Keys that stand there once more; the last one counts, as in the trainers' own parsers."""
    verb: str = ""
    """Of a command: `sft` of `trl sft`, or the script's name."""

    def where(self, key: str) -> str:
        """`FILE, line N`."""
        line = self.lines.get(key)
        return f"{self.path}, line {line}" if line else str(self.path)


def read(path: Path) -> Source:
    """What a file of another trainer holds.

    Raises WorkbenchError, with file and line, for what can't be read or is none of the three.
    """
    text = file_text(path)
    if path.suffix == ".py":
        raise WorkbenchError(
            f"{path} is a Python script, which is neither run nor read.",
            "Write its arguments as JSON, `SFTConfig(...).to_json_string()`, or as a YAML file.",
        )
    if not text.strip():
        raise WorkbenchError(f"{path} is empty.")
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _json(path, text)
    looks = _OPTION.search(text) and (text.lstrip().startswith("--") or _COMMAND.search(text))
    if path.suffix not in (".yaml", ".yml") and (path.suffix in (".sh", ".bash") or looks):
        return _command(path, text)
    return _yaml(path, text)


def _yaml(path: Path, text: str) -> Source:
    try:
        body = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise WorkbenchError(f"{path}{line}: it is not valid YAML: {reason}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkbenchError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    return _of_mapping(path, "yaml", body, node)


def _json(path: Path, text: str) -> Source:
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg[0].lower()}{error.msg[1:]}"
        raise WorkbenchError(
            f"{path}, line {error.lineno}: it is not valid JSON: {reason}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"{path} is not valid JSON: {error}") from error
    try:
        # JSON is YAML, too, but for tabs; only YAML's nodes know their lines.
        node = yaml.compose(text.replace("\t", "  "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        node = None
    return _of_mapping(path, "json", body, node)


def _of_mapping(path: Path, kind: str, body: Any, node: yaml.Node | None) -> Source:
    if not isinstance(body, dict):
        what = "a list" if isinstance(body, list) else "nothing" if body is None else "a plain text"
        raise WorkbenchError(
            f"{path} holds {what}, no config: its top level must be `key: value` pairs."
        )
    lines: dict[str, int] = {}
    twice = []
    for name, line in _paths(node):
        if name in lines and "." not in name:
            twice.append(Setting(name, body.get(name), lines[name]))
        lines[name] = line
    settings = tuple(Setting(str(k), v, lines.get(str(k))) for k, v in body.items())
    return Source(path, kind, settings, lines, tuple(twice))


def _paths(node: yaml.Node | None, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    if depth > 6:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}.{key.value}" if prefix else str(key.value)
            yield name, key.start_mark.line + 1
            yield from _paths(value, name, depth + 1)
    elif isinstance(node, yaml.SequenceNode) and prefix:
        for number, value in enumerate(node.value):
            yield f"{prefix}[{number}]", value.start_mark.line + 1
            yield from _paths(value, f"{prefix}[{number}]", depth + 1)


def _command(path: Path, text: str) -> Source:
    found = command_line.parse(text, str(path))
    settings = {o.key: Setting(o.key, o.value, o.line) for o in found.options}
    twice = [
        Setting(o.key, o.value, o.line)
        for n, o in enumerate(found.options)
        if any(later.key == o.key for later in found.options[n + 1 :])
    ]
    lines = {o.key: o.line for o in found.options}
    if "config" in settings:
        # The command line wins over the file that it names.
        named = settings.pop("config")
        other = path.parent / str(named.value)
        if not other.is_file():
            raise WorkbenchError(
                f"{path}, line {named.line}: --config names {named.value}; there is no {other}.",
                "Put it beside the script, or import that file itself.",
            )
        inner = _yaml(other, file_text(other))
        for setting in inner.settings:
            of_file = Setting(setting.key, setting.value, setting.line, str(named.value))
            settings.setdefault(setting.key, of_file)
    return Source(path, "command", tuple(settings.values()), lines, tuple(twice), found.verb)
