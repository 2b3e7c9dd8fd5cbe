"""Merge an adapter into its base: `python -m workbench.export.merge FOLDER`.

Always into the base in its own number format, never into quantised weights. The merged
model is compared with base plus adapter on held-out prompts, and what was found is kept
beside it as `merge.json`. A run that trained all weights has a whole model already: it is
copied.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import sys
from collections.abc import Iterable, Iterator
from inspect import signature
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from workbench import base_models
from workbench.data import versions
from workbench.export.request import (
    CERTIFICATE,
    add_papers,
    copy_result,
    read_request,
    result_folder,
)
from workbench.files import building_folder, write_json
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, watched
from workbench.jobs.runner import run_job
from workbench.tracking import inputs, runs
from workbench.tracking.finding import MODEL
from workbench.training import embeddings, model
from workbench.training.loss import causal_model
from workbench.workspace import Workspace

_PROMPTS = 8
_POSITIONS = 64
"""Positions compared of a prompt, its last: with a vocabulary of 256,000 they are 64 MB of
float32, where whole rows of 4,096 tokens would be 4 GB."""


def merge(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Merge as the folder's request says.

    Raises Stopped, with no target folder made, once a person asks for it.
    """
    tell = ProgressLog(log, control)
    request = read_request(folder)
    run, target = Path(request.run), Path(request.target)
    workspace = Workspace(run.parent.parent)
    config = runs.load_config(run)
    result = result_folder(run)
    if result.name == MODEL:
        tell("copying", 0, 1)
        copy_result(run, result, target)
        return Finished(stopped=False, result=str(target))
    base_folder = inputs.base_folder(run)
    template = inputs.load_template(run)
    version = versions.resolve(workspace, config.data.dataset)
    # Held-out rows first; a version without any is compared on what it has.
    rows = chain.from_iterable(versions.read(version, split) for split in ("validation", "train"))
    longest = config.data.max_length
    encoded = (template.encode(example).ids for example in rows)
    if config.data.too_long == "truncate":
        encoded = (ids[:longest] for ids in encoded)
    short = (ids for ids in encoded if len(ids) <= longest)
    prompts = list(islice(short, _PROMPTS))

    model.quieten()
    tell("loading the models", 0, 1)
    whole = config.model.model_copy(update={"quantization": "none"})
    own = model.own_dtype(base_folder)
    base = model.load_base(base_folder, whole, torch.device("cpu"), own)
    embeddings.make_room(base, template.new_ids)
    adapted = model.load_adapter(base, result)
    _untie(base)

    def logits(network: PreTrainedModel | PeftModel, phase: str) -> Iterator[torch.Tensor]:
        return (_logits(network, prompt) for prompt in watched(prompts, phase, tell, "prompts"))

    before = list(logits(adapted, "answers before the merge"))
    tell("merging", 0, 1)
    merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True)
    certificate = {
        "run": run.name,
        "base": config.model.base,
        "dtype": str(next(merged.parameters()).dtype).removeprefix("torch."),
        "trained_on_quantized_base": config.model.quantization != "none",
        **compare(before, logits(merged, "answers after the merge")),
    }
    tell("saving", 0, 1)
    merged.config.use_cache = True
    with building_folder(target) as building:
        merged.save_pretrained(building)
        base_models.copy_tokenizer(result, building)
        write_json(building / CERTIFICATE, certificate)
        add_papers(run, building)
        # The last moment in which an end leaves nothing.
        tell("saving", 1, 1)
    return Finished(stopped=False, result=str(target))


def _untie(base: PreTrainedModel) -> None:
    """Give the head weights of its own where it has those of the embeddings, and an adapter is
    on one of them: merged into both it would be another model."""
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    adapters = [end for end in (embedding, head) if isinstance(end, BaseTunerLayer)]
    if adapters and embeddings.are_tied(base):
        layer: Any = head.get_base_layer() if isinstance(head, BaseTunerLayer) else head
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        base.config.tie_word_embeddings = False


def compare(before: list[torch.Tensor], after: Iterable[torch.Tensor]) -> dict[str, Any]:
    """How far two models' logits are apart, over each position of some prompts.

    Each tensor is (positions, vocabulary); of `after` one at a time is held. Gives the
    largest logit difference, the mean Kullback-Leibler divergence in nats and the share
    of positions where the most likely token is the same.
    """
    largest, divergence, same, positions = 0.0, 0.0, 0, 0
    for first, second in zip(before, after, strict=True):
        largest = max(largest, float((first - second).abs().max()))
        p, q = first.log_softmax(-1), second.log_softmax(-1)
        divergence += float((p.exp() * (p - q)).sum())
        same += int((first.argmax(-1) == second.argmax(-1)).sum())
        positions += len(first)
    return {
        "prompts": len(before),
        "positions": positions,
        "largest_logit_difference": largest,
        "mean_kl_nats": divergence / max(1, positions),
        "same_top_token": same / max(1, positions),
    }


def _logits(network: PreTrainedModel | PeftModel, ids: list[int]) -> torch.Tensor:
    """The logits of the last positions, shape (at most _POSITIONS, vocabulary), float32."""
    options: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in signature(causal_model(network).forward).parameters:
        # The others are not even computed.
        options["logits_to_keep"] = _POSITIONS
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=torch.tensor([ids]), **options).logits
    # A copy of its own, not a view that keeps the rest.
    return logits[0, -_POSITIONS:].to(torch.float32, copy=True)


if __name__ == "__main__":
    sys.exit(run_job(merge, sys.argv[1:]))
