"""The evaluation process: `python -m workbench.evaluation.job EVALUATION_FOLDER`.

All systems answer the same held-out rows. Each answer is in the workspace's cache as soon as it
is there, so that an evaluation which was killed goes on where it was. The folder ends with
`outputs.jsonl` (a row an item), `losses.jsonl`, `scores.jsonl` (by row) and `metrics.json`.
"""

from __future__ import annotations

from workbench.training import start_up  # noqa: F401 (before anything that imports torch)

# isort: split

import json
import sys
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.evaluation import rescoring, sources
from workbench.evaluation import rows as scored_rows
from workbench.evaluation.answering import Answering
from workbench.evaluation.answers import Answer
from workbench.evaluation.generate import settings
from workbench.evaluation.request import SCORES, Request, read_request
from workbench.evaluation.rows import (
    LOSSES,
    OUTPUTS,
    conversation,
    loss_line,
    references_of,
    words,
)
from workbench.evaluation.sources import Source
from workbench.evaluation.systems import Systems
from workbench.files import write_text
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog, Tell
from workbench.jobs.runner import run_job
from workbench.tracking import finding, inputs, manifest, runs
from workbench.training import checks, encoding, model
from workbench.training.batches import Layout, Row
from workbench.training.loss import OnRows, TrainedTokenLoss, causal_model, row_losses
from workbench.training.memory import advised
from workbench.training.saving import Trained
from workbench.workspace import Workspace


def evaluate(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Evaluate base and adapter, or whichever systems the folder's request names.

    Raises Stopped after the current batch once a person asks for it.
    """
    request = read_request(folder)
    run = folder.parent.parent
    workspace = Workspace(run.parent.parent)
    config = runs.load_config(run)
    compared = sources.of(run, request)
    template = inputs.load_template(run)
    tell = ProgressLog(log, control)
    _warn_of_other_rows(workspace, run, request, log)
    model.quieten()
    device = model.pick_device()
    systems = Systems(config, compared, device, template.new_ids)
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
    answering = Answering(workspace, config, template, request, list(asked.values()), device)
    measured = {source.name: Measured() for source in compared}

    def measure(source: Source) -> None:
        # In a function of its own: no name keeps one model while the next is loaded.
        tell(f"loading {source.name}", 0, 1)
        with systems.of(source) as network:
            into = measured[source.name]
            into.losses = _losses(network, config, rows, template, _on_rows(tell, source, rows))
            if request.engine == "transformers":
                # Fewer rows at once are tried by themselves: it was not enough for one.
                with advised(config, "loading"):
                    into.answers = answering.by(source, causal_model(network), tell)

    for source in compared:
        measure(source)
    if request.engine != "transformers":
        systems.drop()
        for source, answers in answering.by_vllm(compared, tell):
            measured[source.name].answers = answers
    how = {
        "generation": settings(template, request.sampling) | _engine(request),
        "answers": answering.identities,
        "environment": {
            **manifest.environment(),
            "device": model.device_name(device),
            "dtype": model.dtype_name(model.training_dtype(config, device)),
            "threads": torch.get_num_threads(),
        },
    }
    lost = {place: examples[place] for place in split.places}
    _write(folder, asked, lost, rows, measured)
    tell("reading the dataset", 0, 1)
    data = rescoring.data_of_run(run)
    scored = rescoring.score_folder(folder, request.scoring(), data, tell=tell)
    about = {
        "request": request.to_json(),
        "dataset": config.data.dataset,
        "template": template.fingerprint(),
        "trained_tokens": sum(row.trained_tokens for row in rows),
        **how,
    }
    rescoring.save(folder, scored, about)
    return Finished(stopped=False, result=SCORES)


@dataclass(slots=True)
class Measured:
    """What is found out of one system."""

    losses: list[float] = field(default_factory=list)
    """Sum in nats of each row."""
    answers: list[Answer] = field(default_factory=list)


def _losses(
    network: Trained,
    config: RunConfig,
    rows: list[Row],
    template: ChatTemplate,
    on_rows: OnRows,
) -> list[float]:
    longest = max(len(row) for row in rows)
    layout = Layout(config.evaluation.batch_size, longest, template.pad_id, packed=False)
    if checks.positions_depend_on_batch(network, longest):
        layout = replace(layout, size=1)
    with advised(config, "evaluating"):
        return row_losses(TrainedTokenLoss(network), rows, layout, on_rows)


def _warn_of_other_rows(workspace: Workspace, run: Path, request: Request, log: LogWriter) -> None:
    """Say which of the runs were trained on other rows than those that are held out here."""
    mine = manifest.read(run)["dataset"]["sha256"]
    for name in request.runs:
        other = finding.find(workspace, name)
        theirs = manifest.read(other)["dataset"]
        if theirs["sha256"] != mine:
            text = (
                f"{other.name} was trained on {theirs['name']}@{theirs['version'][:12]}: the rows "
                "that are held out here may be among those that it has learnt."
            )
            log.write(Notice(text, "warning"))


def _engine(request: Request) -> dict[str, str]:
    return {} if request.engine == "transformers" else {"engine": request.engine}


def _held_out(workspace: Workspace, config: RunConfig) -> list[Example]:
    version = versions.resolve(workspace, config.data.dataset)
    examples = list(versions.read(version, "validation"))
    if not examples:
        raise WorkbenchError(
            f"{version.reference} has no validation split to evaluate on.",
            "Import it again with --validation 0.1.",
        )
    return examples


def _on_rows(tell: Tell, source: Source, rows: list[Row]) -> OnRows:
    phase, total = f"loss of {source.name}", len(rows)
    tell(phase, 0, total, "rows")
    return lambda done: tell(phase, done, total, "rows")


def _write(
    folder: Path,
    asked: dict[int, Example],
    lost: dict[int, Example],
    rows: list[Row],
    measured: dict[str, Measured],
) -> None:
    """What the figures are made of: an output a row that was asked, a loss a row that has one."""

    def by_system(number: int, name: str) -> dict[str, Any]:
        return {system: getattr(of.answers[number], name) for system, of in measured.items()}

    outputs = [
        {
            "key": _key(place),
            "prompt": [message.to_json() for message in example.prompt],
            "reference": example.response,
            "references": references_of(example),
            "task": example.task,
            "source": example.source,
            "outputs": by_system(number, "text"),
            "tokens": by_system(number, "tokens"),
            "stopped": by_system(number, "stopped"),
            "seconds": by_system(number, "seconds"),
        }
        for number, (place, example) in enumerate(asked.items())
    ]
    _write_lines(folder / OUTPUTS, outputs)
    losses = [
        loss_line(
            scored_rows.Row(
                _key(place),
                task=example.task,
                losses={system: of.losses[number] for system, of in measured.items()},
                trained_tokens=rows[number].trained_tokens,
                prompt_words=None if example.text else words(_prompt(example)),
                reference_words=words(example.text or example.response),
            )
        )
        for number, (place, example) in enumerate(lost.items())
    ]
    _write_lines(folder / LOSSES, losses)


def _key(place: int) -> str:
    return f"validation-{place}"


def _prompt(example: Example) -> str:
    return conversation([message.to_json() for message in example.prompt])


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


if __name__ == "__main__":
    sys.exit(run_job(evaluate, sys.argv[1:]))
