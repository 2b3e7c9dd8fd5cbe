"""A run's report: what it was, what it did, what came of it, how to repeat it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.errors import WorkbenchError
from workbench.evaluation.request import read_scores
from workbench.files import write_text
from workbench.jobs.log import read_all
from workbench.review import sessions
from workbench.review.wording import report_lines
from workbench.tracking import manifest, runs
from workbench.tracking.view import RunView, duration
from workbench.workspace import Workspace

REPORT = "report.md"


def write(workspace: Workspace, run: Path) -> Path:
    """Write the report of a run into its folder, and return its path."""
    path = run / REPORT
    write_text(path, "\n".join(_lines(workspace, run)) + "\n")
    return path


def _lines(workspace: Workspace, run: Path) -> Iterator[str]:
    made = manifest.read(run)
    summary = runs.summarise(run)
    yield f"# Run {run.name}"
    yield ""
    yield f"{summary.text} Asked for on {_date(made['created'])},"
    yield f"with workbench {made['workbench']}."
    yield ""
    yield "## What was trained"
    yield ""
    yield from _origin(made)
    yield ""
    yield "## How it went"
    yield ""
    yield from course(run)
    yield ""
    yield "## What came of it"
    yield ""
    yield from scores(run)
    yield ""
    yield from _reviews(workspace, run)
    yield ""
    yield "## How to repeat it"
    yield ""
    yield f"    {runs.repeating(run)}"
    yield ""
    yield "The config names the dataset version by its content, so the same rows are used."


def _origin(made: dict[str, Any]) -> Iterator[str]:
    dataset, base = made["dataset"], made["base"]
    yield f"- Base model: {base['name']}" + (
        f" at commit {base['revision']}" if base.get("revision") else ""
    )
    for name, digest in base.get("files", {}).items():
        yield f"  - {name}: SHA-256 {digest}"
    yield f"- Dataset: {dataset['name']}@{dataset['version']}, {dataset['rows']} rows,"
    yield f"  SHA-256 {dataset['sha256']}"
    for start in made.get("starts", ()):
        environment = start["environment"]
        packages = ", ".join(f"{n} {v}" for n, v in environment["packages"].items() if v)
        yield f"- {_date(start['time'])}, after step {start['resumed_from']}:"
        yield f"  {environment['device']}, {environment['dtype']};"
        yield f"  Python {environment['python']}; {packages}"
    yield "- What differs from the defaults:"
    config = loading.parse(made["config"], origin="The manifest's config")
    for item in loading.fields():
        value = loading.value_at(config, item.path)
        if value != item.default and item.path not in ("name", "data.dataset"):
            yield f"  - {item.path}: {value}"


def course(run: Path) -> Iterator[str]:
    """How a training went: steps, tokens, losses."""
    view = RunView()
    view.feed(read_all(run / runs.LOG))
    if view.started is None or view.first_step is None or view.last_step is None:
        yield "It took no step."
        return
    started = view.started
    share = started.trainable_parameters / started.parameters
    yield f"- {view.step} of {view.total_steps} steps in {duration(view.seconds)}"
    yield f"- {view.tokens:,} tokens, {view.trained_tokens:,} of them trained"
    yield f"- {started.trainable_parameters:,} of {started.parameters:,} parameters ({share:.2%})"
    yield f"- training loss {view.first_step.loss:.4f} -> {view.last_step.loss:.4f}"
    for evaluation in view.evaluations:
        yield f"- validation loss after step {evaluation.step}: {evaluation.loss:.4f}"


def scores(run: Path) -> Iterator[str]:
    """The newest evaluation's figures, as a table."""
    newest = runs.newest_evaluation(run)
    if newest is None:
        yield "It has not been evaluated: `workbench eval`."
        return
    measured = read_scores(newest)
    systems = measured["systems"]
    yield f"| figure | {' | '.join(systems)} |"
    yield f"|---|{'---|' * len(systems)}"
    for name in next(iter(systems.values())):
        cells = (_cell(systems[system][name]) for system in systems)
        yield f"| {name.replace('_', ' ')} | {' | '.join(cells)} |"
    counts = measured["rows"]
    yield ""
    yield f"Loss over {counts['loss']} validation rows, answers to {counts['answers']} of them;"
    yield "in brackets 95 % bootstrap intervals."


def _cell(figure: dict[str, Any]) -> str:
    if None in figure.values():
        return "–"
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def _reviews(workspace: Workspace, run: Path) -> Iterator[str]:
    try:
        session = sessions.open(workspace, run.name)
    except WorkbenchError:
        yield "No person has judged it: `workbench review create`."
        return
    yield f"Blind review session {session.name}:"
    yield ""
    for line in report_lines(session.report().to_json()):
        yield f"- {line}" if line.strip() else ""


def _date(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(then))
