"""Combine adapters to one: `python -m workbench.export.combine FOLDER`.

PEFT's `add_weighted_adapter`, and then the proof: what was saved is loaded plainly onto the
unchanged base, and gives the logits of what was in memory.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils.constants import SAFETENSORS_WEIGHTS_NAME
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors.torch import save_file

from workbench import base_models
from workbench.adapters import combining, files, kept, origin
from workbench.adapters.combining import Request
from workbench.adapters.files import Adapter
from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.export import golden
from workbench.files import building_folder, sha256_file, write_json
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.tracking import manifest
from workbench.training import model

_NEW = "combined"
_TOLERANCE = 1e-4
"""Largest difference of two float32 logits that are the same but for the order of additions."""


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Combine as the folder's request says.

    Raises Stopped, with nothing made, once a person asks for it.
    """
    tell = ProgressLog(log, control)
    request = combining.read_request(folder)
    adapters = [files.read(Path(path)) for path in request.adapters]
    combining.check(adapters, request.method)
    base_folder = Path(request.base)
    combining.require_one_base(adapters, base_folder, tell)
    target = kept.of_workspace(tasks.workspace_of(folder)) / request.name

    model.quieten()
    tell("loading the adapters", 0, 1)
    loaded = _load(base_folder, adapters)
    tell("combining", 0, 1)
    _combine(loaded, request)
    ids = golden.ids(_template(adapters[0], base_folder))
    expected = _logits(loaded, ids)
    with building_folder(target) as building:
        tell("saving", 0, 1)
        _save(loaded, building)
        base_models.copy_tokenizer(adapters[0].folder, building)
        del loaded
        tell("proving that it loads", 0, 1)
        difference = _prove(base_folder, building, ids, expected)
        body = _provenance(request, adapters, base_folder, building)
        write_json(building / origin.PROVENANCE, {**body, "largest_logit_difference": difference})
        # The last moment in which an end leaves nothing.
        tell("proving that it loads", 1, 1)
    return Finished(stopped=False, result=str(target))


def _load(base_folder: Path, adapters: list[Adapter]) -> PeftModel:
    base = model.load_base(
        base_folder, RunConfig().model, torch.device("cpu"), model.own_dtype(base_folder)
    )
    loaded: Any = base
    for place, adapter in enumerate(adapters):
        loaded = model.load_adapter(loaded, adapter.folder, f"adapter_{place}")
    result: PeftModel = loaded
    return result


def _combine(loaded: PeftModel, request: Request) -> None:
    torch.manual_seed(request.seed)
    names = [f"adapter_{place}" for place in range(len(request.adapters))]
    pruned = request.method not in ("linear", "cat", "svd")
    try:
        tuner: Any = loaded.base_model
        tuner.add_weighted_adapter(
            names,
            request.weights,
            _NEW,
            combination_type=request.method,
            svd_rank=request.rank,
            svd_full_matrices=False,
            density=request.density if pruned else None,
        )
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise WorkbenchError(
            f"PEFT can't combine these adapters by {request.method}: {error}"
        ) from error
    config: Any = loaded.peft_config[_NEW]
    # Its A and B have the scales of those that it was made of in them already: alpha is the rank.
    # With rsLoRA's rule PEFT would multiply by sqrt(r) once more.
    config.use_rslora = False
    config.lora_dropout = 0.0
    for layer in loaded.modules():
        if isinstance(layer, LoraLayer) and _NEW in layer.scaling:
            layer.scaling[_NEW] = 1.0
    loaded.set_adapter(_NEW)
    loaded.eval()


def _save(loaded: PeftModel, folder: Path) -> None:
    tensors = get_peft_model_state_dict(loaded, adapter_name=_NEW, save_embedding_layers=False)
    whole = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    config: Any = loaded.peft_config[_NEW]
    config.inference_mode = True
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))


def _prove(base: Path, folder: Path, ids: list[int], expected: torch.Tensor) -> float:
    """Load what was saved as anybody would; the largest difference of its logits.

    Raises WorkbenchError when it is none that rounding explains.
    """
    files.read(folder)
    network = model.load_base(base, RunConfig().model, torch.device("cpu"), model.own_dtype(base))
    again = _logits(model.load_adapter(network, folder), ids)
    difference = float((again - expected).abs().max())
    # In bfloat16 the base itself rounds to 8 bits.
    bound = _TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= bound:
        raise WorkbenchError(
            f"The combined adapter gives other logits once it is saved and loaded: {difference:g}."
        )
    return difference


def _logits(network: PeftModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits[0].float()


def _template(adapter: Adapter, base: Path) -> ChatTemplate:
    return ChatTemplate.load(adapter.folder if golden.has_tokenizer(adapter.folder) else base)


def _provenance(
    request: Request, adapters: list[Adapter], base: Path, building: Path
) -> dict[str, Any]:
    origins = [origin.of(adapter) for adapter in adapters]
    first = origins[0]
    return {
        "v": 1,
        "made": "combined",
        "created": time.time(),
        "of": [
            {
                "adapter": str(adapter.folder),
                "run": told.run_id,
                "dataset": told.dataset,
                "weight": weight,
                "sha256": origin.hashes(adapter),
            }
            for adapter, told, weight in zip(adapters, origins, request.weights, strict=True)
        ],
        "method": request.method,
        "density": request.density,
        "rank": request.rank,
        "seed": request.seed,
        "dataset": first.dataset if len({told.dataset for told in origins}) == 1 else "",
        "base": {
            "name": request.base_name,
            "revision": first.revision if request.base_name == first.base else None,
            "files": manifest.model_files(base),
        },
        "packages": manifest.environment()["packages"],
        "sha256": {name: sha256_file(building / name) for name in (files.CONFIG, files.WEIGHTS)},
    }


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
