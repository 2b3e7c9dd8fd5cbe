"""GGUF to safetensors, once: `python -m workbench.training.convert FILE FOLDER`."""

from __future__ import annotations

import functools
import gc
import sys
from pathlib import Path

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error


def convert(gguf: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file to `folder`, in bfloat16.

    The file's 4-bit blocks have 8 significant bits once unpacked, so bfloat16 loses
    next to nothing and the folder has half the size of float32 (269 MB for 135M).
    """
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    # Unpacked at loading: a model that keeps its blocks refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_once() -> None:
    """Have transformers read the file once, not anew for config, tokenizer and weights, and build
    its table of names once, not for each module: half of the time that a conversion takes."""
    if hasattr(gguf.GGUFReader, "cache_info"):
        return
    gguf.GGUFReader = functools.cache(gguf.GGUFReader)  # type: ignore[misc, assignment]
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)


if __name__ == "__main__":
    read_once()
    # The file's half a million parts stay to the end.
    gc.disable()
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except OSError as error:
        sys.exit(str(explain_os_error(error, f"convert to {sys.argv[2]}")))
    except WorkbenchError as error:
        sys.exit(str(error))
