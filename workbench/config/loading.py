"""Run configs as YAML files and as `path=value` settings; every error at once."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from workbench.config.conflicts import Conflicts
from workbench.config.schema import RunConfig
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, user_path, write_text
from workbench.workspace import Workspace

_OTHER_NAMES = {
    "lr": "training.learning_rate",
    "r": "lora.rank",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.batch_size",
    "micro_batch_size": "training.micro_batch",
    "sample_packing": "training.packing",
    "neftune_noise_alpha": "training.neftune_alpha",
    "use_rslora": "lora.rslora",
    "use_dora": "lora.dora",
    "loraplus_lr_ratio": "lora.plus_ratio",
    "init_lora_weights": "lora.initialisation",
    "lora_modules_to_save": "lora.modules_to_save",
    "warmup_steps": "training.warmup_steps",
    "num_processes": "job.processes",
    "early_stopping_patience": "evaluation.patience",
    "load_in_8bit": "model.quantization",
    "gradient_accumulation_steps": "training.accumulation",
    "max_grad_norm": "training.max_gradient_norm",
    "lr_scheduler_type": "training.schedule",
    "load_in_4bit": "model.quantization",
    "base_model": "model.base",
    "model_name_or_path": "model.base",
    "sequence_len": "data.max_length",
    "cutoff_len": "data.max_length",
    "max_seq_length": "data.max_length",
}
"""What other trainers call these fields."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One field of a run's config, as a form or a reference page needs it."""

    path: str
    """`section.name`."""
    help: str
    unit: str
    source: str
    default: Any
    choices: tuple[str, ...]
    """What it may be, when that is a short list."""
    kind: str
    """`text`, `int`, `float`, `bool` or `choice`."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong with a config."""

    path: str
    text: str
    line: int | None = None


