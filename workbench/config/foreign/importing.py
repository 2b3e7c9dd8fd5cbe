"""Takes over the config of another trainer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.config.foreign import detect, sources
from workbench.config.foreign.report import Imported
from workbench.config.foreign.rules import UNSET, By, Missing, Ours, Take, Trainer, is_off
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Surroundings, Taking
from workbench.config.loading import ConfigError, ConfigProblem


def read(
    path: Path,
    around: Surroundings,
    *,
    trainer: str | None = None,
    name: str,
    gpus: int = 1,
) -> Imported:
    """The config of a file of Axolotl, LLaMA-Factory or TRL, with what became of each key.

    `trainer` is one of `detect.TRAINERS`, None to find out by the keys; `gpus` is how many GPUs
    the run is for, since theirs count rows on each. Raises WorkbenchError for a file that can't
    be read or is of another kind of training; ConfigError with every value that can't be, each
    with its line.
    """
    source = sources.read(path)
    whose = detect.trainer_of(source, trainer)
    taking = Taking(source, whose, around, gpus, name, {"name": name})
    for again in source.twice:
        taking.warn(f"{again.key} stands in line {again.line}, too; the last one counts.")
    for step in whose.steps:
        step(taking)
    _defaults(taking)
    for setting in taking.rest():
        _by_rule(taking, setting)
    config = _checked(taking)
    _next(taking)
    taking.report.in_order()
    return Imported(
        whose.name, whose.title, whose.version, config, taking.report, tuple(taking.commands)
    )


def _defaults(taking: Taking) -> None:
    """Their default of each absent key that is a field of ours."""
    if any(setting.key == "peft_type" for setting in taking.source.settings):
        return
    full = taking.values.get("training.method") == "full"
    for key, rule in taking.trainer.rules.items():
        if not isinstance(rule, Take) or rule.default is UNSET or taking.setting(key):
            continue
        if not (full and rule.path.startswith("lora.")):
            taking.default(key, rule.default, {rule.path: rule.default})


def _by_rule(taking: Taking, setting: Setting) -> None:
    """What is left of the keys."""
    rule = taking.trainer.rules.get(setting.key)
    if setting.value is None or setting.value in ("", [], {}):
        if rule is None:
            _unknown(taking, setting)
        else:
            taking.idle(setting, "empty")
    elif isinstance(rule, Take):
        value = taking.read(setting, rule.kind)
        if value is not NO_RESULT:
            taking.take(setting, {rule.path: value}, rule.note)
    elif isinstance(rule, Ours):
        if is_off(setting.value):
            taking.idle(setting)
        else:
            taking.ours(setting, rule.how)
    elif isinstance(rule, Missing):
        if is_off(setting.value) or _same(setting.value, rule.same):
            taking.idle(setting, "as here" if not is_off(setting.value) else "")
        else:
            taking.missing(setting, rule.advice)
    elif isinstance(rule, By):
        taking.idle(setting, "another key decides it")
    else:
        _unknown(taking, setting)


def _same(value: Any, wanted: tuple[Any, ...]) -> bool:
    if value in wanted:
        return True
    try:
        return float(value) in wanted
    except (TypeError, ValueError):
        return False


def _unknown(taking: Taking, setting: Setting) -> None:
    title = taking.trainer.title
    parent = setting.key.rpartition(".")[0]
    if parent:
        taking.missing(setting, f"{title} {taking.trainer.version} has no use known here for it")
        return
    near = detect.nearest(taking.trainer, setting.key)
    said = f"{title} {taking.trainer.version} knows no such key"
    taking.missing(setting, f"{said}; the nearest is {near}" if near else said)


def _checked(taking: Taking) -> Any:
    """The config of the values. Raises ConfigError with their keys and lines."""
    body: dict[str, Any] = {}
    for path, value in taking.values.items():
        section, _, name = path.rpartition(".")
        (body.setdefault(section, {}) if section else body)[name] = value
    origin = str(taking.source.path)
    problems = list(taking.errors)
    try:
        config = loading.parse(body, origin=origin)
    except ConfigError as error:
        config = None
        problems += [_theirs(taking, problem) for problem in error.problems]
    if problems:
        raise ForeignError(origin, taking.trainer, sorted(problems, key=lambda p: p.line or 0))
    return config


def _theirs(taking: Taking, problem: ConfigProblem) -> ConfigProblem:
    """A problem of a field of ours, told of the key that set it."""
    setting = taking.origins.get(problem.path)
    if setting is None:
        return problem
    where = f"{setting.file}, {setting.key}" if setting.file else setting.key
    return ConfigProblem(f"{where} ({problem.path})", problem.text, setting.line)


class ForeignError(ConfigError):
    """Values of another trainer's config that can't be had here."""

    def __init__(self, origin: str, trainer: Trainer, problems: list[ConfigProblem]) -> None:
        super().__init__(origin, problems)
        self.hint = (
            f"Nothing was written. Read as a config of {trainer.title}; --from reads it as "
            "another's."
        )


def _next(taking: Taking) -> None:
    """What to run: import the data, measure it, take the rest over, start."""
    name, base = taking.name, str(taking.values.get("model.base", ""))
    commands = taking.commands
    wants = taking.again and (taking.measure or "training.step_tokens" in taking.values)
    if _on_a_hub(base) and not taking.around.family(base):
        commands.append(shlex.join(["workbench", "model", "prepare", base]))
    if wants and (dataset := taking.values.get("data.dataset")):
        commands.append(shlex.join(["workbench", "data", "verdict", dataset, "--model", base]))
    if taking.again:
        gpus = ["--gpus", str(taking.gpus)] if taking.gpus > 1 else []
        words = ["workbench", "config", "import", str(taking.source.path), "--name", name, *gpus]
        commands.append(shlex.join([*words, "--force"]))
    commands += [
        shlex.join(["workbench", "config", "check", name]),
        shlex.join(["workbench", "train", name]),
    ]


def _on_a_hub(base: str) -> bool:
    """Whether it is written as a hub's id is: OWNER/NAME."""
    return base.count("/") == 1 and base[0] not in "./~" and base[-1] != "/"
