"""Adapters as PEFT makes them, with weights that matter, without a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def make(base: Path, folder: Path, seed: int = 0, **options: Any) -> Path:
    """A LoRA (or what `options` say) on the model in `base`, saved to `folder`."""
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    usual: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"]}
    adapted = get_peft_model(network, LoraConfig(**{**usual, **options}))
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            scale = 0.02 if "magnitude" in name else 0.1
            parameter.data += scale * torch.randn_like(parameter)
    adapted.save_pretrained(str(folder))
    return folder


def logits(network: Any, length: int = 40) -> torch.Tensor:
    ids = torch.arange(length).unsqueeze(0)
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(input_ids=ids, use_cache=False).logits
    return found
