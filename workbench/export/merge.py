"""Merge an adapter into its base: `python -m workbench.export.merge FOLDER`.

Always into the base in its own number format, or one that is asked for, never into quantised
weights. What was written is loaded plainly and compared with base plus adapter on held-out rows,
and with the quantised base plus adapter where that is what was trained; what was found is kept
beside it as `certificate.json`. Where memory is short the base is merged tensor by tensor. A run
that trained all weights has a whole model already: it is copied.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import gc
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from workbench import base_models
from workbench.adapters import checks, origin
from workbench.errors import WorkbenchError
from workbench.export import certificate, golden, papers, shards, subject
from workbench.export.certificate import Measured, Prompts
from workbench.export.request import (
    CERTIFICATE,
    Request,
    copy_result,
    read_request,
    result_folder,
)
from workbench.export.subject import Subject
from workbench.files import building_folder, write_json
from workbench.hardware.host import memory_left
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell, watched
from workbench.jobs.runner import run_job
from workbench.text import size
from workbench.tracking import manifest
from workbench.tracking.finding import MODEL
from workbench.training import embeddings, model
from workbench.workspace import Workspace

_CPU = torch.device("cpu")
_FEW = 0.01
"""Share of weights, from which on it is said that their change was lost."""
_SPARE = 1.3
"""A model takes so many times its weights, with what computes and what it gives."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What memory leaves room for."""

    dtype: torch.dtype
    """Of the merged model."""
    arithmetic: torch.dtype
    """In which it is compared: float32 where there is room, so that what differs is the weights'
    and not the products' rounding."""
    by_tensor: bool
    answers: bool


