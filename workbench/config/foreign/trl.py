"""TRL's arguments. Keys and defaults: trl 1.16.0 (`SFTConfig`, `ModelConfig`, `scripts/sft.py`),
transformers 5.23 and PEFT 0.21 (`LoraConfig`, `adapter_config.json`)."""

from __future__ import annotations

from workbench.config.foreign import adapters, arguments, precision, trl_data
from workbench.config.foreign.rules import Trainer, is_off
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking
from workbench.config.foreign.trl_keys import (
    LORA_CONFIG,
    OTHER_TRAINING,
    RULES,
    SECTIONS,
    VERBS,
)
from workbench.errors import WorkbenchError

_LORA = (
    "lora_r r lora_alpha lora_dropout lora_target_modules target_modules lora_modules_to_save "
    "modules_to_save use_rslora use_dora init_lora_weights"
)
_TYPE = "bnb_4bit_quant_type"
_DOUBLE = ("use_bnb_nested_quant", "bnb_4bit_use_double_quant", "use_nested_quant")


def flatten(taking: Taking) -> None:
    """`{"training_args": {…}, "peft_config": {…}}` says the same as all of it in one."""
    for setting in list(taking.rest()):
        section = setting.key.lower().removesuffix("_kwargs").replace("_", "")
        if section not in SECTIONS or not isinstance(setting.value, dict):
            continue
        taking.unfold(setting, is_adapter=SECTIONS[section] == "lora")


def refuse(taking: Taking) -> None:
    """Trainers of TRL that aren't had here. Raises WorkbenchError."""
    verb = taking.source.verb.removesuffix(".py").removeprefix("run_")
    if verb in VERBS:
        raise WorkbenchError(
            f"{taking.source.path} starts `{taking.source.verb}`, {VERBS[verb]}. workbench trains "
            "on examples of answers (supervised fine-tuning, `trl sft`) alone.",
            "Import the arguments of an SFT run.",
        )
    for key, what in OTHER_TRAINING.items():
        setting = taking.setting(key)
        if setting is not None and not is_off(setting.value):
            raise WorkbenchError(
                f"{taking.source.where(key)}: {key} is of {what}. workbench trains on examples of "
                "answers (supervised fine-tuning) alone.",
                "Import the arguments of an SFT run.",
            )
    kind = taking.setting("peft_type")
    if kind is not None and str(kind.value).upper().removeprefix("PEFTTYPE.") != "LORA":
        raise WorkbenchError(
            f"{taking.source.where('peft_type')}: peft_type: {kind.value}. workbench trains LoRA "
            "adapters, or the whole base.",
        )
    if kind is not None:
        taking.idle(kind, "LoRA")


def model(taking: Taking) -> None:
    """What is fine-tuned, and by which method."""
    base = taking.setting("model_name_or_path", "base_model_name_or_path", "model")
    if base is None:
        taking.warn("It names no model_name_or_path. Set model.base.")
    elif (name := taking.read(base, "text")) is not NO_RESULT:
        taking.take(base, {"model.base": name})
    by_config = is_lora_config(taking)
    peft = taking.setting("use_peft")
    lora = by_config or taking.flag("use_peft")
    if lora:
        if peft:
            taking.take(peft, {"training.method": "lora"})
        else:
            taking.values["training.method"] = "lora"
        _adapter(taking, by_config=by_config)
    else:
        _no_adapter(taking, peft)
    _quantisation(taking, lora=lora)
    if not only_adapter(taking):
        _dtype(taking, full=not lora)


def is_lora_config(taking: Taking) -> bool:
    """Whether the file has PEFT's own LoraConfig, which needs no `use_peft`."""
    keys = {setting.key for setting in taking.source.settings}
    return bool(taking.in_adapter) or bool(keys & LORA_CONFIG)


def only_adapter(taking: Taking) -> bool:
    """Whether it is PEFT's adapter_config.json, which says nothing of the training."""
    return any(setting.key == "peft_type" for setting in taking.source.settings)


