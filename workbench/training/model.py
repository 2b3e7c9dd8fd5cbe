"""Base model, quantisation, LoRA: from a config to a model that can be trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from workbench.config.schema import Lora, Model, RunConfig
from workbench.errors import WorkbenchError
from workbench.files import read_json_object


def offline() -> None:
    """Keep the libraries from asking a hub: a job reads local files only."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16` for torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


def pick_dtype(model: Model, device: torch.device) -> torch.dtype:
    """The number format that `auto` stands for on this machine.

    bfloat16 on a GPU that computes in it. float32 on any CPU: even on one with avx512_bf16
    a step in bfloat16 takes 1.6 times as long (SmolLM2-135M, torch 2.13, two cores), and a
    4-bit base, whose weights bitsandbytes unpacks, longer still.
    """
    if model.dtype != "auto":
        return torch.float32 if model.dtype == "float32" else torch.bfloat16
    on_gpu = device.type == "cuda" and _cuda_has_bfloat16()
    return torch.bfloat16 if on_gpu else torch.float32


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
    can't load it without running its own code.
    """
    dtype = dtype or pick_dtype(model, device)
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if model.quantization != "none":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=model.quantization,
            bnb_4bit_use_double_quant=model.double_quantization,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, device_map={"": device}, trust_remote_code=False, **options
        )
    except (ValueError, KeyError, OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WorkbenchError(f"The base model in {folder} can't be loaded: {reason}") from error
    if model.quantization != "none":
        _keep_quantised_weights(base)
    base.config.use_cache = False
    return base


def _keep_quantised_weights(base: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the 4-bit weights anew at the first evaluation.

    On processors with avx512_bf16 it does so in place, with scales rounded to bfloat16, for
    a product that passes no gradient on: training after it would learn next to nothing in
    the lower layers, and saving would change the weights once more.
    """
    from bitsandbytes.nn import Linear4bit

    for module in base.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def add_adapter(base: PreTrainedModel, config: RunConfig) -> PeftModel:
    """`base` frozen, with a fresh adapter in float32 on it.

    The base keeps its number format, a 4-bit one's norms and embeddings too: training
    computes what evaluation computes, in the format that attention is fast in.

    Raises WorkbenchError when no module has one of the wanted names.
    """
    torch.manual_seed(config.training.seed)
    if config.training.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        base.enable_input_require_grads()
    try:
        adapted = get_peft_model(base, _lora_config(config.lora))
    except ValueError as error:
        names = sorted({name.rpartition(".")[2] for name, _ in _linears(base)})
        raise WorkbenchError(
            f"lora.target_modules: {config.lora.target_modules} can't be used: "
            f"{' '.join(str(error).split())[:200]}",
            f"The base model's linear layers are {', '.join(names)}.",
        ) from error
    kept = adapted.peft_config["default"]
    if isinstance(kept, LoraConfig) and isinstance(kept.target_modules, set):
        # The order of a set differs from process to process, and so would the saved file.
        kept.target_modules = sorted(kept.target_modules)
    return adapted


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """`base` with the saved adapter of `folder`, for inference.

    Raises WorkbenchError when the folder holds no adapter.
    """
    if not (folder / "adapter_config.json").exists():
        raise WorkbenchError(
            f"There is no adapter in {folder}.", "Has the run finished? `workbench runs list`."
        )
    model: PeftModel = PeftModel.from_pretrained(base, folder, is_trainable=False)
    return model.eval()


def count_parameters(model: PeftModel) -> tuple[int, int]:
    """Trainable and all parameters; a 4-bit weight counts as the numbers it stands for."""
    trainable, total = model.get_nb_trainable_parameters()
    return trainable, total


def _lora_config(lora: Lora) -> LoraConfig:
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _linears(model: PreTrainedModel) -> list[tuple[str, torch.nn.Module]]:
    head = model.get_output_embeddings()
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
