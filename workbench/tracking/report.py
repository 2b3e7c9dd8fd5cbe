"""A run's report: what it was, what it did, what came of it, how to repeat it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.config import loading
from workbench.config.section import weights_in_words
from workbench.export.request import CERTIFICATE, read_request
from workbench.files import read_json, write_text
from workbench.review import sessions
from workbench.review.wording import report_lines
from workbench.tracking import figures, finding, manifest, runs
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
    yield from figures.course(run)
    yield ""
    yield from figures.alarms(run)
    yield from figures.expectations(run)
    yield "## What came of it"
    yield ""
    yield from figures.scores(run)
    yield ""
    yield from _exports(run)
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
    if mixture := made.get("mixture"):
        yield f"  mixed of {weights_in_words(mixture)}"
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


def _exports(run: Path) -> Iterator[str]:
    """The adapter or the model, and the merged models that are still where they were put."""
    if (made := finding.result(run)) is not None:
        yield f"- {made.name.capitalize()}: {made}"
    requests = sorted((run / "exports").glob("*/request.json"))
    for target in dict.fromkeys(Path(read_request(r.parent).target) for r in requests):
        if (target / CERTIFICATE).exists():
            found = read_json(target / CERTIFICATE)
            yield f"- Merged model: {target}"
            yield f"  (same most likely token as base plus adapter at {found['same_top_token']:.1%}"
            yield f"  of {found['positions']} positions, mean KL {found['mean_kl_nats']:.1e} nats)"
        elif (target / "config.json").exists():
            yield f"- Copy of the model: {target}"
    yield ""


def _reviews(workspace: Workspace, run: Path) -> Iterator[str]:
    found = sessions.of_run(workspace, run)
    if not found:
        yield "No person has judged it: `workbench review create`."
    for session in found:
        yield f"Blind review session {session.name}:"
        yield ""
        for line in report_lines(session.report().to_json()):
            yield f"- {line}" if line.strip() else ""


def _date(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(then))
