"""Run configs as YAML files and as `path=value` settings; every error at once."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from workbench.config import yaml_reading
from workbench.config.fields import ConfigField, field_at, fields, sections, value_at
from workbench.config.problems import ConfigError, ConfigProblem, explain
from workbench.config.schema import RunConfig
from workbench.config.yaml_reading import EXPONENT
from workbench.errors import WorkbenchError
from workbench.files import user_path, write_text
from workbench.workspace import Workspace

__all__ = [
    "ConfigError",
    "ConfigField",
    "ConfigProblem",
    "changed",
    "config_path",
    "default_config",
    "dump",
    "fields",
    "load",
    "load_fields",
    "parse",
    "parse_value",
    "save",
    "value_at",
    "value_text",
]

SWEEP = "sweep"
"""The section of a file that makes several runs of it; no run's own config has one."""
BESIDE = (SWEEP,)
"""Top-level keys of a config file that are no field of a run."""
_OCTAL = re.compile(r"0o[0-7]+")


def config_path(workspace: Workspace, reference: str) -> Path:
    """The file of a config named by its path, or by its name in the workspace.

    Raises WorkbenchError with the names that there are.
    """
    for path in (user_path(reference), workspace.configs / f"{reference}.yaml"):
        if path.is_file():
            return path
    names = sorted(path.stem for path in workspace.configs.glob("*.yaml"))
    raise WorkbenchError(
        f"There is no config {reference}, neither as a file nor in {workspace.configs}.",
        f"There are: {', '.join(names)}." if names else "`workbench config new NAME` writes one.",
    )


def default_config(settings: Iterable[str] = ()) -> RunConfig:
    """The defaults, with `path=value` settings applied."""
    return parse({}, settings, origin="The config")


@dataclass(frozen=True, slots=True)
class Written:
    """A config file as it was read."""

    body: dict[str, Any]
    keys: list[tuple[str, int]]
    """What it names, as paths with their lines (`yaml_reading.read`)."""


def load(path: Path, settings: Iterable[str] = ()) -> RunConfig:
    """The config of a YAML file, with `path=value` settings applied.

    Raises ConfigError with every problem, each with its line; WorkbenchError when the
    file can't be read, is no YAML, or holds a sweep.
    """
    written = read(path)
    if SWEEP in written.body:
        line = next(line for name, line in written.keys if name == SWEEP)
        name = shlex.quote(str(path))
        raise WorkbenchError(
            f"{path}, line {line}: it holds a sweep, which makes several runs and not one.",
            f"`workbench sweep plan {name}` shows them, `workbench sweep start {name}` queues "
            "them.",
        )
    return parse(written.body, settings, origin=str(path), keys=written.keys)


def load_fields(path: Path, settings: Iterable[str] = ()) -> RunConfig:
    """As `load`, of a file that may hold a sweep: what each of its runs begins with."""
    written = read(path)
    body = {name: value for name, value in written.body.items() if name not in BESIDE}
    keys = [(name, line) for name, line in written.keys if name.split(".")[0] not in BESIDE]
    return parse(body, settings, origin=str(path), keys=keys)


def read(path: Path) -> Written:
    """What stands in a YAML file. Raises WorkbenchError when it can't be read or is no YAML."""
    return Written(*yaml_reading.read(yaml_reading.file_text(path), origin=str(path)))


def parse(
    body: dict[str, Any],
    settings: Iterable[str] = (),
    *,
    origin: str,
    keys: Sequence[tuple[str, int]] = (),
) -> RunConfig:
    """A config from plain values. Raises ConfigError with every problem.

    `keys` are the paths that a file names (`yaml_reading.read`), each with its line, in order.
    """
    lines, problems = lines_of(keys)
    for setting in settings:
        path, value = split_setting(setting)
        body = _with(body, path, parse_value(value, text_wanted=_kind_at(path) == "text"))
        lines = {
            known: line for known, line in lines.items() if not f"{known}.".startswith(f"{path}.")
        }
    try:
        config = RunConfig.model_validate(_without_empty_sections(body))
    except ValidationError as error:
        problems += explain(error, lines)
        raise ConfigError(origin, sorted(problems, key=lambda p: p.line or 0)) from error
    if problems:
        raise ConfigError(origin, problems)
    return config


