"""LLaMA-Factory's YAML. Keys and defaults: llamafactory 0.9.5, `hparams/`, `model/`."""

from __future__ import annotations

from workbench.config.foreign import adapters, arguments, precision
from workbench.config.foreign import datasets as data
from workbench.config.foreign.llama_factory_keys import RULES
from workbench.config.foreign.rules import Trainer
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking
from workbench.errors import WorkbenchError

_LORA = (
    "lora_rank lora_alpha lora_dropout lora_target additional_target use_rslora use_dora "
    "pissa_init pissa_iter pissa_convert loraplus_lr_ratio loraplus_lr_embedding create_new_adapter"
)
_STAGES = {
    "dpo": "preference training (DPO)",
    "kto": "preference training (KTO)",
    "ppo": "reinforcement learning (PPO)",
    "rm": "the training of a reward model",
}


def refuse(taking: Taking) -> None:
    """Stages that aren't had here. Raises WorkbenchError."""
    stage = taking.setting("stage")
    name = str(stage.value).lower() if stage else "sft"
    if stage and name in _STAGES:
        raise WorkbenchError(
            f"{taking.source.where('stage')}: stage: {stage.value} is {_STAGES[name]}. workbench "
            "trains on examples of answers (supervised fine-tuning) alone.",
            "Import the config of a run that is trained on answers, stage: sft.",
        )
    if stage and name == "pt":
        text = (
            "plain texts are trained on whole: import them with --map text=FIELD, and "
            "--cut-tokens cutoff_len for long ones"
        )
        taking.ours(stage, text)
    elif stage and name == "sft":
        taking.idle(stage, "it is what workbench does")
    elif stage:
        taking.wrong(stage, f"it is sft, pt, {', '.join(_STAGES)}.")
    if train := taking.setting("do_train"):
        taking.idle(train)


def model(taking: Taking) -> None:
    """What is fine-tuned, and by which method."""
    base = taking.setting("model_name_or_path")
    if base is None:
        taking.warn("It names no model_name_or_path. Set model.base.")
    elif (name := taking.read(base, "text")) is not NO_RESULT:
        taking.take(base, {"model.base": name})
    adapters.new_tokens(taking, "add_tokens", "add_special_tokens", "new_special_tokens")
    setting = taking.setting("finetuning_type")
    kind = str(setting.value).lower() if setting else "lora"
    if setting and kind not in ("lora", "full"):
        text = "a part of the base's layers can't be trained alone" if kind == "freeze" else ""
        known = "workbench has lora and full"
        taking.wrong(setting, f"{text}: {known}." if text else f"{known}.")
        return
    full = kind == "full"
    sets = {"training.method": kind}
    if setting:
        taking.take(setting, sets)
    else:
        taking.default("finetuning_type", "lora", sets)
    _quantisation(taking)
    if full:
        adapters.idle_when_full(taking, _LORA)
    else:
        _adapter(taking)
    _dtype(taking, full=full)


def _quantisation(taking: Taking) -> None:
    others = ("quantization_type", "double_quantization")
    bits, how = taking.setting("quantization_bit"), taking.setting("quantization_method")
    if bits is None:
        if how:
            taking.idle(how, "nothing is quantised without quantization_bit")
        precision.not_quantised(taking, *others)
        taking.values["model.quantization"] = "none"
        return
    name = str(how.value).lower().removeprefix("quantizationmethod.") if how else "bnb"
    if how and name not in ("bnb", "bitsandbytes"):
        text = "a base is quantised by bitsandbytes alone, which stands in for it"
        taking.missing(how, text)
    elif how:
        taking.ours(how, "bitsandbytes, as always here")
    else:
        taking.default("quantization_method", "bnb", {}, "bitsandbytes, as always here")
    count = taking.read(bits, "int")
    if count is NO_RESULT:
        return
    if count == 4:
        sets = precision.four_bits(taking, *others[:1], others[1:], double=True)
        taking.take(bits, dict(sets))
    elif count == 8:
        taking.take(bits, {"model.quantization": "int8"})
        precision.not_quantised(taking, *others)
    else:
        taking.wrong(bits, "bitsandbytes quantises to 4 or 8 bits.")


def _adapter(taking: Taking) -> None:
    rank = taking.number("lora_rank", default=8)
    if setting := taking.setting("lora_rank"):
        number = taking.read(setting, "int")
        if number is not NO_RESULT:
            taking.take(setting, {"lora.rank": number})
    else:
        taking.default("lora_rank", 8, {"lora.rank": 8})
    if setting := taking.setting("lora_alpha"):
        number = taking.read(setting, "int")
        if number is not NO_RESULT:
            taking.take(setting, {"lora.alpha": number})
    else:
        taking.default("lora_alpha", "2 x lora_rank", {"lora.alpha": int(rank * 2)})
    if setting := taking.setting("lora_target"):
        adapters.targets(taking, setting, ("all",))
    else:
        taking.default("lora_target", "all", {"lora.target_modules": "all-linear"})
    iterations = taking.setting("pissa_iter")
    begins = taking.setting("pissa_init")
    if begins and taking.flag("pissa_init"):
        count = int(taking.number("pissa_iter", default=16))
        name = {-1: "pissa", 4: "pissa_niter_4", 16: "pissa_niter_16"}.get(count)
        taking.take(begins, {"lora.initialisation": name or "pissa_niter_16"})
        if iterations and name:
            taking.take(iterations, {"lora.initialisation": name})
        elif iterations:
            taking.missing(iterations, "4 or 16 iterations, or -1 for an exact one; 16 it is")
        else:
            taking.default("pissa_iter", 16, {"lora.initialisation": "pissa_niter_16"})
    else:
        for setting in filter(None, (begins, iterations)):
            taking.idle(setting)


