"""What is trained, on disk: an adapter as PEFT reads it, or a whole model.

As a result it loads plainly, with nothing of ours; as part of a checkpoint it is put back
into the very model that it came from.
"""

from __future__ import annotations

import copy
from pathlib import Path

from peft import PeftConfig, PeftModel
from peft.utils.constants import SAFETENSORS_WEIGHTS_NAME
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor
from transformers import PreTrainedModel

from workbench.tracking.finding import ADAPTER, MODEL
from workbench.training import residual

Trained = PeftModel | PreTrainedModel
"""A base with an adapter, or a model all of whose weights are trained."""
_WEIGHTS = "weights.safetensors"
_BEGINNING = "beginning.safetensors"


def save_result(model: Trained, folder: Path) -> None:
    """Write what the training made, so that `PeftModel.from_pretrained` on the unchanged base,
    or `AutoModelForCausalLM.from_pretrained`, gives the logits of the model in memory."""
    if isinstance(model, PeftModel):
        _write_adapter(folder, *residual.as_plain_lora(model, _tensors(model)))
        return
    trained_with, model.config.use_cache = model.config.use_cache, True
    model.save_pretrained(folder)
    model.config.use_cache = trained_with


def save_part(model: Trained, checkpoint: Path) -> None:
    """Write what is trained into a checkpoint's folder, exactly."""
    if not isinstance(model, PeftModel):
        folder = checkpoint / MODEL
        folder.mkdir()
        save_model(model, str(folder / _WEIGHTS))
        return
    _write_adapter(checkpoint / ADAPTER, _tensors(model), copy.deepcopy(_config(model)))
    if first := residual.beginning(model):
        save_file({n: t.cpu() for n, t in first.items()}, checkpoint / ADAPTER / _BEGINNING)


def load_part(model: Trained, checkpoint: Path) -> None:
    """Put back what `save_part` wrote.

    Raises SafetensorError or OSError when it is damaged or not there, ValueError or
    RuntimeError when it is of another model, adapter or method.
    """
    if not isinstance(model, PeftModel):
        load_model(model, checkpoint / MODEL / _WEIGHTS)
        return
    tensors = load_file(checkpoint / ADAPTER / SAFETENSORS_WEIGHTS_NAME)
    own = _tensors(model)
    if differing := sorted(tensors.keys() ^ own.keys()):
        raise ValueError(f"only one of them has {differing[0]}")
    if residual.beginning(model):
        residual.begin_with(model, load_file(checkpoint / ADAPTER / _BEGINNING))
    set_peft_model_state_dict(model, tensors)


def _tensors(model: PeftModel) -> dict[str, Tensor]:
    # Said in so many words: PEFT would ask a hub whether the vocabulary is still the base's.
    tensors: dict[str, Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return tensors


def _write_adapter(folder: Path, tensors: dict[str, Tensor], config: PeftConfig) -> None:
    folder.mkdir(exist_ok=True)
    # Own storage each: safetensors refuses tensors that share it, as tied ones do.
    separate = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    save_file(separate, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    config.inference_mode = True
    config.save_pretrained(str(folder))


def _config(model: PeftModel) -> PeftConfig:
    config: PeftConfig = model.peft_config["default"]
    return config