def _adapter(taking: Taking, *, by_config: bool) -> None:
    source = "LoraConfig" if by_config else "ModelConfig"
    defaults = (8, 8, 0.0) if by_config else (16, 32, 0.05)
    for keys, path, kind, default in (
        (("lora_r", "r"), "lora.rank", "int", defaults[0]),
        (("lora_alpha",), "lora.alpha", "int", defaults[1]),
        (("lora_dropout",), "lora.dropout", "float", defaults[2]),
    ):
        setting = taking.setting(*keys)
        if setting is None:
            taking.default(keys[0], default, {path: default}, f"of {source}")
        elif (got := taking.read(setting, kind)) is not NO_RESULT:
            taking.take(setting, {path: got})
    named = taking.setting("lora_target_modules", "target_modules")
    if named is None:
        base = str(taking.values.get("model.base", ""))
        adapters.peft_default(taking, "lora_target_modules", base)
    else:
        adapters.targets(taking, named, ("all-linear",))
    whole = taking.setting("lora_modules_to_save", "modules_to_save")
    if whole and (names := taking.read(whole, "names")) is not NO_RESULT:
        taking.take(whole, {"lora.modules_to_save": names})
    for key, path in (("use_rslora", "lora.rslora"), ("use_dora", "lora.dora")):
        setting = taking.setting(key)
        if setting is None:
            taking.default(key, False, {path: False})
        elif (got := taking.read(setting, "bool")) is not NO_RESULT:
            taking.take(setting, {path: got})
    adapters.beginning(taking, "init_lora_weights")


def _no_adapter(taking: Taking, peft: Setting | None) -> None:
    sets = {"training.method": "full"}
    if peft:
        taking.take(peft, sets, "the whole base is trained")
    else:
        taking.default("use_peft", False, sets, "the whole base is trained")
    for key in _LORA.split():
        if setting := taking.setting(key):
            text = (
                "use_peft isn't true, so TRL trains the whole base and pays no heed to it. If an "
                f"adapter was meant: use_peft there, or training.method and {_ours(key)} here"
            )
            taking.doubt(setting, text)


def _ours(key: str) -> str:
    names = {"r": "rank", "rank": "rank", "use_rslora": "rslora", "use_dora": "dora"}
    name = key.removeprefix("lora_")
    return f"lora.{names.get(name, 'initialisation' if key.startswith('init') else name)}"


def _quantisation(taking: Taking, *, lora: bool) -> None:
    four, eight = taking.setting("load_in_4bit", "use_4bit"), taking.setting("load_in_8bit")
    on4, on8 = taking.flag("load_in_4bit", "use_4bit"), taking.flag("load_in_8bit")
    if on4 and on8 and eight:
        taking.wrong(eight, "load_in_4bit is true, too: the base is held in one of them.")
        return
    for on, setting in ((on4, four), (on8, eight)):
        if on and setting and not lora:
            text = "there is no adapter, and a quantised base can't be trained itself"
            taking.wrong(setting, f"{text}. Set use_peft.")
            return
        if setting and not on:
            taking.idle(setting)
    if on8 and eight:
        taking.take(eight, {"model.quantization": "int8"})
    elif on4 and four:
        taking.take(four, precision.four_bits(taking, _TYPE, _DOUBLE, double=False))
    else:
        taking.values["model.quantization"] = "none"
    if not on4:
        precision.not_quantised(taking, _TYPE, *_DOUBLE)
    if (on4 or on8) and not only_adapter(taking):
        text = "TRL holds the adapter of a quantised base in bfloat16; float32 keeps small updates"
        taking.default("(adapter's format)", "bfloat16", {"lora.dtype": "bfloat16"}, text)
    compute = taking.setting("bnb_4bit_compute_dtype")
    if compute and on4:
        precision.compute_dtype(taking, compute)
    elif compute:
        taking.idle(compute, "it is for a base in 4 bits")


def _dtype(taking: Taking, *, full: bool) -> None:
    """What weights are held in (`dtype`) and what products are in (`bf16`, autocast)."""
    held = taking.setting("dtype", "torch_dtype")
    name = precision.dtype_of(held.value) if held else "float32"
    on = taking.flag("bf16", default=not taking.flag("fp16"))
    if held is not None and name == "bfloat16":
        taking.take(held, {"model.dtype": name})
        for setting in (taking.setting("bf16"), taking.setting("fp16")):
            if setting is not None:
                taking.idle(setting, f"{held.key} is bfloat16")
        return
    if taking.setting("bf16", "fp16") is None:
        taking.default("bf16", True, {"model.dtype": "auto"}, "products in bfloat16")
    else:
        precision.mixed(taking, full=full, held=False)
    if held is None:
        text = "weights in float32, products in bfloat16: as here where the base is trained itself"
        if not full:
            text = "frozen weights are held as products need them, in half the memory"
        taking.default("dtype", "float32", {}, text)
    elif name is None:
        taking.missing(held, precision.NO_HALF)
    elif name == "float32" and on:
        text = "products are in bfloat16 all the same (bf16), and frozen weights are held so here"
        taking.ours(held, text)
    else:
        taking.take(held, {"model.dtype": name})


