"""`sweep:` in a config file: which fields vary, over what, in how many runs at most.

It stands beside the sections of a config and is none of its fields: a run's own config holds one
value of everything.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError

from workbench.config import loading
from workbench.config.fields import ConfigField
from workbench.config.loading import SWEEP
from workbench.config.problems import ConfigError, ConfigProblem, nearest, shortened
from workbench.config.schema import RunConfig
from workbench.config.section import Section, field
from workbench.errors import WorkbenchError

Metric = Literal[
    "validation_loss",
    "validation_loss_last",
    "validation_loss_first",
    "train_loss",
    "rouge_l",
    "exact_match",
    "token_f1",
    "perplexity",
    "tokens_per_second",
    "peak_memory",
    "seconds",
]
HIGHER_IS_BETTER = ("rouge_l", "exact_match", "token_f1", "tokens_per_second")
"""Of the other metrics the lowest is best."""
OF_EVALUATIONS = ("rouge_l", "exact_match", "token_f1", "perplexity")
"""Metrics that a run has once `workbench eval` has measured it."""
OF_LOSS = ("validation_loss", "validation_loss_last", "validation_loss_first", "perplexity")
"""Metrics of validation rows that are comparable for one tokenizer and the same rows only."""
_ITS_OWN = ("name", "accept", "evaluation.against")
"""Fields that say nothing of how a run is trained."""
_SPEC_WANTED = (
    "give choices such as [8, 16], a range such as {min: 0.0, max: 0.1}, or "
    "{times: 2, of: lora.rank}"
)


class Choices(Section):
    """One of these."""

    values: list[Any] = field(..., "What the field may be.", min_length=1)


class Range(Section):
    """Any number from `min` to `max`; for random and optuna."""

    min: float = field(..., "The least.", allow_inf_nan=False)
    max: float = field(..., "The greatest.", allow_inf_nan=False)
    scale: Literal["linear", "log"] = field(
        "linear", "log: as many draws from 1e-5 to 1e-4 as from 1e-4 to 1e-3."
    )


class Follow(Section):
    """So many times another field."""

    times: float = field(1.0, "Factor.", allow_inf_nan=False)
    of: str = field(..., "The field that is followed, such as lora.rank.")


def _kind(value: Any) -> str | None:
    if isinstance(value, list | Choices):
        return "choices"
    names = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    kinds = {"values": "choices", "min": "range", "max": "range", "of": "follow", "times": "follow"}
    return next((kinds[name] for name in names if name in kinds), None)


def _as_choices(value: Any) -> Any:
    return {"values": value} if isinstance(value, list) else value


Spec = Annotated[
    Annotated[Choices, Tag("choices")]
    | Annotated[Range, Tag("range")]
    | Annotated[Follow, Tag("follow")],
    Discriminator(_kind, custom_error_type="spec", custom_error_message=_SPEC_WANTED),
]
_TAGS = ("choices", "range", "follow")


class Sweep(Section):
    """Several runs of one config."""

    method: Literal["grid", "random", "optuna"] = field(
        "grid",
        "grid: every combination; random: draws of them; optuna: each run chosen by the results of "
        "those before it (TPE, Bergstra et al. 2011), with the extra `sweep`.",
    )
    fields: dict[str, Spec] = field(..., "What each field may be, by its path.", min_length=1)
    budget: int = field(..., "Runs at most.", unit="runs", ge=1, le=1000)
    metric: Metric = field("validation_loss", "What runs are compared by.")
    seed: int = field(0, "Seed of the draws.", ge=0, lt=1 << 32)
    parallel: int = field(
        1, "optuna: runs that are in the queue at once.", unit="runs", ge=1, le=1000
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Swept:
    """A config with its sweep."""

    config: RunConfig
    sweep: Sweep
    lines: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Where the file names each varied field, by its path."""


