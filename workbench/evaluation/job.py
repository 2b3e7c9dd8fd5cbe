"""The evaluation process: `python -m workbench.evaluation.job EVALUATION_FOLDER`.

The base and what the run made of it answer the same held-out rows. The folder ends with
`outputs.jsonl` (a row an item) and `metrics.json`.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import json
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation.generate import answer, greedy
from workbench.evaluation.request import OUTPUTS, SCORES, read_request, result, systems_of
from workbench.evaluation.scoring import system_scores
from workbench.evaluation.systems import Systems
from workbench.files import write_json, write_text
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.jobs.runner import run_job
from workbench.tracking import inputs, manifest, runs
from workbench.training import checks, encoding, model
from workbench.training.batches import Layout, Row
from workbench.training.loss import OnRows, TrainedTokenLoss, causal_model, row_losses
from workbench.training.memory import advised
from workbench.workspace import Workspace


def evaluate(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Evaluate base and adapter, or base and tuned model, as the folder's request says.

    Raises Stopped after the current batch once a person asks for it.
    """
    request = read_request(folder)
    run = folder.parent.parent
    workspace = Workspace(run.parent.parent)
    config = runs.load_config(run)
    base_folder = inputs.base_folder(run)
    template = inputs.load_template(run)
    tell = ProgressLog(log, control)
    model.quieten()
    tell("loading the models", 0, 1)
    device = model.pick_device()
    made = result(run)
    systems = Systems(config, base_folder, made, device, template.new_ids)
    tell("encoding the rows", 0, 1)
    examples = _held_out(workspace, config)
    accepted = encoding.unproved_accepted(config)
    limit = config.data.validation_rows
    split = encoding.encode(examples, template, config.data, limit, accepted)
    rows = split.rows
    if not rows:
        raise WorkbenchError(
            f"Every validation row is over data.max_length ({config.data.max_length} tokens).",
            "Raise data.max_length, or import shorter rows for validation.",
        )
    # The first of those whose loss is measured: both kinds of figure are of the same rows.
    # Plain text asks nothing.
    asking = (place for place in split.places if not examples[place].text)
    asked = {place: examples[place] for place in islice(asking, request.rows)}
    longest = max(len(row) for row in rows)
    layout = Layout(config.evaluation.batch_size, longest, template.pad_id, packed=False)
    losses: dict[str, list[float]] = {}
    answers: dict[str, list[str]] = {}

    def measure(system: str) -> None:
        # In a function of its own: no name keeps one model while the next is loaded.
        with systems.of(system) as network, advised(config, "evaluating"):
            apart = checks.positions_depend_on_batch(network, longest)
            losses[system] = row_losses(
                TrainedTokenLoss(network),
                rows,
                replace(layout, size=1) if apart else layout,
                _on_rows(tell, f"loss of the {system}", len(rows)),
            )
            said = answer(
                causal_model(network),
                template,
                list(asked.values()),
                max_new_tokens=request.max_new_tokens,
                batch_size=config.evaluation.batch_size,
                on_rows=_on_rows(tell, f"answers of the {system}", len(asked)),
            )
            answers[system] = [one.text for one in said]

    for system in systems_of(made):
        measure(system)
    how = {
        "generation": greedy(template, request.max_new_tokens),
        "environment": {
            **manifest.environment(),
            "device": model.device_name(device),
            "dtype": model.dtype_name(model.training_dtype(config, device)),
            "threads": torch.get_num_threads(),
        },
    }
    _write(folder, config, template, request.to_json(), how, asked, rows, losses, answers)
    return Finished(stopped=False, result=SCORES)


def _held_out(workspace: Workspace, config: RunConfig) -> list[Example]:
    version = versions.resolve(workspace, config.data.dataset)
    examples = list(versions.read(version, "validation"))
    if not examples:
        raise WorkbenchError(
            f"{version.reference} has no validation split to evaluate on.",
            "Import it again with --validation 0.1.",
        )
    return examples


def _on_rows(tell: Tell, phase: str, total: int) -> OnRows:
    tell(phase, 0, total, "rows")
    return lambda done: tell(phase, done, total, "rows")


def _write(
    folder: Path,
    config: RunConfig,
    template: ChatTemplate,
    request: dict[str, Any],
    how: dict[str, Any],
    asked: dict[int, Example],
    rows: list[Row],
    losses: dict[str, list[float]],
    answers: dict[str, list[str]],
) -> None:
    lines = [
        {
            "key": f"validation-{place}",
            "prompt": [message.to_json() for message in example.prompt],
            "reference": example.response,
            "task": example.task,
            "source": example.source,
            "outputs": {system: answers[system][number] for system in answers},
        }
        for number, (place, example) in enumerate(asked.items())
    ]
    write_text(
        folder / OUTPUTS, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    )
    references = [example.response for example in asked.values()]
    tokens = [row.trained_tokens for row in rows]
    write_json(
        folder / SCORES,
        {
            "v": 1,
            "request": request,
            "dataset": config.data.dataset,
            "template": template.fingerprint(),
            "rows": {"loss": len(rows), "answers": len(asked)},
            "trained_tokens": sum(tokens),
            **how,
            "systems": {
                system: system_scores(answers[system], references, losses[system], tokens)
                for system in answers
            },
        },
    )


if __name__ == "__main__":
    sys.exit(run_job(evaluate, sys.argv[1:]))
