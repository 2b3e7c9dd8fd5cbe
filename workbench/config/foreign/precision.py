"""Quantised bases and number formats, which several keys decide together."""

from __future__ import annotations

from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

_DTYPES = {"bfloat16": "bfloat16", "bf16": "bfloat16", "float32": "float32", "fp32": "float32"}
NO_HALF = "float16 isn't computed in here: model.dtype stays auto, bfloat16 where there is a GPU"


def dtype_of(value: object) -> str | None:
    """`bfloat16` for `torch.bfloat16`; None for one that isn't here."""
    name = str(value).lower().removeprefix("torch.")
    return "auto" if name == "auto" else _DTYPES.get(name)


def mixed(taking: Taking, *, full: bool, held: bool) -> None:
    """transformers' `bf16` and `fp16`: what products are computed in.

    `held` is whether a base that is trained itself is held in that format, too (Axolotl); else
    it is in float32 (TRL, LLaMA-Factory), as it is here where model.dtype is auto.
    """
    bf16, fp16 = taking.setting("bf16"), taking.setting("fp16")
    half = False
    if fp16 is not None:
        half = taking.flag("fp16")
        if taking.setting("fp16") is None:
            pass
        elif half:
            taking.missing(fp16, NO_HALF, {"model.dtype": "auto"})
        else:
            taking.idle(fp16)
    if bf16 is None:
        return
    if str(bf16.value).lower() in ("auto", "full"):
        sets = {"model.dtype": "bfloat16" if full and held else "auto"}
        text = "what this machine computes in"
        taking.take(
            bf16, sets, "the base, trained itself, is held in it" if full and held else text
        )
        return
    wanted = taking.read(bf16, "bool")
    if wanted is NO_RESULT:
        return
    if wanted and full and not held:
        text = "products in bfloat16 where the machine has it, weights that are trained in float32"
        taking.take(bf16, {"model.dtype": "auto"}, text)
    elif wanted:
        taking.take(bf16, {"model.dtype": "bfloat16"})
    elif half:
        taking.idle(bf16)
    else:
        taking.take(bf16, {"model.dtype": "float32"}, "computed in float32 there, too")


def four_bits(
    taking: Taking, type_key: str, double_keys: tuple[str, ...], *, double: bool
) -> dict[str, object]:
    """Type of the 4-bit numbers and double quantisation, with their default for the latter."""
    kind = taking.setting(type_key)
    name = str(kind.value).lower() if kind else "nf4"
    if name not in ("nf4", "fp4") and kind:
        taking.wrong(kind, "it is nf4 or fp4.")
        name = "nf4"
    elif kind:
        taking.take(kind, {"model.quantization": name})
    twice = taking.setting(*double_keys)
    if twice is None:
        taking.default(double_keys[0], double, {"model.double_quantization": double})
    else:
        got = taking.read(twice, "bool")
        if got is not NO_RESULT:
            taking.take(twice, {"model.double_quantization": got})
    return {"model.quantization": name}


def compute_dtype(taking: Taking, setting: Setting) -> None:
    """`bnb_4bit_compute_dtype`."""
    name = dtype_of(setting.value)
    if name is None:
        taking.missing(setting, NO_HALF)
    else:
        taking.take(setting, {"model.compute_dtype": name})


def not_quantised(taking: Taking, *keys: str) -> None:
    """Keys that are for a quantised base, where none is quantised."""
    for key in keys:
        if setting := taking.setting(key):
            taking.idle(setting, "it is for a base in 4 bits")
