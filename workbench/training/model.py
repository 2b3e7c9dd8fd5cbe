"""Base model, quantisation, adapter: from a config to a model that can be trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from workbench.config.conflicts import changes_base
from workbench.config.lora import Lora
from workbench.config.schema import Model, RunConfig
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.hardware.host import processor_has_bfloat16
from workbench.training import (
    complete,
    embeddings,
    quantisation,
    residual,
    targets,
    whole_modules,
)
from workbench.training.saving import Trained
from workbench.training.surroundings import device_name as device_name
from workbench.training.surroundings import pick_device as pick_device

_PLAIN_STARTS: dict[str, Any] = {"gaussian": "gaussian", "orthogonal": "orthogonal"}
"""PEFT's names of initialisations that leave the base as it is; True is its default."""


def quieten() -> None:
    """Keep the libraries from bars and warnings in a job's log; what matters is said in events."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16` for torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


def pick_dtype(model: Model, device: torch.device) -> torch.dtype:
    """The number format that `auto` stands for on this machine.

    bfloat16 on a GPU or a processor that computes in it: with avx512_bf16 a step takes 0.64 of
    its time in float32 (SmolLM2-135M, torch 2.13, two cores). float32 on any other, and on
    processors for a quantised base, whose weights bitsandbytes unpacks slower to bfloat16.
    """
    if model.dtype != "auto":
        return torch.float32 if model.dtype == "float32" else torch.bfloat16
    if device.type == "cuda":
        has_it = _cuda_has_bfloat16()
    else:
        has_it = model.quantization == "none" and processor_has_bfloat16()
    return torch.bfloat16 if has_it else torch.float32


def _cuda_has_bfloat16() -> bool:
    # Emulated, as torch does on GPUs before Ampere, it is slower than float32.
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def own_dtype(folder: Path) -> torch.dtype:
    """The number format that the base model in `folder` was saved in."""
    body = read_json_object(folder / "config.json")
    name = body.get("dtype") or body.get("torch_dtype")
    known = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    return known.get(str(name), torch.float32)


def load_base(
    folder: Path, model: Model, device: torch.device, dtype: torch.dtype | None = None
) -> PreTrainedModel:
    """The base model of `folder` on `device`, quantised if the config says so.

    `dtype` overrides the config's number format. Raises WorkbenchError when transformers
    can't load it without running its own code, and when it isn't whole.
    """
    dtype = dtype or pick_dtype(model, device)
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    # `complete` says in words which shapes don't fit.
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    if (quantised := quantisation.options(model, dtype)) is not None:
        options["quantization_config"] = quantised
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, device_map={"": device}, trust_remote_code=False, **options
        )
    except (ValueError, KeyError, OSError, SafetensorError) as error:
        reason, *families = " ".join(str(error).split()).split(" for this kind of AutoModel")
        # What follows is a list of all families that there are.
        hint = "Use a base that writes text on: a causal language model." if families else ""
        text = f"The base model in {folder} can't be loaded: {reason[:300]}"
        raise WorkbenchError(text, hint) from error
    base, told = loaded
    complete.check(base, told, folder)
    quantisation.settle(base, model)
    base.config.use_cache = False
    return cast(PreTrainedModel, base)


def load_to_train(
    folder: Path, config: RunConfig, device: torch.device, new_ids: Sequence[int] = ()
) -> Trained:
    """The base model of `folder` made ready for training by the method of the config.

    `new_ids` are the ids of `model.new_tokens`, as `ChatTemplate.new_ids` has them. Raises
    WorkbenchError for a base that can't be loaded, and for modules that it has not.
    """
    base = load_base(folder, config.model, device, training_dtype(config, device))
    embeddings.make_room(base, new_ids)
    if config.training.method == "full":
        return train_whole(base, config)
    return add_adapter(base, config, new_ids)


def training_dtype(config: RunConfig, device: torch.device) -> torch.dtype:
    """The number format of the base's weights in training.

    As `pick_dtype`, but weights that are trained themselves are in float32 unless the config
    says otherwise: to one in bfloat16 an update under 1/256 of it is often none at all.
    """
    if config.training.method == "full" and config.model.dtype == "auto":
        return torch.float32
    return pick_dtype(config.model, device)


def train_whole(base: PreTrainedModel, config: RunConfig) -> PreTrainedModel:
    """`base` with every weight of it to be trained."""
    torch.manual_seed(config.training.seed)
    _checkpoint_activations(base, config)
    base.requires_grad_(True)
    return base


def add_adapter(base: PreTrainedModel, config: RunConfig, new_ids: Sequence[int] = ()) -> PeftModel:
    """`base` frozen, with a fresh adapter on it in the number format of `lora.dtype`.

    The base keeps its number format, a quantised one's norms and embeddings too unless
    `model.upcast` says otherwise: training computes what evaluation computes, in the format
    that attention is fast in. Modules that are trained whole are copies in `lora.dtype`.

    Raises WorkbenchError when a module that the config names can't be had.
    """
    torch.manual_seed(config.training.seed)
    _checkpoint_activations(base, config)
    layers, tied = targets.linear_layers(base), embeddings.are_tied(base)
    wanted = _adapter_config(base, config.lora, new_ids)
    whole = list(wanted.modules_to_save or []) or None
    try:
        # The number format is set below, whatever the base's is.
        adapted = get_peft_model(base, wanted, autocast_adapter_dtype=False)
    except (ValueError, TypeError) as error:
        raise targets.refusal(layers, targets.why(error)) from error
    if tied:
        whole_modules.check_tied(adapted)
    dtype = torch.float32 if config.lora.dtype == "float32" else torch.bfloat16
    whole_modules.hold_in(adapted, dtype)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    if changes_base(config.lora.initialisation):
        residual.begin(adapted, config.lora.initialisation, dtype)
    # PEFT leaves out the head of tied ones, and knows the embeddings by Llama's name alone.
    wanted.modules_to_save = whole
    if isinstance(wanted.target_modules, set):
        # The order of a set differs from process to process, and so would the saved file.
        wanted.target_modules = sorted(wanted.target_modules)
    return adapted


def _checkpoint_activations(base: PreTrainedModel, config: RunConfig) -> None:
    if config.training.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        # Frozen embeddings cut gradients off where activations are recomputed reentrantly.
        base.enable_input_require_grads()


def load_adapter(base: Trained, folder: Path, name: str = "default") -> PeftModel:
    """`base` with the saved adapter of `folder`, for inference; one more, where it has some.

    `name` is what PEFT knows it by. Raises WorkbenchError when the folder holds no adapter.
    """
    if not (folder / "adapter_config.json").exists():
        raise WorkbenchError(
            f"There is no adapter in {folder}.", "Has the run finished? `workbench runs list`."
        )
    if isinstance(base, PeftModel):
        base.load_adapter(str(folder), name, is_trainable=False)
        return base.eval()
    model: PeftModel = PeftModel.from_pretrained(base, folder, name, is_trainable=False)
    return model.eval()


def count_parameters(model: Trained) -> tuple[int, int]:
    """Trainable and all parameters; a 4-bit weight counts as the numbers it stands for."""
    if not isinstance(model, PeftModel):
        total = sum(parameter.numel() for parameter in model.parameters())
        return total, total
    trainable, total = model.get_nb_trainable_parameters()
    return trainable, total


def trained_dtypes(model: Trained) -> str:
    """The number formats of the weights that are trained, for a log: `float32`."""
    kinds = {dtype_name(p.dtype) for p in model.parameters() if p.requires_grad}
    return ", ".join(sorted(kinds))


def _adapter_config(base: PreTrainedModel, lora: Lora, new_ids: Sequence[int]) -> LoraConfig:
    saved = whole_modules.names(base, lora.modules_to_save)
    ends = embeddings.end_names(base)
    rows = {name: list(new_ids) for name in ends if name not in saved}
    tied = embeddings.are_tied(base)
    if tied and len(rows) < len(ends):
        # One is trained whole, and with it the other: PEFT looks for the head's name.
        saved = [*(name for name in saved if name != ends[-1]), ends[-1]]
        rows = {}
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets.resolve(base, lora),
        exclude_modules=targets.excluded(base, lora.target_modules) or None,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        # What changes the base is begun in `residual`.
        init_lora_weights=_PLAIN_STARTS.get(lora.initialisation, True),
        modules_to_save=saved or None,
        ensure_weight_tying=tied and bool(saved) and not rows,
        trainable_token_indices=rows if new_ids and rows else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
