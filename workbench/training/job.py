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
from workbench.data import versions
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.files import building_folder, read_json_object, sha256_file
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress, Started
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.tracking import card, inputs, manifest, runs
from workbench.tracking.finding import ADAPTER, MODEL
from workbench.training import batches, model, saving
from workbench.training.batches import EncodedSplit
from workbench.training.loop import Loop
from workbench.training.memory import advised
from workbench.training.saving import Trained
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
    log.write(Progress("encoding the data", 0, 1))
    train_split, validation_split = encode_splits(workspace, config, template, log)
    control.end_if_asked(log, put_off=True)

    model.offline()
    device = model.pick_device()
    log.write(Progress("loading the base model", 0, 1))
    with advised(config, "loading"):
        trained = model.load_to_train(base_folder, config, device, template.new_ids)
    loop = Loop(
        config,
        trained,
        train_split.rows,
        validation_split.rows,
        pad_id=template.pad_id,
        folder=folder,
        log=log,
        control=control,
    )
    control.end_if_asked(log, put_off=True)
    first_step = loop.resume()
    dtype = model.dtype_name(model.training_dtype(config, device))
    trainable, total = model.count_parameters(trained)
    manifest.add_start(folder, _environment(trained, device, dtype), first_step)
    log.write(
        Started(
            total_steps=loop.schedule.total_steps,
            epochs=round(loop.schedule.epoch_after(loop.schedule.total_steps), 3),
            train_rows=len(train_split.rows),
            validation_rows=len(validation_split.rows),
            train_tokens=train_split.tokens,
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
    result = _save_final(loop, folder, base_folder, template)
    made = {result.name: {p.name: sha256_file(p) for p in _weights(result)}}
    manifest.update(folder, **made)
    return Finished(stopped=outcome.stopped, step=outcome.step, result=result.name)


def encode_splits(
    workspace: Workspace, config: RunConfig, template: ChatTemplate, log: LogWriter
) -> tuple[EncodedSplit, EncodedSplit]:
    """Both splits, encoded. Raises WorkbenchError when there is nothing to train on."""
    version = versions.resolve(workspace, config.data.dataset)
    examples = list(versions.read(version, "train"))
    if config.data.train_rows is not None:
        examples = batches.sample(examples, config.data.train_rows, config.training.seed)
    train_split = batches.encode(examples, template, config.data)
    validation_split = batches.encode(
        versions.read(version, "validation"),
        template,
        config.data,
        config.data.validation_rows,
    )
    for name, split in (("training", train_split), ("validation", validation_split)):
        if split.dropped:
            limit = config.data.max_length
            text = f"{split.dropped} {name} rows over {limit} tokens are left out."
            log.write(Notice(text, "warning"))
    if not train_split.rows:
        raise WorkbenchError(
            f"The dataset version {version.reference} has no row to train on.",
            "`workbench data show` prints its rows; data.max_length may be too small.",
        )
    if not validation_split.rows:
        log.write(Notice("There is no validation split: overfitting can't be seen.", "warning"))
    return train_split, validation_split


def _warn_of_length(config: RunConfig, base: Path, log: LogWriter) -> None:
    context = read_json_object(base / "config.json").get("max_position_embeddings")
    if isinstance(context, int) and config.data.max_length > context:
        text = (
            f"data.max_length ({config.data.max_length} tokens) is over the longest context of "
            f"the base ({context}): what stands behind that in a row is at places it never saw."
        )
        log.write(Notice(text, "warning"))


def _environment(trained: Trained, device: torch.device, dtype: str) -> dict[str, Any]:
    return {
        **manifest.environment(),
        "device": model.device_name(device),
        "dtype": dtype,
        "trained_dtype": model.trained_dtypes(trained),
        "attention": getattr(trained.config, "_attn_implementation", None),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "threads": torch.get_num_threads(),
    }


def _save_final(loop: Loop, run: Path, base: Path, template: ChatTemplate) -> Path:
    """The folder of the adapter, or of the model, with the tokenizer and the template that it
    was trained with."""
    trained = loop.peft_model
    result = run / (ADAPTER if isinstance(trained, PeftModel) else MODEL)
    if result.exists():
        shutil.rmtree(result)
    name = loop.config.model.base
    if isinstance(trained, PeftModel) and (at := base_models.revision(name, base)) is not None:
        # Known everywhere, where the path of this machine's cache is not.
        kept = trained.peft_config["default"]
        kept.base_model_name_or_path, kept.revision = name, at
    with building_folder(result) as building:
        saving.save_result(trained, building)
        base_models.copy_tokenizer(base, building)
        template.save_new_tokens(building)
        card.write(run, building)
    return result


def _weights(result: Path) -> list[Path]:
    return sorted(result.glob("*.safetensors"))


if __name__ == "__main__":
    sys.exit(run_job(train, sys.argv[1:]))
