"""The training process: `python -m workbench.training.job RUN_FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from workbench import base_models
from workbench.config.schema import RunConfig
from workbench.files import building_folder, read_json_object, sha256_file
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress, Started
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.tracking import card, inputs, manifest, runs
from workbench.training import checkpoint, encoding, model
from workbench.training.loop import Loop
from workbench.training.memory import advised
from workbench.workspace import Workspace


def train(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Train the run in `folder`, from the start or from its newest checkpoint."""
    workspace = Workspace(folder.parent.parent)
    config = runs.load_config(folder)
    base_folder = inputs.base_folder(folder)
    template = inputs.load_template(folder)
    log.write(Progress("hashing the data and the base model", 0, 1))
    inputs.pin(folder, template)
    _warn_of_length(config, base_folder, log)
    control.end_if_asked(log, put_off=True)
    train, validation = encoding.prepare(workspace, config, template, log, control)
    control.end_if_asked(log, put_off=True)

    model.offline()
    device = model.pick_device()
    log.write(Progress("loading the base model", 0, 1))
    with advised(config, "loading"):
        adapted = model.add_adapter(model.load_base(base_folder, config.model, device), config)
    loop = Loop(
        config,
        adapted,
        train,
        validation,
        pad_id=template.pad_id,
        folder=folder,
        log=log,
        control=control,
    )
    control.end_if_asked(log, put_off=True)
    first_step = loop.resume()
    dtype = model.dtype_name(model.pick_dtype(config.model, device))
    trainable, total = model.count_parameters(adapted)
    manifest.add_start(folder, _environment(adapted, device, dtype), first_step)
    log.write(
        Started(
            total_steps=loop.schedule.total_steps,
            epochs=round(loop.schedule.epoch_after(loop.schedule.total_steps), 3),
            train_rows=len(train),
            validation_rows=len(validation),
            train_tokens=train.tokens,
            trainable_parameters=trainable,
            parameters=total,
            device=model.device_name(device),
            dtype=dtype,
            resumed_from=first_step,
        )
    )
    with advised(config, "training"):
        outcome = loop.run(first_step)
    if not outcome.step or outcome.preempted:
        # Who takes the node away waits for the checkpoint at most.
        return Finished(stopped=outcome.stopped, step=outcome.step, preempted=outcome.preempted)
    # Of a stopped run, too: who stops on a plateau wants to evaluate what there is.
    adapter = folder / "adapter"
    _save_final(loop, folder, base_folder)
    manifest.update(folder, adapter={p.name: sha256_file(p) for p in _weights(adapter)})
    return Finished(stopped=outcome.stopped, step=outcome.step, result=adapter.name)


def _warn_of_length(config: RunConfig, base: Path, log: LogWriter) -> None:
    context = read_json_object(base / "config.json").get("max_position_embeddings")
    if isinstance(context, int) and config.data.max_length > context:
        text = (
            f"data.max_length ({config.data.max_length} tokens) is over the longest context of "
            f"the base ({context}): what stands behind that in a row is at places it never saw."
        )
        log.write(Notice(text, "warning"))


def _environment(adapted: PeftModel, device: torch.device, dtype: str) -> dict[str, Any]:
    return {
        **manifest.environment(),
        "device": model.device_name(device),
        "dtype": dtype,
        "attention": getattr(adapted.config, "_attn_implementation", None),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "threads": torch.get_num_threads(),
    }


def _save_final(loop: Loop, run: Path, base: Path) -> None:
    """The adapter's folder, with the tokenizer and the template that it was trained with."""
    adapter = run / "adapter"
    if adapter.exists():
        shutil.rmtree(adapter)
    name = loop.config.model.base
    if (revision := base_models.revision(name, base)) is not None:
        # Known everywhere, where the path of this machine's cache is not.
        kept = loop.peft_model.peft_config["default"]
        kept.base_model_name_or_path, kept.revision = name, revision
    with building_folder(adapter) as building:
        checkpoint.save_adapter(loop.peft_model, building)
        base_models.copy_tokenizer(base, building)
        card.write(run, building)


def _weights(adapter: Path) -> list[Path]:
    return sorted(adapter.glob("*.safetensors"))


if __name__ == "__main__":
    sys.exit(run_job(train, sys.argv[1:]))
