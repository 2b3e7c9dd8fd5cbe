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
from workbench.jobs import launcher
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress, Started
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.tracking import card, inputs, manifest, runs
from workbench.training import batches, checkpoint, model
from workbench.training.batches import EncodedSplit
from workbench.training.loop import Loop
from workbench.training.memory import advised
from workbench.training.ranks import Ranks
from workbench.workspace import Workspace

Splits = tuple[EncodedSplit, EncodedSplit]
"""For training and for validation."""


def make_ready(folder: Path, log: LogWriter, control: Control) -> Splits:
    """The encoded rows of the run in `folder`, its inputs proved those that it began with.

    Raises Stopped when that was asked for meanwhile.
    """
    config = runs.load_config(folder)
    template = inputs.load_template(folder)
    log.write(Progress("hashing the data and the base model", 0, 1))
    inputs.pin(folder, template)
    _warn_of_length(config, inputs.base_folder(folder), log)
    control.end_if_asked(log, put_off=True)
    splits = _encoded(folder, config, template, log)
    control.end_if_asked(log, put_off=True)
    return splits


def train(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Train the run in `folder`, from the start or from its newest checkpoint.

    A rank finds the run made ready; the first one writes what there is one of.
    """
    config = runs.load_config(folder)
    base_folder = inputs.base_folder(folder)
    template = inputs.load_template(folder)
    if launcher.is_rank():
        train_split, validation_split = _encoded(folder, config, template, log)
    else:
        train_split, validation_split = make_ready(folder, log, control)
    ranks = Ranks.join()

    model.offline()
    device = model.pick_device()
    log.write(Progress("loading the base model", 0, 1))
    with advised(config, "loading"):
        base = model.load_base(base_folder, config.model, _loading_device(config, device))
        adapted = model.add_adapter(base, config)
    loop = Loop(
        config,
        adapted,
        train_split.rows,
        validation_split.rows,
        pad_id=template.pad_id,
        folder=folder,
        log=log,
        control=control,
    )
    if ranks.count == 1:
        # Several hear it together, in the loop: the others would wait for one that leaves here.
        control.end_if_asked(log, put_off=True)
    first_step = loop.resume()
    dtype = model.dtype_name(model.pick_dtype(config.model, device))
    trainable, total = model.count_parameters(adapted)
    if ranks.first:
        began_on = _environment(adapted, device, dtype) | {"processes": ranks.count}
        manifest.add_start(folder, began_on, first_step)
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
    adapter = folder / "adapter"
    if ranks.first:
        _save_final(loop, folder, base_folder)
        manifest.update(folder, adapter={p.name: sha256_file(p) for p in _weights(adapter)})
    ranks.leave()
    return Finished(stopped=outcome.stopped, step=outcome.step, result=adapter.name)


def _loading_device(config: RunConfig, device: torch.device) -> torch.device:
    """Where the base is loaded: one that is going to be spread may be too large for a GPU.

    A 4-bit one isn't, and its constants would stay where it was quantised.
    """
    whole = config.job.sharding == "none" or config.model.quantization != "none"
    return device if whole else torch.device("cpu")


def _encoded(folder: Path, config: RunConfig, template: ChatTemplate, log: LogWriter) -> Splits:
    log.write(Progress("encoding the data", 0, 1))
    return encode_splits(Workspace(folder.parent.parent), config, template, log)


def encode_splits(
    workspace: Workspace, config: RunConfig, template: ChatTemplate, log: LogWriter
) -> Splits:
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
