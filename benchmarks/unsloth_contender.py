"""unsloth as `gpu.py` measures it: its own model, adapter and trainer on the rows of the others.

What it chooses by itself is left to it but for the optimiser, which is the AdamW of the others:
on an H100 rows of a batch are joined to one (its padding-free batches), and attention is torch's
where xformers can't be loaded, as beside a torch for CUDA 13.

It wants older datasets, transformers and trl than workbench has been measured with, so that it
comes from a folder of its own, before all others on the path.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks import contenders

Spec = dict[str, Any]
NAME = "unsloth"
CONTENDERS: dict[str, Spec] = {
    NAME: {"checkpointing": False},
    f"{NAME}, its checkpointing": {"checkpointing": "unsloth"},
    # All rows are of one length, so that nothing is padded either.
    f"{NAME}, blocks compiled": {"checkpointing": False, "padding_free": False},
}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def environment(site: Path | None, folder: Path) -> dict[str, str]:
    """A process's own: unsloth from `site`, what it generates in `folder`, nothing sent home."""
    found = {
        **os.environ,
        "UNSLOTH_DISABLE_STATISTICS": "1",
        # No processes of its own beside one that has the GPU.
        "UNSLOTH_DATASET_NUM_PROC": "0",
        "UNSLOTH_COMPILE_LOCATION": str(folder / "unsloth"),
    }
    if site:
        paths = [str(site.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
        found["PYTHONPATH"] = os.pathsep.join(paths)
    return found


def work(spec: Spec, train: list[Spec], held_out: list[Spec]) -> Spec:
    """As `contenders.work`; unsloth has to be imported before torch."""
    settings = dict(spec["settings"])
    checkpointing = settings.pop("checkpointing")
    model, tokenizer = _load(spec, checkpointing)
    settings |= {
        "optim": "adamw_torch_fused",
        "bf16": True,
        "gradient_checkpointing": bool(checkpointing),
        "max_length": spec["length"],
    }
    trainer = {"model": model, "processing_class": tokenizer}
    return contenders.by_trainer(spec, train, held_out, trainer, settings)


def _load(spec: Spec, checkpointing: bool | str) -> tuple[Any, Any]:
    """The model with a new adapter, and a tokeniser, which unsloth wants in the model's folder."""
    import torch
    from unsloth import FastLanguageModel

    folder = Path(spec["model"])
    for file in Path(spec["tokenizer"]).iterdir():
        if "token" in file.name or file.suffix == ".jinja":
            shutil.copyfile(file, folder / file.name)
    model, tokenizer = FastLanguageModel.from_pretrained(
        str(folder),
        max_seq_length=spec["length"],
        dtype=torch.bfloat16,
        load_in_4bit=spec["quantised"],
        use_gradient_checkpointing=checkpointing,
        local_files_only=True,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=16,
        lora_alpha=32,
        lora_dropout=0,
        bias="none",
        target_modules=LINEAR,
        use_gradient_checkpointing=checkpointing,
        random_state=0,
    )
    return model, tokenizer
