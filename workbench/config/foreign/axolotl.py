"""Axolotl's YAML. Keys and defaults: axolotl 0.19.0, `utils/schemas/` and `core/builders/`."""

from __future__ import annotations

from workbench.config.foreign import (
    adapters,
    axolotl_data,
    batches,
    cadence,
    learning,
    precision,
    switches,
)
from workbench.config.foreign.axolotl_keys import OTHER_TRAINING, PREFERENCES, RULES
from workbench.config.foreign.rules import Trainer, is_off
from workbench.config.foreign.taking import NO_RESULT, Taking
from workbench.errors import WorkbenchError

_STEP = batches.Keys(
    ("micro_batch_size",),
    ("gradient_accumulation_steps",),
    ("sample_packing",),
    default=(1, 1),
    total="batch_size",
)
_LORA = (
    "lora_r lora_alpha lora_dropout lora_target_linear lora_target_modules lora_modules_to_save "
    "peft_use_dora peft_use_rslora peft_init_lora_weights loraplus_lr_ratio loraplus_lr_embedding "
    "peft_autocast_adapter_dtype"
)


def refuse(taking: Taking) -> None:
    """Kinds of training that aren't had here. Raises WorkbenchError."""
    for key, what in OTHER_TRAINING.items():
        setting = taking.setting(key)
        if setting is not None and not is_off(setting.value):
            what = PREFERENCES.get(str(setting.value).lower(), what)
            raise WorkbenchError(
                f"{taking.source.where(key)}: {key}: {setting.value} is {what}. workbench trains "
                "on examples of answers (supervised fine-tuning) alone.",
                "Import the config of a run that is trained on answers.",
            )


def model(taking: Taking) -> None:
    """What is fine-tuned, and by which method."""
    base = taking.setting("base_model")
    if base is None:
        taking.warn("It names no base_model. Set model.base.")
    else:
        name = taking.read(base, "text")
        if name is not NO_RESULT:
            taking.take(base, {"model.base": name})
    adapter = taking.setting("adapter")
    name = str(adapter.value).lower() if adapter else ""
    if name not in ("", "none", "lora", "qlora") and adapter:
        taking.wrong(adapter, "workbench has lora and qlora, or none to train the whole base.")
        return
    four, eight = taking.flag("load_in_4bit"), taking.flag("load_in_8bit")
    if name in ("lora", "qlora") and adapter:
        taking.take(adapter, {"training.method": "lora"})
        _quantisation(taking, name, four, eight)
        _adapter(taking)
    else:
        _whole_base(taking, four, eight)
    _dtype(taking, full=name not in ("lora", "qlora"))


def _quantisation(taking: Taking, adapter: str, four: bool, eight: bool) -> None:
    bits4, bits8 = taking.setting("load_in_4bit"), taking.setting("load_in_8bit")
    if four and eight and bits8:
        taking.wrong(bits8, "load_in_4bit is true, too: the base is held in one of them.")
        return
    if adapter == "qlora" and not four:
        sets = {"model.quantization": "nf4"}
        if bits4 is not None:
            taking.doubt(bits4, "adapter: qlora is of a base in 4 bits; taken as true", sets)
        else:
            taking.warn("adapter: qlora without load_in_4bit: true, which Axolotl refuses; nf4.")
            taking.values |= sets
    elif four and bits4:
        if adapter == "lora":
            text = "adapter: lora stands beside it; with 4 bits it is what Axolotl calls qlora"
            taking.doubt(bits4, text, {"model.quantization": "nf4"})
        else:
            taking.take(bits4, {"model.quantization": "nf4"})
    elif bits4:
        taking.idle(bits4)
    if eight and bits8:
        taking.take(bits8, {"model.quantization": "int8"})
    elif bits8:
        taking.idle(bits8)
    options = taking.setting("bnb_config_kwargs")
    if options is not None and isinstance(options.value, dict):
        taking.split(options)
    if four or adapter == "qlora":
        prefix = "bnb_config_kwargs.bnb_4bit_"
        taking.values |= precision.four_bits(
            taking, f"{prefix}quant_type", (f"{prefix}use_double_quant",), double=True
        )
        if dtype := taking.setting(f"{prefix}compute_dtype"):
            precision.compute_dtype(taking, dtype)
    for option in taking.rest():
        if option.key.startswith("bnb_config_kwargs.") and is_off(option.value):
            taking.idle(option)