def rows(taking: Taking) -> None:
    """How long a row may be, what a step takes, and how it is packed."""
    cutoff = taking.setting("max_length", "max_seq_length")
    if cutoff is not None:
        number = taking.read(cutoff, "int")
        taking.values["data.max_length"] = 1024 if number is NO_RESULT else number
        if number is not NO_RESULT:
            taking.take(cutoff, {"data.max_length": number})
    elif "max_length" in {s.key for s in taking.rest()}:
        text = "there is no limit there; this is the most that there is here"
        unlimited = next(s for s in taking.rest() if s.key == "max_length")
        taking.take(unlimited, {"data.max_length": 1 << 20}, text)
    else:
        taking.default("max_length", 1024, {"data.max_length": 1024})
    mode = taking.setting("truncation_mode")
    if mode is None or str(mode.value) == "keep_start":
        text = "what is longer is cut"
        sets = {"data.too_long": "truncate"}
        if mode is None:
            taking.default("truncation_mode", "keep_start", sets, text)
        else:
            taking.take(mode, sets, text)
    else:
        text = "the beginning of a row is kept here, not its end: leave such rows out"
        taking.missing(mode, text, {"data.too_long": "drop"})
    arguments.rows(taking, "packing", _strategy(taking))
    trl_data.datasets(taking)


def _strategy(taking: Taking) -> str:
    setting = taking.setting("packing_strategy")
    if setting is None:
        return ""
    name = str(setting.value)
    if name == "wrapped":
        text = "rows aren't cut to fill a pack here, nor do they see each other"
        taking.ours(setting, text)
        return "Packs of `wrapped` cut rows, which see each other there; here neither is so"
    taking.ours(setting, "rows are laid out by best-fit decreasing within a step")
    return ""


def loss(taking: Taking) -> None:
    """What is trained of a row: answers alone here."""
    setting = taking.setting("assistant_only_loss")
    both = taking.flag("assistant_only_loss"), taking.flag("completion_only_loss")
    text = (
        "TRL trains on every token of a conversation, the questions too, and of prompt and "
        "completion on the completion; here answers alone are trained, always"
    )
    if setting is None:
        taking.default("assistant_only_loss", False, {}, text)
    elif taking.setting("assistant_only_loss"):
        if both[0]:
            taking.ours(setting, "answers alone are trained, always")
        else:
            taking.missing(setting, text)
    completion = taking.setting("completion_only_loss")
    if completion and both[1]:
        taking.ours(completion, "answers alone are trained, always")
    elif completion:
        taking.missing(completion, "here answers alone are trained, always")
    kind = taking.setting("loss_type")
    if kind and str(kind.value) in ("nll", "chunked_nll"):
        taking.ours(kind, "only trained tokens meet the vocabulary, in chunks: chunked_nll")
    elif kind:
        taking.missing(kind, "the loss is the mean cross-entropy of the trained tokens of a step")


def learn(taking: Taking) -> None:
    """Learning rate, epochs, optimiser, schedule."""
    arguments.learn(taking, 2e-5)


def often(taking: Taking) -> None:
    """When there is logged, validated, saved and ended."""
    arguments.often(taking, 10, "early_stopping_patience")


def machine(taking: Taking) -> None:
    """What it costs the GPU."""
    arguments.machine(taking, recomputed=True)


def _unless_adapter(taking: Taking) -> None:
    if only_adapter(taking):
        taking.warn(
            "An adapter_config.json says nothing of data and training: those are workbench's own "
            "defaults, not TRL's."
        )
        return
    for step in (rows, loss, learn, often, machine):
        step(taking)


TRAINER = Trainer(
    name="trl",
    title="TRL",
    version="1.16.0",
    source="`trainer/`, `scripts/` of the released package, transformers 5.23 and PEFT 0.21",
    rules=RULES,
    steps=(flatten, refuse, arguments.processes, model, _unless_adapter),
)
