"""When there is validated and saved: by steps, epochs or shares of a run there, by steps here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

EVALUATION, CHECKPOINTS = "evaluation.every", "checkpoints.every"
_NO_DATA = (
    "it needs the number of rows, and the dataset isn't in this workspace. Import the dataset and "
    "then this config once more, or set {path}: {step}"
)
_NO_LENGTHS = (
    "it needs the lengths of the rows, which nobody has measured for this base. The commands below "
    "do it, and take this over once more; or set {path}: {step}"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Their keys for one of the two."""

    steps: str
    strategy: tuple[str, ...]
    default: str
    """Strategy, where none is given."""
    default_steps: float = 0
    an_epoch: str = ""
    """Times an epoch."""
    steps_imply: bool = False
    """Whether steps alone are enough, without a strategy."""


def every(taking: Taking, path: str, keys: Keys) -> None:
    """Set `path`, in steps; 0 is at the end alone."""
    steps, strategy = taking.setting(keys.steps), taking.setting(*keys.strategy)
    if keys.an_epoch and (times := taking.setting(keys.an_epoch)):
        _by_epoch(taking, path, times)
        for other in filter(None, (steps, strategy)):
            taking.doubt(other, f"{times.key} stands beside it, and counts here.")
        return
    named = str(strategy.value).lower() if strategy else keys.default
    if named in ("false", "none"):
        named = "no"  # YAML 1.1 reads a bare `no` as false
    if steps and keys.steps_imply:
        named = "steps"
    if named == "steps":
        _by_steps(taking, path, keys, steps, strategy)
        return
    if steps:
        why = f"{keys.strategy[0]} is {named}, so it counts for nothing there"
        taking.doubt(steps, f"{why}. Set {path} if it was meant.")
    if named == "epoch":
        each = taking.steps_an_epoch
        _set(taking, path, strategy, keys.strategy[0], "epoch", each)
    elif named == "best" and strategy:
        taking.take(strategy, {path: 0, "checkpoints.result": "best"})
    elif named == "no":
        text = "at the start and the end alone" if path == EVALUATION else "at the end alone"
        if strategy:
            taking.take(strategy, {path: 0}, f"{text} here")
        else:
            taking.default(keys.strategy[0], "no", {path: 0}, f"{text} here")
    elif strategy:
        taking.wrong(strategy, "it is no, steps, epoch or best.")


def patience(taking: Taking, key: str) -> None:
    """Validations in a row without a new lowest loss."""
    if (setting := taking.setting(key)) is None:
        return
    count = taking.read(setting, "int")
    if count is NO_RESULT:
        return
    if not count:
        taking.idle(setting)
    elif taking.values.get(EVALUATION):
        taking.take(setting, {"evaluation.patience": count}, "it counts validations in both")
    else:
        text = (
            f"it counts validations, and {EVALUATION} is 0. Set both, for example "
            f"--set {EVALUATION}=N --set evaluation.patience={count}"
        )
        taking.doubt(setting, text)


def best(taking: Taking, key: str = "load_best_model_at_end") -> None:
    """Whether the step with the lowest validation loss is the result."""
    if (setting := taking.setting(key)) is None:
        return
    wanted = taking.read(setting, "bool")
    if wanted is not NO_RESULT and wanted:
        taking.take(setting, {"checkpoints.result": "best"})
    elif wanted is not NO_RESULT:
        taking.take(setting, {"checkpoints.result": "last"})


def keep(taking: Taking, key: str, default: int | None) -> None:
    """How many checkpoints are kept; None of theirs is all of them."""
    setting = taking.setting(key)
    if setting is not None:
        count = taking.read(setting, "int")
        if count is not NO_RESULT:
            taking.take(setting, {"checkpoints.keep": count if count > 0 else 1000})
        return
    text = "" if default else "all are kept there: the most that there is here"
    taking.default(key, default, {"checkpoints.keep": default or 1000}, text)


def _by_epoch(taking: Taking, path: str, times: Setting) -> None:
    count = taking.read(times, "float")
    if count is NO_RESULT:
        return
    if count <= 0:
        taking.wrong(times, "it is more than 0.")
        return
    each = taking.steps_an_epoch
    steps = None if each is None else max(1, math.ceil(each / count))
    _set(taking, path, times, times.key, times.value, steps)


def _by_steps(
    taking: Taking, path: str, keys: Keys, steps: Setting | None, strategy: Setting | None
) -> None:
    if strategy is not None:
        taking.take(strategy, {}, f"by {keys.steps}, {path} here")
    if steps is None:
        sets = {path: int(keys.default_steps)}
        taking.default(keys.steps, keys.default_steps, sets)
        return
    count = taking.read(steps, "float")
    if count is NO_RESULT:
        return
    if count >= 1 and not float(count).is_integer():
        taking.wrong(steps, "it is a whole number of steps, or a share of the run below 1.")
    elif 0 < count < 1:
        whole = taking.steps
        at = None if whole is None else max(1, math.ceil(whole * count))
        _set(taking, path, steps, steps.key, count, at, share=True)
    else:
        taking.take(steps, {path: int(count)})


def _set(
    taking: Taking,
    path: str,
    setting: Setting | None,
    key: str,
    value: object,
    steps: int | None,
    *,
    share: bool = False,
) -> None:
    """Set steps that were worked out, or say why they couldn't be."""
    if steps is None:
        why = _NO_LENGTHS if taking.dataset else _NO_DATA
        text = why.format(path=path, step=taking.step_in_words)
        if setting is None:
            taking.default(key, value, {path: 0}, text)
        else:
            taking.again = True
            taking.doubt(setting, text, {path: 0})
        return
    of = f"of {taking.steps} steps" if share else f"steps an epoch: {taking.steps_an_epoch}"
    if setting is None:
        taking.default(key, value, {path: steps}, of)
    else:
        taking.take(setting, {path: steps}, of)
