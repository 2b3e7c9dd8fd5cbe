"""The training process: `python -m workbench.training.job RUN_FOLDER`."""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from workbench import base_models
from workbench.config import processes
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate, MaskError
from workbench.files import building_folder
from workbench.jobs import launcher
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress, Started
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.tracking import card, inputs, manifest, runs
from workbench.tracking.finding import ADAPTER, MODEL
from workbench.training import embeddings, model, saving, unprompted
from workbench.training.batches import lengths_of
from workbench.training.foretelling import Foreteller
from workbench.training.loop import Loop, Outcome
from workbench.training.memory import advised
from workbench.training.proving import encoded, prove_inputs
from workbench.training.ranks import Ranks
from workbench.training.ready import Ready, make_ready
from workbench.training.saving import Trained
from workbench.training.surroundings import surroundings
from workbench.training.token_cache import EncodedRows
from workbench.training.unheeded import outgrown, unheeded
from workbench.training.validation import Samples
from workbench.workspace import Workspace


def train(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Train the run in `folder`, from the start or from its newest checkpoint.

    A rank finds the inputs proved; the first one writes what there is one of.
    """
    config = runs.load_config(folder)
    base = inputs.base_folder(folder)
    template = inputs.load_template(folder)
    if launcher.is_rank():
        train_rows, validation_rows = encoded(folder, config, template, log, control)
    else:
        train_rows, validation_rows = prove_inputs(folder, log, control)
    ranks = Ranks.join()

    model.quieten()
    device = model.pick_device()
    log.write(Progress("loading the base model", 0, 1))
    with advised(config, "loading"):
        at = _loading_device(config, device)
        trained = model.load_to_train(base, config, at, template.new_ids)
    embeddings.check_ids(trained, template, (train_rows, validation_rows))
    if ranks.count == 1:
        # Several hear it together, in the loop: the others would wait for one that leaves here.
        control.end_if_asked(log, put_off=True)
    foreteller = Foreteller(config, base, template, device)
    ready = make_ready(
        config,
        trained,
        train_rows,
        validation_rows,
        pad_id=template.pad_id,
        device=device,
        log=log,
        ranks=ranks,
        found=manifest.micro_batch(folder),
        foretell=foreteller.memory,
    )
    loop = Loop(
        config,
        ready,
        train_rows,
        validation_rows,
        samples=_samples(folder, config, template, log, ranks),
        empty_prompt=unprompted.empty_prompt(template),
        folder=folder,
        log=log,
        control=control,
        ranks=ranks,
    )
    if ranks.count == 1:
        control.end_if_asked(log, put_off=True)
    for text in unheeded(config, loop.schedule.total_steps, len(validation_rows)):
        log.write(Notice(text, "warning"))
    for text in outgrown(config, lengths_of(train_rows)):
        log.write(Notice(text))
    first_step = loop.resume()
    if ranks.first and (told := foreteller.time(folder, train_rows, validation_rows)):
        log.write(told)
    _tell_start(loop, ready, train_rows, validation_rows, folder, log, device, ranks, first_step)
    with advised(config, "training"):
        outcome = loop.run(first_step)
    return _finish(loop, outcome, folder, base, template, ranks)


def _finish(
    loop: Loop, outcome: Outcome, folder: Path, base: Path, template: ChatTemplate, ranks: Ranks
) -> Finished:
    if not outcome.step or outcome.preempted:
        # Who takes the node away waits for the checkpoint at most.
        ranks.leave()
        return Finished(stopped=outcome.stopped, step=outcome.step, preempted=outcome.preempted)
    # Of a stopped run, too: who stops on a plateau wants to evaluate what there is.
    step = outcome.step
    if loop.config.checkpoints.result == "best" and loop.best.step:
        step = loop.take_best()
    tensors = saving.trained_tensors(loop.model, keep=ranks.first)
    result = folder / (ADAPTER if isinstance(loop.model, PeftModel) else MODEL)
    if ranks.first:
        _save_result(loop, tensors, result, base, template)
        manifest.update(folder, **{result.name: manifest.result_files(result)}, step=step)
    ranks.leave()
    return Finished(stopped=outcome.stopped, step=step, result=result.name)


def _loading_device(config: RunConfig, device: torch.device) -> torch.device:
    """Where the base is loaded: one that is going to be spread may be too large for a GPU.

    A 4-bit one isn't, and its constants would stay where it was quantised.
    """
    spread = processes.spreads_weights(config) and config.model.quantization == "none"
    return torch.device("cpu") if spread else device


def _samples(
    folder: Path,
    config: RunConfig,
    template: ChatTemplate,
    log: LogWriter,
    ranks: Ranks,
) -> Samples:
    """The config's own prompts, and the first validation rows that ask something in no more
    tokens than a row may have: one that is left out, or cut, would be answered at its full length.

    None but for the first rank, which alone answers, and where the model is spread over ranks,
    which can only go through it together.
    """
    version = versions.resolve(Workspace(folder.parent.parent), config.data.dataset)
    wanted = ranks.first and version.splits.get("validation")
    evaluation = config.evaluation
    count, own = (evaluation.samples, evaluation.sample_prompts) if wanted else (0, [])
    if (count or own) and processes.spreads_weights(config):
        text = (
            "No rows are answered while it trains (evaluation.samples): the model is spread over "
            "the processes."
        )
        log.write(Notice(text))
        count, own = 0, []
    asking = (
        (number, example)
        for number, example in enumerate(versions.read(version), start=1)
        if example.split == "validation" and _asks(example, template, config.data.max_length)
    )
    prompts = [(0, Example((Message("user", prompt),))) for prompt in own]
    short = [one for one in prompts if _asks(one[1], template, config.data.max_length)]
    if left_out := len(prompts) - len(short):
        text = f"{left_out} of evaluation.sample_prompts are over data.max_length, and not asked."
        log.write(Notice(text, "warning"))
    return Samples([*short, *islice(asking, count)], template, evaluation)


def _asks(example: Example, template: ChatTemplate, limit: int) -> bool:
    """Whether a row asks something, in `limit` tokens at most."""
    try:
        return not example.text and len(template.prompt_of(example)) <= limit
    except MaskError:  # one that is left out, as the config accepts
        return False


def _tell_start(
    loop: Loop,
    ready: Ready,
    train_rows: EncodedRows,
    validation_rows: EncodedRows,
    folder: Path,
    log: LogWriter,
    device: torch.device,
    ranks: Ranks,
    first_step: int,
) -> None:
    dtype = model.dtype_name(model.training_dtype(loop.config, device))
    trainable, total = ready.parameters
    if ranks.first:
        began_on = _environment(loop.model, device, dtype) | {"processes": ranks.count}
        peak = (ready.rehearsed.peak, ready.rehearsed.forecast) if ready.rehearsed else None
        manifest.add_start(folder, began_on, first_step, ready.layout.size, peak)
    log.write(
        Started(
            total_steps=loop.schedule.total_steps,
            epochs=round(loop.schedule.epochs, 3),
            train_rows=len(train_rows),
            validation_rows=len(validation_rows),
            train_tokens=train_rows.tokens,
            trainable_parameters=trainable,
            parameters=total,
            device=model.device_name(device),
            dtype=dtype,
            resumed_from=first_step,
            adapter_dtype=model.trained_dtypes(loop.model),
            micro_batch=ready.layout.size,
            packed=ready.layout.packed,
            processes=ranks.count,
            micro_batch_tokens=ready.layout.tokens,
        )
    )


def _environment(trained: Trained, device: torch.device, dtype: str) -> dict[str, Any]:
    return {
        **surroundings(device),
        "dtype": dtype,
        "trained_dtype": model.trained_dtypes(trained),
        "attention": getattr(trained.config, "_attn_implementation", None),
    }


def _save_result(
    loop: Loop, tensors: saving.Tensors, result: Path, base: Path, template: ChatTemplate
) -> None:
    """The folder of the adapter, or of the model, with the tokenizer and the template that it
    was trained with."""
    if result.exists():
        shutil.rmtree(result)
    name, trained = loop.config.model.base, loop.model
    if isinstance(trained, PeftModel) and (at := base_models.revision(name, base)) is not None:
        # Known everywhere, where the path of this machine's cache is not.
        kept = trained.peft_config["default"]
        kept.base_model_name_or_path, kept.revision = name, at
    with building_folder(result) as building:
        saving.save_result(trained, building, tensors)
        base_models.copy_tokenizer(base, building)
        template.save_new_tokens(building)
        card.write(result.parent, building)


if __name__ == "__main__":
    sys.exit(run_job(train, sys.argv[1:]))
