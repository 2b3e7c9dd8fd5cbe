"""One import while it goes on: which keys are taken, and what they have set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from workbench.config import steps
from workbench.config.foreign.report import Entry, Report
from workbench.config.foreign.rules import Trainer
from workbench.config.foreign.sources import Setting, Source
from workbench.config.loading import ConfigProblem, parse_value
from workbench.config.schema import RunConfig
from workbench.config.steps import StepSize
from workbench.data.lengths import Lengths

NO_RESULT = object()
_SIZES = (
    "data.max_length",
    "data.too_long",
    "training.batch_size",
    "training.accumulation",
    "training.step_tokens",
    "job.processes",
)


@dataclass(frozen=True, slots=True)
class DatasetHere:
    """A version in the workspace."""

    reference: str
    rows: int
    """Of the training split."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What can be asked about this machine while a config is taken over."""

    dataset: Callable[[str], DatasetHere | None]
    """A version of the workspace, by its name."""
    family: Callable[[str], str]
    """`model_type` of a base that is on this machine, else nothing."""
    lengths: Callable[[str, str], Lengths | None]
    """Of the training rows of a version, by a base's template; None where nobody measured."""


@dataclass
class Taking:
    """The values that are set so far, and the report."""

    source: Source
    trainer: Trainer
    around: Surroundings
    gpus: int
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    errors: list[ConfigProblem] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    dataset: DatasetHere | None = None
    origins: dict[str, Setting] = field(default_factory=dict)
    """Which key set a field of ours."""
    again: bool = False
    """Whether more could be taken over once the dataset is here."""
    measure: bool = False
    """Whether the lengths of its rows are wanted for that."""
    in_adapter: set[str] = field(default_factory=set)
    """Keys that stood in an object of their own for the adapter."""

    def __post_init__(self) -> None:
        self._open = {setting.key: setting for setting in self.source.settings}

    # What the file says

    def setting(self, *keys: str) -> Setting | None:
        """The first of these keys that is there, isn't empty and hasn't been taken."""
        for key in keys:
            found = self._open.get(key)
            if found is not None and not _is_empty(found.value):
                return found
        return None

    def value(self, *keys: str, default: Any = None) -> Any:
        """The value of the first of these keys that is there, as it stands."""
        found = self.setting(*keys)
        return default if found is None else found.value

    def rest(self) -> Iterator[Setting]:
        """The keys that nobody has taken."""
        yield from list(self._open.values())

    # What becomes of it

    def take(self, setting: Setting, sets: dict[str, Any], text: str = "") -> None:
        """It sets fields of ours."""
        self._set(setting, sets)
        self._place("taken", setting, sets, text)

    def ours(self, setting: Setting, text: str, sets: dict[str, Any] | None = None) -> None:
        """It is had here in another way."""
        self._set(setting, sets or {})
        self._place("differently", setting, sets or {}, text)

    def missing(self, setting: Setting, text: str, sets: dict[str, Any] | None = None) -> None:
        """It has no counterpart; `sets` is what stands in for it."""
        self._set(setting, sets or {})
        self._place("no_counterpart", setting, sets or {}, text)

    def idle(self, setting: Setting, text: str = "") -> None:
        """There is nothing to do."""
        self._place("nothing_to_do", setting, {}, text)

    def doubt(self, setting: Setting, text: str, sets: dict[str, Any] | None = None) -> None:
        """A person should decide."""
        self._set(setting, sets or {})
        self._place("problems", setting, sets or {}, text)

    def warn(self, text: str) -> None:
        """A person should know, of no key in particular."""
        self.report.problems.append(Entry("", None, text=text))

    def default(self, key: str, value: Any, sets: dict[str, Any], text: str = "") -> None:
        """An absent key has their default."""
        self.values |= sets
        self.report.defaults.append(Entry(key, value, sets=sets, text=text))

    def wrong(self, setting: Setting, text: str) -> None:
        """It can't be; all such are told at once and nothing is written."""
        where = f"{setting.file}, {setting.key}" if setting.file else setting.key
        self.errors.append(ConfigProblem(where, text, setting.line))
        self._open.pop(setting.key, None)

    def split(self, setting: Setting) -> list[Setting]:
        """The keys within a key, such as `special_tokens.pad_token`; they take its place."""
        del self._open[setting.key]
        parts = [
            Setting(path, value, self.source.lines.get(path, setting.line), setting.file)
            for path, value in _inner(setting.key, setting.value)
        ]
        self._open |= {part.key: part for part in parts}
        return parts

    def unfold(self, setting: Setting, *, is_adapter: bool) -> None:
        """The keys within an object take its place, under their own names."""
        del self._open[setting.key]
        for name, value in setting.value.items():
            line = self.source.lines.get(f"{setting.key}.{name}", setting.line)
            part = Setting(str(name), value, line, setting.file)
            if is_adapter:
                self.in_adapter.add(part.key)
            if part.key in self._open:
                self.report.problems.append(
                    Entry(f"{setting.key}.{name}", value, line, text=f"{name} stands outside, too")
                )
            else:
                self._open[part.key] = part

    # Values, read as their kind

    def read(self, setting: Setting, kind: str) -> Any:
        """The value as a kind, NO_RESULT after an error that is told."""
        try:
            return READERS[kind](setting.value)
        except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:
            self.wrong(setting, f"{error}.")
            return NO_RESULT

    def number(self, *keys: str, default: Any = None) -> Any:
        """A number that several keys may give; nothing is taken yet."""
        found = self.setting(*keys)
        if found is None:
            return default
        got = self.read(found, "float")
        return default if got is NO_RESULT else got

    def flag(self, *keys: str, default: bool = False) -> bool:
        """Whether one of these keys is true; nothing is taken yet."""
        found = self.setting(*keys)
        if found is None:
            return default
        got = self.read(found, "bool")
        return default if got is NO_RESULT else bool(got)

    # How long it trains, as far as it is known

    @property
    def step_in_words(self) -> str:
        """`16 rows a step`."""
        config = self._sized()
        return StepSize.of(config.training, config.job.processes).in_words()

    @property
    def steps_an_epoch(self) -> int | None:
        """None where the dataset isn't here, or its lengths decide and nobody measured them."""
        if self.dataset is None:
            return None
        base, lengths = str(self.values.get("model.base", "")), None
        if "training.step_tokens" in self.values:
            lengths = self.around.lengths(self.dataset.reference, base)
            self.measure = lengths is None
        epoch = steps.an_epoch(self._sized(), self.dataset.rows, lengths)
        return epoch.steps if epoch else None

    def _sized(self) -> RunConfig:
        """A config with what decides a step's size; the defaults where a value can't be."""
        body: dict[str, dict[str, Any]] = {}
        for path, value in self.values.items():
            section, _, name = path.partition(".")
            if section in ("data", "training", "job") and path in _SIZES:
                body.setdefault(section, {})[name] = value
        try:
            return RunConfig.model_validate(body)
        except ValidationError:
            return RunConfig()

    @property
    def steps(self) -> int | None:
        """Of the whole run."""
        if most := self.values.get("training.max_steps"):
            return int(most)
        each = self.steps_an_epoch
        return None if each is None else math.ceil(round(self.values["training.epochs"] * each, 6))

    def _set(self, setting: Setting, sets: dict[str, Any]) -> None:
        self.values |= sets
        self.origins |= dict.fromkeys(sets, setting)

    def _place(self, name: str, setting: Setting, sets: dict[str, Any], text: str) -> None:
        if self._open.pop(setting.key, None) is None:
            raise AssertionError(f"{setting.key} is in two lists")
        entry = Entry(setting.key, setting.value, setting.line, setting.file, sets, text)
        getattr(self.report, name).append(entry)


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def _inner(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}.{key}", inner
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, dict):
                yield from _inner(f"{path}[{number}]", inner)
            else:
                yield f"{path}[{number}]", inner