def load(path: Path, settings: Iterable[str] = ()) -> Swept:
    """The config of a YAML file and its sweep, with `path=value` settings applied to either
    (`sweep.budget=4`, `sweep.fields.lora.rank=[8, 16]`).

    Raises ConfigError with every problem of both, each with its line; WorkbenchError when the
    file can't be read or holds no sweep.
    """
    written = loading.read(path)
    if SWEEP not in written.body:
        raise WorkbenchError(
            f"{path} holds no sweep.",
            "Add one: sweep: {fields: {training.learning_rate: [1e-4, 2e-4]}, budget: 2}",
        )
    own, others = _apart(settings)
    lines, problems = loading.lines_of([k for k in written.keys if _is_of_sweep(k[0])])
    body = _with_settings(written.body[SWEEP], own, lines)
    sweep, more = _parse(body, lines)
    problems += more
    fixed = {setting.partition("=")[0].strip() for setting in others}
    if sweep is not None:
        problems += _set_and_swept(sweep, fixed)
    rest = {name: value for name, value in written.body.items() if name != SWEEP}
    config = None
    try:
        keys = [k for k in written.keys if not _is_of_sweep(k[0])]
        config = loading.parse(rest, others, origin=str(path), keys=keys)
    except ConfigError as error:
        problems += error.problems
    if problems or config is None or sweep is None:
        raise ConfigError(str(path), sorted(problems, key=lambda p: p.line or 0))
    at = {path: _line(f"{SWEEP}.fields.{path}", lines) for path in sweep.fields}
    return Swept(config, sweep, {path: line for path, line in at.items() if line})


def known_fields() -> dict[str, ConfigField]:
    """The fields that a sweep may vary, by path."""
    return {item.path: item for item in loading.fields() if item.path not in _ITS_OWN}


def _is_of_sweep(path: str) -> bool:
    return path == SWEEP or path.startswith(f"{SWEEP}.")


def _apart(settings: Iterable[str]) -> tuple[list[str], list[str]]:
    """The settings of the sweep, and those of the config."""
    all_of = list(settings)
    own = [setting for setting in all_of if _is_of_sweep(setting.strip())]
    return own, [setting for setting in all_of if setting not in own]


def _with_settings(body: Any, settings: Sequence[str], lines: dict[str, int]) -> Any:
    for setting in settings:
        path, text = loading.split_setting(setting)
        value = loading.parse_value(text)
        lines.pop(path, None)
        body = body if isinstance(body, dict) else {}
        _, _, name = path.partition(".")
        if name.startswith("fields."):
            varied = body.get("fields")
            varied = varied if isinstance(varied, dict) else {}
            body = {**body, "fields": {**varied, name.removeprefix("fields."): value}}
        else:
            body = {**body, name: value}
    return body


def _set_and_swept(sweep: Sweep, fixed: set[str]) -> Iterator[ConfigProblem]:
    for path in sorted(fixed & sweep.fields.keys()):
        text = f"the sweep varies it. Use --set '{SWEEP}.fields.{path}=[…]'."
        yield ConfigProblem(path, text)


def _parse(body: Any, lines: Mapping[str, int]) -> tuple[Sweep | None, list[ConfigProblem]]:
    """The sweep, None where it is none, and all that is wrong with it."""
    problems: list[ConfigProblem] = []
    sweep = None
    plain = _with_choices(body)
    try:
        sweep = Sweep.model_validate({} if plain is None else plain)
    except ValidationError as error:
        for item in error.errors():
            path = ".".join([SWEEP, *(str(part) for part in item["loc"] if part not in _TAGS)])
            problems.append(ConfigProblem(path, _explain(item, path), _line(path, lines)))
    if isinstance(plain, dict) and isinstance(plain.get("fields"), dict):
        parsed = {str(path): _spec(value) for path, value in plain["fields"].items()}
        method = str(plain.get("method", "grid"))
        for path, text in _of_fields(parsed, method):
            where = f"{SWEEP}.fields.{path}"
            problems.append(ConfigProblem(where, text, _line(where, lines)))
        if method == "optuna" and plain.get("metric") in OF_EVALUATIONS:
            where = f"{SWEEP}.metric"
            text = (
                f"optuna is told of each run as it ends, and {plain['metric']} is measured later, "
                "by `workbench eval`. Use validation_loss."
            )
            problems.append(ConfigProblem(where, text, _line(where, lines)))
    return sweep, problems