def merge(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Merge as the folder's request says.

    Raises Stopped, with no target folder made, once a person asks for it.
    """
    tell = ProgressLog(log, control)
    request = read_request(folder)
    target = Path(request.target)
    if request.run and (result := result_folder(Path(request.run))).name == MODEL:
        tell("copying", 0, 1)
        copy_result(Path(request.run), result, target)
        return Finished(stopped=False, result=str(target))
    workspace = (
        Workspace(Path(request.run).parent.parent) if request.run else tasks.workspace_of(folder)
    )
    merged = subject.of(workspace, request)
    with building_folder(target) as building:
        build(merged, request, building, tell, lambda text: log.write(Notice(text)))
        # The last moment in which an end leaves nothing.
        tell("saving", 1, 1)
    return Finished(stopped=False, result=str(target))


def build(
    merged: Subject, request: Request, folder: Path, tell: Tell, say: Callable[[str], None]
) -> None:
    """Merge into the folder `folder`, with all that goes along.

    Raises WorkbenchError for an adapter of another base, and for a merged model beyond the bounds
    unless the request accepts it.
    """
    checks.require(merged.adapter, merged.origin, merged.base, tell)
    plan = _plan(merged, request)
    if plan.by_tensor:
        say("merging tensor by tensor: the whole model is never in memory")
    prompts = merged.prompts(answers=plan.answers)
    model.quieten()
    adapted, effect = _measured(merged, plan, prompts, tell)
    before = [adapted]
    quantised = merged.config.model.quantization != "none"
    if quantised:
        before.append(_measured_as_trained(merged, prompts, tell))
    if plan.by_tensor:
        shards.merge(merged.adapter, merged.base, folder, plan.dtype, tell)
    else:
        tell("merging", 0, 1, "")
        merge_whole(merged, plan.dtype, folder)
    _add_tokenizer(merged, folder)
    found = _compared(folder, before, plan, prompts, merged, tell)
    unchanged = certificate.unchanged(merged.base, folder, merged.adapter.modules)
    body = _certificate(merged, plan, found, effect, unchanged)
    _refuse_beyond(body, accept=request.accept)
    write_json(folder / CERTIFICATE, body)
    papers.add(merged, folder, body)


def merge_whole(merged: Subject, dtype: torch.dtype, folder: Path) -> None:
    """PEFT's `merge_and_unload` on the base in `dtype`, saved to `folder`."""
    adapted = _adapted(merged, dtype)
    base: Any = adapted.get_base_model()
    _untie(base)
    try:
        whole: Any = adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise WorkbenchError(f"PEFT can't merge the adapter: {error}") from error
    # Modules that were trained whole are in the adapter's format.
    whole.to(dtype)
    if not embeddings.are_tied(whole):
        whole.config.tie_word_embeddings = False
    whole.config.use_cache = True
    whole.save_pretrained(folder)


def _plan(merged: Subject, request: Request) -> _Plan:
    """Raises WorkbenchError where memory is short, or it is asked for, and the adapter can't be
    merged tensor by tensor."""
    own = model.own_dtype(merged.base)
    dtype = getattr(torch, request.dtype) if request.dtype else own
    numbers = sum(math.prod(t.shape) for t in checks.tensors_of(merged.base).values())
    left = memory_left()
    room = math.inf if left is None else left
    short = room < numbers * dtype.itemsize * _SPARE
    by_tensor = request.shards or short
    if by_tensor and (why := shards.refusal(merged.adapter, merged.base)) is not None:
        asked = "It was asked for." if request.shards else f"There are {size(left or 0)} left."
        raise WorkbenchError(
            f"The adapter can't be merged tensor by tensor: {why}.",
            f"{asked} Merged whole it takes {size(int(numbers * dtype.itemsize * _SPARE))} of "
            "memory.",
        )
    wide = room >= numbers * torch.float32.itemsize * _SPARE
    return _Plan(dtype, torch.float32 if wide else own, by_tensor, answers=wide)


def _adapted(merged: Subject, dtype: torch.dtype) -> PeftModel:
    """The unquantised base in `dtype` with the adapter on it."""
    config = merged.config.model.model_copy(update={"quantization": "none"})
    base = model.load_base(merged.base, config, _CPU, dtype)
    embeddings.make_room(base, merged.template.new_ids)
    return model.load_adapter(base, merged.adapter.folder)


def _measured(
    merged: Subject, plan: _Plan, prompts: Prompts, tell: Tell
) -> tuple[Measured, dict[str, Any]]:
    """Of base plus adapter, and how far the adapter moves the base."""
    tell("loading base and adapter", 0, 1, "")
    network = _adapted(merged, plan.arithmetic)
    found = certificate.measure(network, prompts, merged.template, tell, "base plus adapter")
    with network.disable_adapter():
        rows = watched(prompts.rows, "logits of the base", tell)
        alone = (certificate.logits_of(network, row) for row in rows)
        effect = certificate.compare(found.logits, alone)
    del network
    gc.collect()
    return found, effect


def _measured_as_trained(merged: Subject, prompts: Prompts, tell: Tell) -> Measured:
    """On the base as it was held in training, by the config."""
    tell("loading the quantised base and adapter", 0, 1, "")
    dtype = model.training_dtype(merged.config, _CPU)
    base = model.load_base(merged.base, merged.config.model, _CPU, dtype)
    embeddings.make_room(base, merged.template.new_ids)
    network = model.load_adapter(base, merged.adapter.folder)
    who = "quantised base plus adapter"
    found = certificate.measure(network, prompts, merged.template, tell, who)
    del network, base
    gc.collect()
    return found


def _compared(
    folder: Path,
    before: list[Measured],
    plan: _Plan,
    prompts: Prompts,
    merged: Subject,
    tell: Tell,
) -> list[dict[str, Any]]:
    """Of what was written, loaded as anybody would."""
    tell("loading the merged model", 0, 1, "")
    config = merged.config.model.model_copy(update={"quantization": "none"})
    network = model.load_base(folder, config, _CPU, plan.arithmetic)
    return certificate.compare_all(before, network, prompts, merged.template, tell)


def _certificate(
    merged: Subject,
    plan: _Plan,
    found: list[dict[str, Any]],
    effect: dict[str, Any],
    unchanged: float,
) -> dict[str, Any]:
    against_adapter, *rest = found
    against_quantised = rest[0] if rest else None
    dtype, moved = model.dtype_name(plan.dtype), effect["mean_kl_nats"]
    return {
        "v": 1,
        "run": merged.run.name if merged.run is not None else merged.origin.run_id,
        "adapter": merged.adapter.folder.name,
        "adapter_files": origin.hashes(merged.adapter),
        "base": merged.origin.base or str(merged.base),
        "base_files": manifest.model_files(merged.base),
        "dtype": dtype,
        "precision": _precision(merged, plan, unchanged),
        "unchanged_weights": unchanged,
        "how": "tensor by tensor" if plan.by_tensor else "merge_and_unload",
        "trained_on_quantized_base": against_quantised is not None,
        "quantization": merged.config.model.quantization,
        "computed_in": model.dtype_name(plan.arithmetic),
        "compared_on": merged.compared_on,
        **against_adapter,
        "bounds": certificate.bounds(dtype),
        "within_bounds": certificate.within_bounds(against_adapter, dtype),
        "adapter_moves_kl_nats": moved,
        "small_beside_adapter": against_adapter["mean_kl_nats"] <= certificate.SMALL_SHARE * moved,
        "against_quantized": against_quantised,
        "near_what_was_trained": against_quantised is None
        or against_quantised["mean_kl_nats"] <= certificate.QUANTISED_KL,
    }


def _precision(merged: Subject, plan: _Plan, unchanged: float) -> str:
    """What the numbers' formats change, in words."""
    own, into = model.dtype_name(model.own_dtype(merged.base)), model.dtype_name(plan.dtype)
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}[into]
    said = f"The base is held in {own}, the merged model in {into}: W + s B A is rounded to "
    said += f"{bits} significant bits, where base plus adapter adds the two at every product."
    if unchanged > _FEW:
        said += (
            f" Of the weights that it changes {unchanged:.0%} stay as they were: their change is "
        )
        said += "under half a unit in the last place."
    how = merged.config.model.quantization
    if how != "none":
        held = "8 bits" if how == "int8" else f"4 bits ({how})"
        said += f" The adapter was trained on the base in {held} and is merged into the whole one."
    return said


def _refuse_beyond(body: dict[str, Any], *, accept: bool) -> None:
    if body["within_bounds"] or accept:
        return
    bound = body["bounds"]
    raise WorkbenchError(
        "The merged model is not near enough to base plus adapter: mean KL "
        f"{body['mean_kl_nats']:.2e} nats (bound {bound['mean_kl_nats']:g}), same most likely "
        f"token at {body['same_top_token']:.1%} of {body['positions']} positions (bound "
        f"{bound['same_top_token']:.0%}), largest logit difference "
        f"{body['largest_logit_difference']:.3g}.",
        "--dtype float32 rounds less; --accept keeps it as it is, with these figures in its "
        "certificate.",
    )


def _add_tokenizer(merged: Subject, folder: Path) -> None:
    own = merged.adapter.folder
    base_models.copy_tokenizer(own if golden.has_tokenizer(own) else merged.base, folder)


def _untie(base: PreTrainedModel) -> None:
    """Give the head weights of its own where it has those of the embeddings, and an adapter is
    on one of them: merged into both it would be another model."""
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    adapters = [end for end in (embedding, head) if isinstance(end, BaseTunerLayer)]
    if adapters and embeddings.are_tied(base):
        layer: Any = head.get_base_layer() if isinstance(head, BaseTunerLayer) else head
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        base.config.tie_word_embeddings = False


if __name__ == "__main__":
    sys.exit(run_job(merge, sys.argv[1:]))
