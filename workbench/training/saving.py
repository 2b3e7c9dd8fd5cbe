"""What is trained, on disk: an adapter as PEFT reads it, or a whole model.

As a result it loads plainly, with nothing of ours; as part of a checkpoint it is put back
into the very model that it came from.
"""

from __future__ import annotations

import copy
from pathlib import Path

from peft import PeftConfig, PeftModel
from peft.utils.constants import SAFETENSORS_WEIGHTS_NAME
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from workbench.tracking.finding import ADAPTER, MODEL
from workbench.training import residual, sharding

Tensors = dict[str, Tensor]
Trained = PeftModel | PreTrainedModel
"""A base with an adapter, or a model all of whose weights are trained."""
_WEIGHTS = "weights.safetensors"
ADAPTER_FILE = Path(ADAPTER) / SAFETENSORS_WEIGHTS_NAME
_BEGINNING = "beginning.safetensors"


def trained_tensors(model: Trained, *, keep: bool = True) -> Tensors:
    """What is trained, by the names that it is saved under, each tensor whole.

    Where weights are spread over ranks it is a collective: every rank calls it, and one that
    doesn't `keep` them has no room for more than one at a time.
    """
    if isinstance(model, PeftModel):
        named = _tensors(model).items()
    else:
        # Weights that are tied come once.
        named = dict(model.named_parameters()).items()
    return sharding.whole_tensors(named, keep=keep)


def save_result(model: Trained, folder: Path, tensors: Tensors) -> None:
    """Write what the training made, the `trained_tensors`, so that `PeftModel.from_pretrained` on
    the unchanged base, or `AutoModelForCausalLM.from_pretrained`, gives the logits of the model
    in memory."""
    if isinstance(model, PeftModel):
        _write_adapter(folder, *residual.as_plain_lora(model, tensors))
        return
    trained_with, model.config.use_cache = model.config.use_cache, True
    model.save_pretrained(folder, state_dict=tensors)
    model.config.use_cache = trained_with


def save_part(model: Trained, checkpoint: Path, tensors: Tensors) -> None:
    """Write what is trained, the `trained_tensors`, into a checkpoint's folder, exactly."""
    if not isinstance(model, PeftModel):
        folder = checkpoint / MODEL
        folder.mkdir()
        save_file(_apart(tensors), folder / _WEIGHTS)
        return
    _write_adapter(checkpoint / ADAPTER, tensors, copy.deepcopy(_config(model)))
    if first := residual.beginning(model):
        save_file(_apart(first), checkpoint / ADAPTER / _BEGINNING)


def load_part(model: Trained, checkpoint: Path) -> None:
    """Put back what `save_part` wrote.

    Raises SafetensorError or OSError when it is damaged or not there, ValueError or
    RuntimeError when it is of another model, adapter or method.
    """
    adapted = isinstance(model, PeftModel)
    file = ADAPTER_FILE if adapted else Path(MODEL) / _WEIGHTS
    tensors = load_file(checkpoint / file)
    own = _tensors(model) if isinstance(model, PeftModel) else dict(model.named_parameters())
    if differing := sorted(tensors.keys() ^ own.keys()):
        raise ValueError(f"only one of them has {differing[0]}")
    if isinstance(model, PeftModel) and residual.beginning(model):
        residual.begin_with(model, load_file(checkpoint / ADAPTER / _BEGINNING))
    for name, tensor in tensors.items():
        sharding.put(own[name], tensor)


def _tensors(model: PeftModel) -> Tensors:
    # The parameters themselves: one that is spread says so. And said in so many words: PEFT would
    # ask a hub whether the vocabulary is still the base's.
    tensors: Tensors = get_peft_model_state_dict(
        model, model.state_dict(keep_vars=True), save_embedding_layers=False
    )
    return tensors


def _write_adapter(folder: Path, tensors: Tensors, config: PeftConfig) -> None:
    folder.mkdir(exist_ok=True)
    save_file(_apart(tensors), folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    config.inference_mode = True
    config.save_pretrained(str(folder))


def _apart(tensors: Tensors) -> Tensors:
    """On the CPU with storage of its own each: safetensors refuses tensors that share it."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _config(model: PeftModel) -> PeftConfig:
    config: PeftConfig = model.peft_config["default"]
    return config
