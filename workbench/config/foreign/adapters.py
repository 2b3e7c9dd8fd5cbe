"""The adapter's keys: where it goes, how it begins."""

from __future__ import annotations

import re
from typing import get_args

from workbench.config.foreign.rules import words
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking
from workbench.config.lora import ALL_LINEAR, Initialisation

_BEGINNINGS: tuple[str, ...] = get_args(Initialisation)
PEFT_TARGETS: dict[str, str] = {
    **dict.fromkeys(
        words(
            "llama llama4 mistral mixtral stablelm gemma gemma2 gemma3_text qwen2 qwen3 opt gptj "
            "gpt_neo"
        ),
        "q_proj v_proj",
    ),
    **dict.fromkeys(words("gpt_neox bloom falcon chatglm"), "query_key_value"),
    "phi": "q_proj v_proj fc1 fc2",
    "gpt2": "c_attn",
    "mpt": "Wqkv",
    "codegen": "qkv_proj",
}
"""What PEFT gives an adapter where nobody says, by `model_type` (PEFT 0.21, utils/constants.py)."""
IDLE_WHEN_FULL = "the whole base is trained, so it counts for nothing there"


def idle_when_full(taking: Taking, keys: str) -> None:
    """Keys of an adapter in a config that trains the whole base."""
    for key in keys.split():
        if setting := taking.setting(key):
            taking.idle(setting, IDLE_WHEN_FULL)


def beginning(taking: Taking, key: str) -> None:
    """PEFT's `init_lora_weights`."""
    if (setting := taking.setting(key)) is None:
        return
    value = str(setting.value).strip().lower()
    if value in ("true", "default"):
        taking.take(setting, {"lora.initialisation": "default"})
    elif value in _BEGINNINGS:
        taking.take(setting, {"lora.initialisation": value})
    elif match := re.fullmatch(r"pissa_niter_(\d+)", value):
        near = "pissa_niter_4" if int(match[1]) < 8 else "pissa_niter_16"
        taking.missing(setting, f"{near} stands in for it", {"lora.initialisation": near})
    else:
        text = f"the adapter begins as PEFT's default; there are {', '.join(_BEGINNINGS)}"
        taking.missing(setting, text, {"lora.initialisation": "default"})


def targets(taking: Taking, setting: Setting, everything: tuple[str, ...]) -> None:
    """Names, a pattern, or all linear layers by one of the words for that."""
    value = setting.value
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(one, str) and one.strip().lower() in everything:
        taking.take(setting, {"lora.target_modules": ALL_LINEAR})
        return
    if isinstance(one, str) and not re.fullmatch(r"[\w\s.,\[\]'\"-]+", one):
        text = "a pattern of the whole name, as in PEFT"
        taking.take(setting, {"lora.target_modules": one}, text)
        return
    names = taking.read(setting, "names")
    if names is NO_RESULT:
        return
    if found := [name for name in names if name.lower() in everything]:
        rest = ", ".join(name for name in names if name not in found)
        text = f"all linear layers; {rest} beside them can't be named here"
        taking.missing(setting, text, {"lora.target_modules": ALL_LINEAR})
        return
    taking.take(setting, {"lora.target_modules": names})


def peft_default(taking: Taking, key: str, base: str) -> None:
    """What PEFT takes where no modules are named, which depends on the base's family."""
    family = taking.around.family(base)
    known = PEFT_TARGETS.get(family)
    if known is not None:
        text = f"PEFT's own for {family}; all-linear is what matches full fine-tuning (QLoRA, 2023)"
        taking.default(key, None, {"lora.target_modules": known.split()}, text)
    elif family:
        text = f"PEFT has no default for {family}, and would stop"
        taking.default(key, None, {"lora.target_modules": ALL_LINEAR}, text)
    else:
        text = (
            "PEFT's own for Llama, Mistral, Qwen 2 and 3 and Gemma; the base isn't on this "
            "machine, so that its family isn't known"
        )
        taking.default(key, None, {"lora.target_modules": ["q_proj", "v_proj"]}, text)


def new_tokens(taking: Taking, *keys: str) -> None:
    """Tokens that are added to the tokenizer, from several keys."""
    names: list[str] = []
    for key in keys:
        if (setting := taking.setting(key)) is None:
            continue
        got = taking.read(setting, "names")
        if got is NO_RESULT:
            continue
        names += [name for name in got if name not in names]
        text = "their rows of embeddings and head are trained and saved alone"
        taking.take(setting, {"model.new_tokens": list(names)}, text)