def _adapter(taking: Taking) -> None:
    everything = ("all-linear", "all_linear")
    linear, named = taking.setting("lora_target_linear"), taking.setting("lora_target_modules")
    if taking.flag("lora_target_linear") and linear:
        taking.take(linear, {"lora.target_modules": "all-linear"})
        if named:
            text = (
                "all linear layers are taken, as lora_target_linear says; what isn't linear among "
                "these, such as embed_tokens, gets no adapter here"
            )
            taking.ours(named, text)
    else:
        if linear and taking.setting("lora_target_linear"):
            taking.idle(linear)
        if named:
            adapters.targets(taking, named, everything)
        else:
            taking.default("lora_target_modules", None, {"lora.target_modules": "all-linear"})
            taking.warn(
                "It names no target modules, neither by lora_target_linear nor by "
                "lora_target_modules, which Axolotl refuses; all linear layers."
            )
    for key, path, ours in (("lora_r", "lora.rank", 16), ("lora_alpha", "lora.alpha", 32)):
        if setting := taking.setting(key):
            number = taking.read(setting, "int")
            if number is not NO_RESULT:
                taking.take(setting, {path: number})
        else:
            taking.default(key, None, {path: ours}, "Axolotl has none; workbench's own")
    adapters.beginning(taking, "peft_init_lora_weights")
    cast = taking.setting("peft_autocast_adapter_dtype")
    if cast is not None:
        wanted = taking.read(cast, "bool")
        if wanted is not NO_RESULT:
            taking.take(cast, {"lora.dtype": "float32" if wanted else "bfloat16"})


def _whole_base(taking: Taking, four: bool, eight: bool) -> None:
    for key, on in (("load_in_4bit", four), ("load_in_8bit", eight)):
        setting = taking.setting(key)
        if on and setting:
            text = "there is no adapter, and a quantised base can't be trained itself. Set adapter"
            taking.wrong(setting, f"{text}.")
        elif setting:
            taking.idle(setting)
    sets = {"training.method": "full", "model.quantization": "none"}
    if (adapter := taking.setting("adapter")) is not None:
        taking.take(adapter, sets, "the whole base is trained")
    else:
        taking.default("adapter", None, sets, "the whole base is trained")
    adapters.idle_when_full(taking, _LORA)


def _dtype(taking: Taking, *, full: bool) -> None:
    given = taking.setting("bf16", "bfloat16", "fp16", "float16", "float32")
    for key, name in (("float32", "float32"), ("bfloat16", "bfloat16")):
        setting = taking.setting(key)
        if setting and taking.flag(key):
            taking.take(setting, {"model.dtype": name})
        elif setting and taking.setting(key):
            taking.idle(setting)
    half = taking.setting("float16")
    if half and taking.flag("float16"):
        taking.missing(half, precision.NO_HALF)
    elif half and taking.setting("float16"):
        taking.idle(half)
    if given is None:
        name = "bfloat16" if full else "auto"
        text = "the base, trained itself, is held in it" if full else ""
        taking.default("bf16", "auto", {"model.dtype": name}, text)
    precision.mixed(taking, full=full, held=True)


