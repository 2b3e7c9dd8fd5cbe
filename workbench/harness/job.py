"""The process: `python -m workbench.harness.job EVALUATION_FOLDER`.

All systems are asked the same tasks by lm-evaluation-harness. Each answer is in the workspace's
cache as soon as it is there, so that a job which was killed goes on where it was. The folder ends
with `harness.json`, and with what lm_eval has written in `lm_eval/SYSTEM/`.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import functools
import logging
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from lm_eval import __version__ as VERSION
from lm_eval import evaluator
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks.manager import TaskDict
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation import sources
from workbench.evaluation.kept import KeptFile
from workbench.evaluation.sources import Source
from workbench.evaluation.systems import Systems
from workbench.files import write_json
from workbench.harness import results, scoring
from workbench.harness.language_model import Asked
from workbench.harness.request import RAW, RESULT, Request, read_request
from workbench.harness.tasks import Tasks, shut_doors
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.tracking import inputs, manifest, runs
from workbench.training import model
from workbench.training.memory import advised
from workbench.workspace import Workspace

_CODE = 1
"""Of the code that asks; raised whenever it would give other answers."""
_RESAMPLES = 1000
"""Of lm_eval's own bootstrap, where it has no formula for a standard error: its 100,000 take
minutes, and are shown for figures alone of which no documents are logged."""
_CACHE = "harness"


def evaluate(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Run the tasks of the folder's request. Raises Stopped after the current batch once a person
    asks for it."""
    request = read_request(folder)
    run = folder.parent.parent
    config = runs.load_config(run)
    compared = sources.systems(run, request.runs, request.models)
    template = inputs.load_template(run)
    tell = ProgressLog(log, control)
    model.quieten()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    shut_doors(request)
    tell("reading the tasks", 0, 1)
    tasks = Tasks(request)
    tasks.load()  # what is wrong with one is said before a model is loaded
    device = model.pick_device()
    systems = Systems(config, compared, device, template.new_ids)
    tokenizer = _tokenizer(run, config)
    files = functools.cache(manifest.model_files)
    where = {
        "device": device.type,
        "dtype": model.dtype_name(model.training_dtype(config, device)),
    }
    cache = Workspace(run.parent.parent).cache / _CACHE
    found = []
    for source in compared:
        tell(f"loading {source.name}", 0, 1)
        known = KeptFile(cache, _identity(source, files, config, template, request, where))
        with systems.of(source) as network, advised(config, "evaluating"):
            asked = Asked(
                network,
                tokenizer,
                template,
                name=source.name,
                batch=request.batch or config.evaluation.batch_size,
                chat=request.chat,
                known=known,
                fresh=request.fresh,
                tell=tell,
            )
            raw = _run(asked, tasks.load(), request, folder / RAW / source.name)
        found.append(results.read(raw, source.name))
    result = scoring.score(found, tell=tell)
    for note in result["notes"]:
        log.write(Notice(note, "warning"))
    about = {
        "request": request.to_json(),
        "template": template.fingerprint() if request.chat else None,
        "environment": {
            **manifest.environment(),
            **where,
            "device": model.device_name(device),
            "threads": torch.get_num_threads(),
        },
    }
    write_json(folder / RESULT, {**about, **result})
    return Finished(stopped=False, result=RESULT)


def _run(asked: Asked, tasks: TaskDict, request: Request, folder: Path) -> Path:
    """Have lm_eval ask one system; returns the file of its results."""
    # As lm_eval's own command begins each run.
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    torch.manual_seed(DEFAULT_OTHER_SEED)
    try:
        found = evaluator.evaluate(
            asked,
            tasks,
            limit=request.limit,
            apply_chat_template=request.chat,
            fewshot_as_multiturn=True,
            bootstrap_iters=_RESAMPLES,
        )
    except (ValueError, AssertionError, LookupError, TemplateError) as error:
        # What a task wants and this model or template can't.
        reason = " ".join(str(error).split())[:300]
        raise WorkbenchError(f"lm_eval can't run this: {reason}") from error
    samples = found.pop("samples")
    found |= {"lm_eval_version": VERSION, "config": {"model": folder.name, **request.to_json()}}
    tracker = EvaluationTracker(output_path=str(folder / "results.json"))
    tracker.save_results_aggregated(results=found, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)
    return results.find(folder)


def _tokenizer(run: Path, config: RunConfig) -> PreTrainedTokenizerBase:
    """That of the base, with the tokens that the run adds."""
    folder = inputs.base_folder(run)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (ValueError, OSError, KeyError) as error:
        raise WorkbenchError(f"The tokenizer in {folder} can't be loaded: {error}") from error
    tokenizer.add_tokens([AddedToken(n, normalized=False) for n in config.model.new_tokens])
    return tokenizer


def _identity(
    source: Source,
    files: Any,
    config: RunConfig,
    template: ChatTemplate,
    request: Request,
    where: dict[str, str],
) -> dict[str, Any]:
    """All that decides what a system says to a request of lm_eval, whose text holds all else."""
    return {
        **sources.weights(source, files, config),
        "tokenizer": template.fingerprint(),
        "stops": sorted(template.stop_ids) if request.chat else None,
        "where": where,
        "packages": sources.packages("lm_eval", "torch", "transformers", "peft", "bitsandbytes"),
        "code": _CODE,
    }


if __name__ == "__main__":
    sys.exit(run_job(evaluate, sys.argv[1:]))