def _plain(value: Any) -> Any:
    """Text from a command line, or `2e-4`, which YAML 1.1 takes for text."""
    return parse_value(value) if isinstance(value, str) else value


def _float(value: Any) -> float:
    found = _plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"a number is wanted, not {_shown(value)}")
    if not math.isfinite(found):
        raise ValueError(f"a finite number is wanted, not {_shown(value)}")
    return float(found)


def _int(value: Any) -> int:
    found = _float(value)
    if not found.is_integer():
        raise ValueError(f"a whole number is wanted, not {_shown(value)}")
    return int(found)


def _bool(value: Any) -> bool:
    found = _plain(value)
    if found in (0, 1) and not isinstance(found, float):
        return bool(found)
    raise ValueError(f"true or false is wanted, not {_shown(value)}")


def _text(value: Any) -> str:
    if isinstance(value, dict | list | bool) or value is None:
        raise ValueError(f"a text is wanted, not {_shown(value)}")
    return str(value).strip()


def _names(value: Any) -> list[str]:
    """A list, or text with commas between, or a list as a command line has it."""
    if isinstance(value, str) and value.strip().startswith("["):
        value = yaml.safe_load(value)
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(name, str | int) for name in value):
        raise ValueError(f"names are wanted, not {_shown(value)}")
    return [str(name).strip() for name in value if str(name).strip()]


READERS: dict[str, Callable[[Any], Any]] = {
    "float": _float,
    "int": _int,
    "bool": _bool,
    "text": _text,
    "names": _names,
}


def _shown(value: Any) -> str:
    return shown(value, 40)


def shown(value: Any, most: int = 60) -> str:
    """A value of theirs, short, on one line."""
    if isinstance(value, str):
        text = value if value.strip() else repr(value)
    else:
        dumped = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
        text = dumped.removesuffix("\n").removesuffix("...").strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"