def lines_of(keys: Sequence[tuple[str, int]]) -> tuple[dict[str, int], list[ConfigProblem]]:
    """The line of each key, and those that stand there twice."""
    lines: dict[str, int] = {}
    problems: list[ConfigProblem] = []
    for path, line in keys:
        if path in lines:
            text = f"it stands on line {lines[path]} already."
            problems.append(ConfigProblem(path, text, line))
        lines.setdefault(path, line)
    return lines, problems


def split_setting(setting: str) -> tuple[str, str]:
    """Path and value of `path=value`. Raises WorkbenchError when it is written otherwise."""
    path, equals, value = setting.partition("=")
    if not equals or not path.strip():
        raise WorkbenchError(
            f"{setting!r} is no setting.", "Write it as path=value, such as lora.rank=8."
        )
    return path.strip(), value


def parse_value(text: str, *, text_wanted: bool = False) -> Any:
    """A value as a config's file has it; an empty text is null.

    Where text is wanted, it stays as it is, `2024`, `a #1` and nothing at all, unless it is
    in quotes or a list. What is no YAML is text as well; the schema says whether that can be.
    """
    if text_wanted and not text.strip().startswith(("'", '"', "[")):
        return text.strip()
    try:
        value = yaml_reading.value(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return text.strip()
    if text_wanted and not isinstance(value, str | list):
        return text.strip()
    return value


def changed(config: RunConfig, path: str, text: str) -> RunConfig:
    """`config` with the field at `path` set from text. Raises ConfigError."""
    return parse(config.model_dump(), [f"{path}={text}"], origin="The config")


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """`config` with plain values at these paths. Raises ConfigError."""
    body = config.model_dump()
    for path, value in values.items():
        body = _with(body, path, value)
    return parse(body, origin="The config")


def dump(config: RunConfig, comments: Mapping[str, str] | None = None) -> str:
    """The config as YAML, each field with its help as a comment.

    `comments` are lines to stand above fields, by their paths.
    """
    out: list[str] = []
    section = ""
    for item in fields():
        head, _, name = item.path.rpartition(".")
        if head != section:
            section = head
            out.append(f"\n{head}:")
        unit = f" [{item.unit}]" if item.unit else ""
        shown = value_text(value_at(config, item.path))
        indent = "  " if head else ""
        if comment := (comments or {}).get(item.path):
            out.append(f"{indent}# {' '.join(comment.split())}")
        out.append(f"{indent}{name}: {shown}  # {item.help}{unit}")
    return "\n".join(out).lstrip("\n") + "\n"


def value_text(value: Any, quote: str = "") -> str:
    """A value as YAML on one line, fit for any place; texts in `quote`, where that can be.

    What only one of YAML 1.1 and 1.2 takes for a number, such as the name 1e5, is quoted, so that
    every editor reads it as it is meant.
    """
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        quote = ""
    elif any(not text.isprintable() for text in texts):
        quote = '"'  # the other styles break the line where the text does
    elif not quote and any(_OCTAL.fullmatch(t) or EXPONENT.fullmatch(t) for t in texts):
        quote = "'"
    # In a list nothing is left bare that would end it or begin a comment.
    dumped = yaml.safe_dump(
        [value],
        default_flow_style=True,
        default_style=quote or None,
        width=math.inf,
        allow_unicode=True,
    )
    return str(dumped).strip()[1:-1]


def save(config: RunConfig, path: Path) -> None:
    """Write the config as a YAML file, whole."""
    write_text(path, dump(config))


def _with(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if not rest:
        return {**body, head: value}
    inner = body.get(head)
    return {**body, head: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def _kind_at(path: str) -> str:
    found = field_at(path)
    return found.kind if found else ""


def _without_empty_sections(body: dict[str, Any]) -> dict[str, Any]:
    """A section whose fields are all commented out is one with its defaults."""
    empty = {name for name in sections() if body.get(name, "") is None}
    return {key: value for key, value in body.items() if key not in empty}