def _with_choices(body: Any) -> Any:
    """A bare list of a field is its choices."""
    if not isinstance(body, dict) or not isinstance(body.get("fields"), dict):
        return body
    varied = {path: _as_choices(value) for path, value in body["fields"].items()}
    return {**body, "fields": varied}


_SPEC: TypeAdapter[Choices | Range | Follow] = TypeAdapter(Annotated[Spec, Field()])


def _spec(value: Any) -> Choices | Range | Follow | None:
    """What a field is varied over; None where that can't be read, which is told elsewhere."""
    try:
        return _SPEC.validate_python(value)
    except ValidationError:
        return None


def _of_fields(
    parsed: Mapping[str, Choices | Range | Follow | None], method: str
) -> Iterator[tuple[str, str]]:
    """What is wrong with the fields, as (path, text)."""
    known = known_fields()
    for path, spec in parsed.items():
        if path not in known:
            yield path, _unknown(path)
        elif isinstance(spec, Range):
            yield from ((path, text) for text in _of_range(spec, known[path], method))
        elif isinstance(spec, Follow):
            yield from ((path, text) for text in _of_follow(spec, known[path], parsed, known))
    if parsed and all(isinstance(spec, Follow) for spec in parsed.values()):
        path = next(iter(parsed))
        yield path, "every field of the sweep follows another: nothing varies."


def _unknown(path: str) -> str:
    if path in _ITS_OWN:
        return "it can't be swept."
    if any(item.path.startswith(f"{path}.") for item in loading.fields()):
        return f"write each field with its whole path, such as {path}.NAME."
    near = nearest(path)
    return "there is no such field." + (f" Did you mean {near}?" if near else "")


def _of_range(spec: Range, item: ConfigField, method: str) -> Iterator[str]:
    if item.kind not in ("int", "float"):
        yield "it is no number, so it has no range. Give choices."
        return
    if method == "grid":
        yield "a grid needs choices, such as [1e-4, 2e-4]; ranges are for random and optuna."
    if spec.min >= spec.max:
        yield f"min must be below max, not {spec.min:g} and {spec.max:g}."
    if spec.scale == "log" and spec.min <= 0:
        yield f"a log scale needs a min above 0, not {spec.min:g}."
    if item.kind == "int" and not (spec.min.is_integer() and spec.max.is_integer()):
        yield f"it takes whole numbers, not {spec.min:g} to {spec.max:g}."


def _of_follow(
    spec: Follow,
    item: ConfigField,
    parsed: Mapping[str, Choices | Range | Follow | None],
    known: Mapping[str, ConfigField],
) -> Iterator[str]:
    if item.kind not in ("int", "float"):
        yield "it is no number, so it can't follow one."
    if spec.of not in known:
        near = nearest(spec.of)
        yield f"there is no field {spec.of}." + (f" Did you mean {near}?" if near else "")
    elif known[spec.of].kind not in ("int", "float"):
        yield f"{spec.of} is no number that can be followed."
    elif isinstance(parsed.get(spec.of), Follow):
        yield f"{spec.of} follows a field itself. Follow that one."


def _explain(item: Any, path: str) -> str:
    if item["type"] == "extra_forbidden":
        names = [*Sweep.model_fields] if path.count(".") == 1 else ["values", "min", "max", "scale"]
        near = difflib.get_close_matches(path.rpartition(".")[2], names, 1, 0.5)
        return "there is no such field." + (f" Did you mean {near[0]}?" if near else "")
    if item["type"] == "missing":
        return "it is missing: " + {
            f"{SWEEP}.fields": "say what each field may be.",
            f"{SWEEP}.budget": "say how many runs there may be at most.",
        }.get(path, "a range needs min and max, and a field that follows another needs `of`.")
    if item["type"] == "too_short":
        return "it has nothing to choose from."
    text = str(item["msg"]).removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    return f"{text}, not {shortened(item.get('input'))}."


def _line(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of what it is in."""
    while path not in lines and "." in path:
        path = path.rpartition(".")[0]
    return lines.get(path)
