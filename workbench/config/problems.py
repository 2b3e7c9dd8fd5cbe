"""What is wrong with a config: each problem with its path, its line and the nearest field."""

from __future__ import annotations

import difflib
import json
import re
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import ValidationError

from workbench.config.conflicts import Conflicts
from workbench.config.fields import ConfigField, field_at, fields, sections
from workbench.errors import WorkbenchError

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


def shortened(value: object) -> str:
    """A value that can't be used, for a message."""
    return _repr.repr(value)


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


def explain(error: ValidationError, lines: dict[str, int]) -> Iterator[ConfigProblem]:
    """Each problem of a config in words; `lines` are those of the paths that its file names."""
    seen: set[str] = set()
    for item in error.errors():
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Conflicts):
            yield from (ConfigProblem(p, f"{text}.", lines.get(p)) for p, text in cause.problems)
            continue
        place = _place([str(part) for part in item["loc"]], lines, item["type"])
        # A union reports once for each of its members.
        if place not in seen:
            seen.add(place)
            whole = item["type"] == "extra_forbidden"
            path = place if whole else re.sub(r"\.[0-9]+$", "", place)
            yield ConfigProblem(path, _explain(item, path), lines.get(place))


def nearest(path: str) -> str:
    """The field or section that was probably meant by a path or a name; empty where none is."""
    by_name = {item.path.rpartition(".")[2]: item.path for item in reversed(fields())}
    by_name.update({item.path: item.path for item in fields()})
    by_name.update({p.partition(".")[0]: p.partition(".")[0] for p in by_name.values()})
    path = path.lower().replace("-", "_")
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


def _place(names: list[str], lines: dict[str, int], kind: str) -> str:
    """The longest part of an error's place that is a field, or that the file names."""
    if kind == "extra_forbidden":
        return ".".join(names)
    known = {item.path for item in fields()} | set(sections()) | lines.keys()
    parts = [".".join(names[:end]) for end in range(len(names), 0, -1)]
    return next((part for part in parts if part in known), parts[0])


def _explain(item: Any, path: str) -> str:
    kind, given = item["type"], item.get("input")
    shown = str(given) if isinstance(given, date) else shortened(given)
    field = field_at(path)
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "string_pattern_mismatch" and path == "name":
        return f"use letters, digits, '.', '_' and '-', 60 at most, not {shown}."
    if kind == "model_type":
        names = [f.path for f in fields() if f.path.startswith(f"{path}.")]
        colon = isinstance(given, str) and re.match(r"\w+:\S", given)
        missing = " Is a space missing after the colon?" if colon else ""
        return f"it has fields of its own, such as {names[0]}; it can't be {shown}.{missing}"
    if kind == "value_error":
        text = str(item["msg"]).removeprefix("Value error, ")
        return f"{text}." if isinstance(given, bool) else f"{text}, not {shown}."
    if field is None:
        text = str(item["msg"])
        return f"{text[0].lower()}{text[1:]}, not {shown}."
    if given is None:
        default = json.dumps(field.default, ensure_ascii=False)
        return f"it has no value. Leave it out for the default, {default}."
    advice = ""
    if kind == "string_type" and not isinstance(given, list | dict):
        advice = " Put it in quotes."
    elif kind == "literal_error" and isinstance(given, str):
        choices = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
        near = [choice for choice in choices if given.lower().startswith(choice)]
        near = near or difflib.get_close_matches(given.lower(), choices, 1, 0.6)
        advice = f" Did you mean {near[0]}?" if near else ""
    return f"it must be {_wanted(field, item)}, not {shown}.{advice}"


def _unknown(path: str) -> str:
    dotted = [f.path for f in fields() if "." in f.path and f".{path}".endswith(f".{f.path}")]
    if dotted:
        section, _, name = dotted[0].rpartition(".")
        return f"a key has no dots: write `{name}:` on a line of its own under `{section}:`."
    near = nearest(path)
    return "there is no such field." + (f" Did you mean {near}?" if near else "")


def _wanted(field: ConfigField, item: Any) -> str:
    """What a field takes, in words."""
    if item["type"] == "literal_error" and field.kind not in ("int", "float"):
        return str(item["ctx"]["expected"])
    if field.kind in ("int", "float"):
        number = "a whole number" if field.kind == "int" else "a number"
        return " or ".join([f"{number}, {field.bounds},", *field.choices]).rstrip(",")
    if isinstance(field.default, dict):
        return "names, each with a weight above 0"
    if isinstance(field.default, list):
        return "a list of names"
    return "text"
