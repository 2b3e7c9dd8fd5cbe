"""Optimisers, schedules and warm-up by the names that transformers gives them."""

from __future__ import annotations

import math

from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

OPTIMIZERS: dict[str, tuple[str, str]] = {
    "adamw": ("adamw", ""),
    "adamw_torch": ("adamw", ""),
    "adamw_torch_fused": ("adamw", ""),
    "adamw_torch_xla": ("adamw", ""),
    "adamw_torch_npu_fused": ("adamw", ""),
    "adamw_hf": ("adamw", ""),
    "adamw_apex_fused": ("adamw", ""),
    "adamw_bnb_8bit": ("adamw_8bit", ""),
    "adamw_8bit": ("adamw_8bit", ""),
    "adamw_torch_8bit": ("adamw_8bit", "torchao's there, bitsandbytes' here"),
    "ao_adamw_8bit": ("adamw_8bit", "torchao's there, bitsandbytes' here"),
    "paged_adamw": ("paged_adamw_32bit", ""),
    "paged_adamw_32bit": ("paged_adamw_32bit", ""),
    "paged_adamw_8bit": ("paged_adamw_8bit", ""),
    "lion": ("lion", ""),
    "lion_32bit": ("lion", ""),
    "lion_8bit": ("lion_8bit", ""),
    "paged_lion_8bit": ("paged_lion_8bit", ""),
}
"""Ours for each of theirs, with what is different."""
SCHEDULES: dict[str, tuple[str, str]] = {
    "linear": ("linear", ""),
    "cosine": ("cosine", ""),
    "constant_with_warmup": ("constant", ""),
    "polynomial": ("linear", "of power 1, transformers' default, it ends at 1e-7 there, at 0 here"),
}
_WARM_UP = ("warmup_steps", "warmup_ratio")


def optimizer(taking: Taking, keys: tuple[str, ...], default: str) -> None:
    """Theirs by name; one that isn't here is stood in for by the nearest."""
    setting = taking.setting(*keys)
    if setting is None:
        taking.default(keys[0], default, {"training.optimizer": OPTIMIZERS[default][0]})
        return
    name = str(setting.value).strip().lower().removeprefix("optimizernames.")
    if name in OPTIMIZERS:
        ours, note = OPTIMIZERS[name]
        taking.take(setting, {"training.optimizer": ours}, note)
        return
    stand_in = "paged_lion_8bit" if name == "paged_lion_32bit" else "adamw"
    text = (
        f"{stand_in} stands in for it: another optimiser wants another learning rate "
        "(`workbench config fields` lists those that there are)"
    )
    taking.missing(setting, text, {"training.optimizer": stand_in})


def schedule(taking: Taking, keys: tuple[str, ...], default: str) -> bool:
    """The schedule. Returns whether there is a warm-up: transformers' `constant` has none."""
    setting = taking.setting(*keys)
    if setting is None:
        taking.default(keys[0], default, {"training.schedule": SCHEDULES[default][0]})
        return True
    name = str(setting.value).strip().lower().removeprefix("schedulertype.")
    if name == "constant":
        sets = {"training.schedule": "constant", "training.warmup_steps": 0}
        taking.take(setting, sets, "transformers' constant has no warm-up, whatever else is set")
        return False
    if name in SCHEDULES:
        ours, note = SCHEDULES[name]
        taking.take(setting, {"training.schedule": ours}, note)
        return True
    text = "cosine stands in for it; there are cosine, linear and constant"
    taking.missing(setting, text, {"training.schedule": "cosine"})
    return True


def warm_up(taking: Taking, has: bool) -> None:
    """transformers' rule: steps win over a ratio, and steps below 1 are a ratio.

    Axolotl's own default, 3 % and 100 steps at most, is set before by `short_warm_up`.
    """
    steps, ratio = (taking.setting(key) for key in _WARM_UP)
    if not has:
        for setting in filter(None, (steps, ratio)):
            taking.idle(setting, "its schedule has no warm-up")
        return
    if steps is not None:
        count = taking.read(steps, "float")
        if count is NO_RESULT:
            return
        if count or ratio is None:
            if ratio is not None:
                taking.doubt(ratio, "warmup_steps stands beside it, and counts.")
            _steps(taking, steps, count)
            return
        taking.idle(steps, "0: warmup_ratio counts")
    if ratio is not None:
        share = taking.read(ratio, "float")
        if share is not NO_RESULT:
            taking.take(ratio, {"training.warmup_ratio": share})
    elif "training.warmup_ratio" not in taking.values:
        taking.default("warmup_steps", 0, {"training.warmup_ratio": 0.0})


def short_warm_up(taking: Taking) -> None:
    """Axolotl's default: 3 % of the steps, 100 at most."""
    if taking.setting(*_WARM_UP):
        return
    whole = taking.steps
    said = "min(3 %, 100 steps)"
    if whole is None:
        text = "at most 100 steps there; how many there are isn't known without the dataset"
        taking.default("warmup_steps", said, {"training.warmup_ratio": 0.03}, text)
        return
    count = min(int(0.03 * whole), 100)
    count = 2 if count == 1 else count
    taking.default(
        "warmup_steps", said, {"training.warmup_steps": count, "training.warmup_ratio": 0.03}
    )


def _steps(taking: Taking, setting: Setting, count: float) -> None:
    if 0 < count < 1:
        taking.take(setting, {"training.warmup_ratio": count}, "below 1 it is a share of the run")
    elif float(count).is_integer():
        taking.take(setting, {"training.warmup_steps": int(count)})
    else:
        taking.take(setting, {"training.warmup_steps": math.floor(count)})


def most_steps(taking: Taking, key: str = "max_steps") -> None:
    """Steps that end the run whatever the epochs; -1 or 0 of theirs is none."""
    if (setting := taking.setting(key)) is None:
        return
    count = taking.read(setting, "int")
    if count is NO_RESULT:
        return
    if count > 0:
        taking.take(setting, {"training.max_steps": count}, "it goes before the epochs in both")
    else:
        taking.idle(setting, "by epochs")


def capped(taking: Taking, key: str, path: str, default: float) -> None:
    """A number that is the same here, with their default."""
    setting = taking.setting(key)
    if setting is None:
        taking.default(key, default, {path: default})
        return
    got = taking.read(setting, "float")
    if got is not NO_RESULT:
        taking.take(setting, {path: got})