def _dtype(taking: Taking, *, full: bool) -> None:
    pure = taking.setting("pure_bf16")
    if pure and taking.flag("pure_bf16"):
        sets = {"model.dtype": "bfloat16"} | ({} if full else {"lora.dtype": "bfloat16"})
        taking.take(pure, sets, "what is trained is in bfloat16, too")
        for key in ("bf16", "fp16"):
            if setting := taking.setting(key):
                taking.idle(setting, "pure_bf16 counts")
        return
    if pure and taking.setting("pure_bf16"):
        taking.idle(pure)
    chosen = taking.setting("bf16", "fp16")
    if chosen is None:
        text = "LLaMA-Factory takes the base's own format, where the GPU has it"
        taking.default("bf16", False, {"model.dtype": "auto"}, text)
        return
    off = taking.setting("bf16")
    if off and not taking.flag("bf16") and taking.setting("bf16"):
        taking.take(off, {"model.dtype": "auto"}, "the base's own format there")
    precision.mixed(taking, full=full, held=False)


def rows(taking: Taking) -> None:
    """How long a row may be, what a step takes, and how it is packed."""
    cutoff = taking.setting("cutoff_len")
    if cutoff is None:
        taking.default("cutoff_len", 2048, {"data.max_length": 2048})
    else:
        number = taking.read(cutoff, "int")
        taking.values["data.max_length"] = 2048 if number is NO_RESULT else number
        if number is not NO_RESULT:
            taking.take(cutoff, {"data.max_length": number})
    text = "LLaMA-Factory cuts what is longer"
    taking.default("cutoff_len", "cut", {"data.too_long": "truncate"}, text)
    neat, other = taking.setting("neat_packing"), taking.setting("packing")
    if neat and taking.flag("neat_packing"):
        if other:
            taking.ours(other, "neat_packing packs, too")
        arguments.rows(taking, "neat_packing")
    else:
        if neat and taking.setting("neat_packing"):
            taking.idle(neat)
        note = "Rows of a pack see each other there; here none does"
        arguments.rows(taking, "packing", note)
    _datasets(taking)


def _datasets(taking: Taking) -> None:
    held_out = data.held_out(taking, "val_size")
    folder = taking.setting("dataset_dir")
    where = str(folder.value).rstrip("/") if folder else "data"
    info = f"{where}/dataset_info.json"
    if folder:
        taking.ours(folder, f"the import reads {info}")
    evaluated = taking.setting("eval_dataset")
    if evaluated:
        names = taking.read(evaluated, "names")
        if names is not NO_RESULT:
            text = f"give its file to the import as --validation-file; {info} says which it is"
            taking.missing(evaluated, text)
    setting = taking.setting("dataset")
    count = _named(taking, setting, info, held_out) if setting else 0
    if setting is None:
        data.take(taking, [], held_out)
    if most := taking.setting("max_samples"):
        if count > 1:
            taking.missing(
                most, "it is of each dataset there; `workbench data mix --cap` does that"
            )
        else:
            data.rows(taking, most)


def _named(taking: Taking, setting: Setting, info: str, held_out: list[str]) -> int:
    """How many datasets there are."""
    names = taking.read(setting, "names")
    if names is NO_RESULT:
        return 0
    wanted = [
        data.Wanted(
            setting if number == 0 else None, data.name_of(name), [info], ["--dataset", name]
        )
        for number, name in enumerate(names)
    ]
    data.take(taking, wanted, held_out)
    return len(names)


def learn(taking: Taking) -> None:
    """Learning rate, epochs, optimiser, schedule."""
    arguments.learn(taking, 5e-5)


def often(taking: Taking) -> None:
    """When there is validated, saved and ended."""
    arguments.often(taking, 500, "early_stopping_steps")


def machine(taking: Taking) -> None:
    """Gradient checkpointing is on unless it is disabled."""
    off = taking.setting("disable_gradient_checkpointing")
    if off is not None:
        wanted = taking.read(off, "bool")
        if wanted is not NO_RESULT:
            taking.take(off, {"training.gradient_checkpointing": not wanted})
        if ours := taking.setting("gradient_checkpointing"):
            taking.idle(ours, f"{off.key} counts there")
    elif setting := taking.setting("gradient_checkpointing"):
        text = "LLaMA-Factory goes by disable_gradient_checkpointing alone: it is on"
        taking.doubt(setting, text, {"training.gradient_checkpointing": True})
    else:
        sets = {"training.gradient_checkpointing": True}
        taking.default("disable_gradient_checkpointing", False, sets)
    arguments.machine(taking, recomputed=True)
    if norms := taking.setting("upcast_layernorm"):
        wanted = taking.read(norms, "bool")
        if wanted is NO_RESULT:
            return
        if wanted and taking.values.get("model.quantization") != "none":
            taking.take(norms, {"model.upcast": True}, "norms, and embeddings and head as well")
        elif wanted:
            taking.missing(norms, "norms are upcast in a quantised base alone: model.upcast")
        else:
            taking.idle(norms)


TRAINER = Trainer(
    name="llama-factory",
    title="LLaMA-Factory",
    version="0.9.5",
    source="`hparams/` and `model/` of the released package, and transformers 5.23",
    rules=RULES,
    steps=(refuse, arguments.processes, model, rows, learn, often, machine),
)