class ConfigError(WorkbenchError):
    """A config with problems, each with its path and, from a file, its line."""

    def __init__(self, origin: str, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        lines = [
            f"  {f'line {p.line}, ' if p.line else ''}{p.path}: {p.text}" for p in self.problems
        ]
        super().__init__(
            f"{origin} can't be used:\n" + "\n".join(lines),
            "`workbench config fields` lists every field.",
        )


def fields() -> list[ConfigField]:
    """Every field of RunConfig, in the order of the schema."""
    return [_describe(path, info) for path, info in _leaves(RunConfig, "")]


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


def load(path: Path, settings: Iterable[str] = ()) -> RunConfig:
    """The config of a YAML file, with `path=value` settings applied.

    Raises ConfigError with every problem, each with its line; WorkbenchError when the
    file can't be read or is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        body = yaml.safe_load(text)
        keys = list(_keys(yaml.compose(text, Loader=yaml.SafeLoader)))
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise WorkbenchError(f"{path}{line}: it is not valid YAML: {reason}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A ValueError: no UTF-8, or a date such as 2024-13-45.
        where = " ".join(str(error).split())
        raise WorkbenchError(f"{path} is not valid YAML: {where}.") from error
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise WorkbenchError(f"{path} holds no config: its top level must be `field: value` pairs.")
    return parse(body, settings, origin=str(path), keys=keys)


def parse(
    body: dict[str, Any],
    settings: Iterable[str] = (),
    *,
    origin: str,
    keys: Sequence[tuple[str, int]] = (),
) -> RunConfig:
    """A config from plain values. Raises ConfigError with every problem.

    `keys` are the paths that a file names, each with its line, in its order.
    """
    lines: dict[str, int] = {}
    problems: list[ConfigProblem] = []
    for path, line in keys:
        if path in lines:
            text = f"it stands on line {lines[path]} already."
            problems.append(ConfigProblem(path, text, line))
        lines.setdefault(path, line)
    for setting in settings:
        path, equals, value = setting.partition("=")
        path = path.strip()
        if not equals:
            raise WorkbenchError(f"--set {setting}: write it as path=value.")
        body = _with(body, path, parse_value(value, text_wanted=_kind_at(path) == "text"))
        lines.pop(path, None)
    try:
        config = RunConfig.model_validate(_without_empty_sections(body))
    except ValidationError as error:
        problems += _problems(error, lines)
        raise ConfigError(origin, sorted(problems, key=lambda p: p.line or 0)) from error
    if problems:
        raise ConfigError(origin, problems)
    return config


def parse_value(text: str, *, text_wanted: bool = False) -> Any:
    """A value as YAML reads it, but 2e-4 is a number, too, and an empty text is null.

    Where text is wanted, it stays as it is, `2024`, `a #1` and nothing at all, unless it is
    in quotes or a list. What is no YAML is text as well; the schema says whether that can be.
    """
    if text_wanted and not text.strip().startswith(("'", '"', "[")):
        return text.strip()
    try:
        value = yaml.safe_load(text)
        if isinstance(value, str) and not text_wanted and "e" in value.lower():
            # YAML 1.1 has no numbers without a point before the exponent.
            value = float(value)
    except (ValueError, RecursionError, yaml.YAMLError):
        return text.strip()
    if text_wanted and not isinstance(value, str | list):
        return text.strip()
    return value


def changed(config: RunConfig, path: str, text: str) -> RunConfig:
    """`config` with the field at `path` set from text. Raises ConfigError."""
    return parse(config.model_dump(), [f"{path}={text}"], origin="The config")


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
        value = yaml.safe_dump(value_at(config, item.path), default_flow_style=True, width=math.inf)
        unit = f" [{item.unit}]" if item.unit else ""
        shown = value.removesuffix("\n").removesuffix("...").strip()
        indent = "  " if head else ""
        if comment := (comments or {}).get(item.path):
            out.append(f"{indent}# {' '.join(comment.split())}")
        out.append(f"{indent}{name}: {shown}  # {item.help}{unit}")
    return "\n".join(out).lstrip("\n") + "\n"


def save(config: RunConfig, path: Path, comments: Mapping[str, str] | None = None) -> None:
    """Write the config as a YAML file, whole, with `comments` as `dump` has them."""
    write_text(path, dump(config, comments))


def value_at(config: RunConfig, path: str) -> Any:
    """The value of the field at `path`."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def _describe(path: str, info: FieldInfo) -> ConfigField:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    choices = tuple(str(c) for c in getattr(info.annotation, "__args__", ()) if isinstance(c, str))
    return ConfigField(
        path=path,
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        source=str(extra.get("source", "")),
        default=info.default,
        choices=choices,
        kind=_kind(info.annotation, choices),
    )


def _kind(annotation: Any, choices: tuple[str, ...]) -> str:
    if choices:
        return "choice"
    if get_origin(annotation) is dict:
        return "text"
    options = getattr(annotation, "__args__", (annotation,))
    for kind in (bool, int, float):
        if kind in options:
            return kind.__name__
    return "text"


def _with(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if not rest:
        return {**body, head: value}
    inner = body.get(head)
    return {**body, head: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def _kind_at(path: str) -> str:
    return next((item.kind for item in fields() if item.path == path), "")


def _without_empty_sections(body: dict[str, Any]) -> dict[str, Any]:
    """A section whose fields are all commented out is one with its defaults."""
    sections = {item.path.partition(".")[0] for item in fields() if "." in item.path}
    return {k: v for k, v in body.items() if not (v is None and k in sections)}


def _problems(error: ValidationError, lines: dict[str, int]) -> Iterator[ConfigProblem]:
    seen: set[str] = set()
    for item in error.errors():
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Conflicts):
            yield from (ConfigProblem(p, f"{text}.", lines.get(p)) for p, text in cause.problems)
            continue
        names = [str(part) for part in item["loc"]]
        # A union reports once for each of its members, under the member's name.
        while len(names) > 1 and ".".join(names) not in lines and not _known(".".join(names)):
            if item["type"] == "extra_forbidden":
                break
            names.pop()
        path = ".".join(names)
        if path in seen:
            continue
        seen.add(path)
        yield ConfigProblem(path, _explain(item, path), lines.get(path))


def _known(path: str) -> bool:
    return any(item.path == path or item.path.startswith(path + ".") for item in fields())


def _explain(item: Any, path: str) -> str:
    if item["type"] == "extra_forbidden":
        near = _nearest(path)
        return "there is no such field." + (f" Did you mean {near}?" if near else "")
    shown = _repr.repr(item.get("input"))
    if item["type"] == "string_pattern_mismatch":
        return f"use letters, digits, '.', '_' and '-', 60 at most, not {shown}."
    if item["type"] == "model_type":
        names = [f.path for f in fields() if f.path.startswith(f"{path}.")]
        return f"it has fields of its own, such as {names[0]}; it can't be {shown}."
    text = str(item["msg"]).removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    return f"{text}, not {shown}." if not isinstance(item.get("input"), dict) else f"{text}."


def _nearest(path: str) -> str:
    by_name = {item.path.rpartition(".")[2]: item.path for item in reversed(fields())}
    by_name.update({item.path: item.path for item in fields()})
    by_name.update({p.partition(".")[0]: p.partition(".")[0] for p in by_name.values()})
    name = path.rpartition(".")[2]
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    if name in by_name:
        return by_name[name]
    for wanted in (path, name):
        near = difflib.get_close_matches(wanted, by_name, 1, 0.7)
        if near:
            return by_name[near[0]]
    return ""


def _keys(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every key of a YAML file as a path, with its line, as deep as a config goes."""
    if not isinstance(node, yaml.MappingNode) or prefix.count(".") > 2:
        return
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        yield path, key.start_mark.line + 1
        yield from _keys(value, f"{path}.")
