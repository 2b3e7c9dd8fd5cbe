"""The whole path on the default model and data: from an empty workspace to a merged model.

`prepare` gets everything ready and starts the training; the rest is a job of its own
(`python -m workbench.demo FOLDER`) that waits for the training and goes on with
evaluation, blind review session, adapter, merged model and report, whoever is watching.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.config import loading, saving
from workbench.data import stdlib_docs, versions
from workbench.errors import WorkbenchError
from workbench.evaluation import request
from workbench.export.request import CERTIFICATE, export_adapter, start_merge
from workbench.files import read_json
from workbench.jobs import launch
from workbench.jobs.control import Control
from workbench.jobs.events import Finished, Notice, Progress, Record
from workbench.jobs.log import LogWriter
from workbench.jobs.runner import run_job
from workbench.jobs.state import describe
from workbench.jobs.waiting import wait
from workbench.reporting import report
from workbench.review import sessions
from workbench.review.making import create_session, free_name
from workbench.review.sources import Source
from workbench.saying import Say
from workbench.tracking import runs
from workbench.workspace import Workspace

CONFIG = "demo"
FOLLOW_UP = "follow-up"
"""The folder, in the run's own, of the job that does what comes after the training."""

SETTINGS = (
    "name=demo",
    "data.max_length=256",
    "data.too_long=drop",
    "data.train_rows=320",
    "data.validation_rows=48",
    "training.batch_size=8",
    "training.accumulation=2",
    "training.max_steps=20",
    # A run of few steps wants a larger rate than one of thousands (about 15x full
    # fine-tuning's, where 10x is usual), and a small model bears it.
    "training.learning_rate=1e-3",
    "training.warmup_ratio=0.1",
    "evaluation.every=10",
    "evaluation.generate_rows=24",
    "evaluation.max_new_tokens=48",
    "evaluation.batch_size=24",
    "checkpoints.every=10",
)
"""Sized for two CPU cores and six minutes."""


def prepare(workspace: Workspace, say: Say, *, command: str) -> Path:
    """Make data, model and config, start the training and its follow-up; returns the run.

    Raises WorkbenchError for a full disk, an unreachable package index and the like.
    """
    workspace.ensure()
    version = stdlib_docs.build(workspace)
    say(f"dataset   {version.reference}: {version.rows} rows")
    for example, _ in zip(versions.read(version), range(2), strict=False):
        say(f"          {example.instruction}  ->  {example.response[:60]}")
    config = loading.default_config([*SETTINGS, f"data.dataset={version.reference}"])
    path = workspace.configs / f"{CONFIG}.yaml"
    saving.save_new(path, config)
    say(f"config    {path}")
    run = runs.create(workspace, config, command=command, say=lambda text: say(f"model     {text}"))
    runs.start(run)
    say(f"training  {run.name} has started; it outlives this terminal")
    launch.start(run / FOLLOW_UP, "workbench.demo")
    return run


def follow_up(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Everything after the training."""
    run = folder.parent
    workspace = Workspace(run.parent.parent)

    def tell(text: str) -> None:
        log.write(Notice(text))

    def stopped(text: str) -> Finished:
        tell(text)
        return Finished(stopped=True)

    if wait(run) != "finished":
        return stopped("The training was stopped; nothing is evaluated.")
    config = runs.load_config(run).evaluation
    tell("evaluating base and adapter on the validation split")
    asked = request.Request.of(config)
    evaluation = request.start(run, asked)
    if wait(evaluation, _relay(log)) != "finished":
        return stopped("The evaluation was stopped; there is nothing to review.")
    session = create_session(workspace, free_name(workspace), [Source.of(evaluation)])
    tell(f"review session {session.name}: {len(session.units)} blind pairs wait for a person")
    exports = workspace.root / "exports" / run.name
    adapter = export_adapter(run, exports / "adapter")
    tell(f"adapter saved to {adapter}")
    merged = exports / "merged"
    if wait(start_merge(run, merged), _relay(log)) != "finished":
        return stopped("The merge was stopped; there is no merged model.")
    tell(f"merged model saved to {merged}")
    tell(f"report written to {report.write(workspace, run)}")
    return Finished(stopped=False, result="report.md")


def outcome(workspace: Workspace, run: Path) -> dict[str, Any]:
    """What the demonstration made and measured.

    Raises WorkbenchError when it was stopped before it had made everything.
    """
    if describe(run / FOLLOW_UP)[0] in ("stopped", "pre-empted"):
        raise WorkbenchError(
            f"The demonstration was stopped before it had finished; {run.name} is kept.",
            f"`workbench train --resume {run.name}` goes on with its training, `workbench eval` "
            "and `workbench export` with the rest. `workbench demo` begins another.",
        )
    exports = workspace.root / "exports" / run.name
    evaluation = runs.newest_evaluation(run)
    review = sessions.of_run(workspace, run)[0]
    return {
        "run": runs.summarise(run).to_json(),
        "evaluation": request.read_scores(evaluation) if evaluation else None,
        "review": {"name": review.name, "items": len(review.units)},
        "adapter": str(exports / "adapter"),
        "merged": str(exports / "merged"),
        "merge": read_json(exports / "merged" / CERTIFICATE),
        "report": str(run / report.REPORT),
    }


def _relay(log: LogWriter) -> Callable[[list[Record]], None]:
    """Hands a job's progress on to the follow-up's own log."""

    def relay(records: list[Record]) -> None:
        for record in records:
            if isinstance(record.event, Progress | Notice):
                log.write(record.event)

    return relay


if __name__ == "__main__":
    sys.exit(run_job(follow_up, sys.argv[1:]))