def learning_rate(taking: Taking) -> None:
    """Rate, schedule, optimiser, epochs."""
    if (setting := taking.setting("learning_rate")) is None:
        taking.warn("It has no learning_rate, which Axolotl wants; 2e-4, workbench's own.")
    else:
        rate = taking.read(setting, "float")
        if rate is not NO_RESULT:
            taking.take(setting, {"training.learning_rate": rate})
    learning.capped(taking, "num_epochs", "training.epochs", 1.0)
    learning.most_steps(taking)
    learning.optimizer(taking, ("optimizer",), "adamw_torch_fused")
    has = learning.schedule(taking, ("lr_scheduler",), "cosine")
    if has:
        learning.short_warm_up(taking)
    learning.warm_up(taking, has)


def rows(taking: Taking) -> None:
    """Rows a step, and how they are packed."""
    axolotl_data.lengths(taking)
    at_once = taking.number("micro_batch_size", default=1)
    batches.step(taking, _STEP)
    if evaluated := taking.setting("eval_batch_size"):
        count = taking.read(evaluated, "int")
        if count is not NO_RESULT:
            taking.take(evaluated, {"evaluation.batch_size": count})
    else:
        size = int(at_once)
        taking.default(
            "eval_batch_size", size, {"evaluation.batch_size": size}, "as micro_batch_size"
        )
    axolotl_data.datasets(taking)


def machine(taking: Taking) -> None:
    """What it costs the GPU, and switches of it."""
    switches.checkpointing(taking, default=False)
    switches.compiled(taking)
    switches.batch_size_by_trying(taking)


def often(taking: Taking) -> None:
    """When there is validated, saved and ended."""
    evaluation = cadence.Keys(
        "eval_steps",
        ("eval_strategy", "evaluation_strategy"),
        "no",
        an_epoch="evals_per_epoch",
        steps_imply=True,
    )
    cadence.every(taking, cadence.EVALUATION, evaluation)
    saves = cadence.Keys(
        "save_steps", ("save_strategy",), "epoch", an_epoch="saves_per_epoch", steps_imply=True
    )
    cadence.every(taking, cadence.CHECKPOINTS, saves)
    cadence.keep(taking, "save_total_limit", 4)
    cadence.patience(taking, "early_stopping_patience")
    cadence.best(taking)


def sharding(taking: Taking) -> None:
    """FSDP, which needs several processes."""
    found = [s for k in ("fsdp", "fsdp_config", "fsdp_version") if (s := taking.setting(k))]
    for setting in found:
        if setting.key == "fsdp_version":
            taking.ours(setting, "FSDP2 is the one that there is")
        elif taking.gpus > 1 and setting.key == "fsdp":
            taking.take(setting, {"job.sharding": "fsdp"})
        elif taking.gpus > 1:
            text = "torch's fully_shard by the decoder layer, without further options"
            taking.ours(setting, text, {"job.sharding": "fsdp"})
        else:
            text = (
                "it needs several processes: give --gpus N, or set job.processes and job.sharding"
            )
            taking.missing(setting, text)


def special_tokens(taking: Taking) -> None:
    """Tokens by their roles, and new ones."""
    setting = taking.setting("special_tokens")
    if setting is not None and isinstance(setting.value, dict):
        taking.split(setting)
    more = "special_tokens.additional_special_tokens"
    adapters.new_tokens(taking, "tokens", more)
    for role, text in (
        ("pad_token", "rows are packed or masked: what is padded with is never trained on"),
        ("bos_token", "the base's own template says what a row begins with"),
        ("unk_token", "the base's own tokenizer stays as it is"),
    ):
        if part := taking.setting(f"special_tokens.{role}"):
            taking.ours(part, text)
    if end := taking.setting("special_tokens.eos_token"):
        text = (
            "an answer ends as the base's own template ends it, and the end is trained. "
            "`workbench data xray` shows the tokens; see to it that this is the one"
        )
        taking.missing(end, text)


TRAINER = Trainer(
    name="axolotl",
    title="Axolotl",
    version="0.19.0",
    source="`utils/schemas/`, `core/builders/base.py` and `loaders/` of the released package",
    rules=RULES,
    steps=(refuse, model, rows, learning_rate, often, machine, sharding, special_tokens),
)
