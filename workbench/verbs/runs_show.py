"""`workbench runs show`: what produced a run, and how it ended, for a person."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Iterator
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding, soundness
from workbench.tracking.finding import ADAPTER, MODEL
from workbench.verbs.common import leaf, width
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace

_DIGITS = 16
"""Of a hash; `--json` has it whole."""
_LABEL = 12
_KNOWN = (
    "v",
    "run",
    "created",
    "date",
    "workbench",
    "command",
    "working_folder",
    "repeat",
    "config",
    "seeds",
    "dataset",
    "mixture",
    "other_datasets",
    "base",
    "git",
    "template",
    "gate",
    "tokens",
    "starts",
    "step",
    "ended",
    "repeats",
    ADAPTER,
    MODEL,
)
"""Sections of a manifest that are told by name; any other is shown as it stands."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench runs`."""
    show = leaf(verbs, "show", help="what produced a run", run=_run, show=_show)
    add_run(show)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.tracking import manifest, runs

    workspace = Workspace.find(args.workspace)
    folder = finding.find(workspace, args.reference)
    (summary,) = soundness.with_bases([runs.listed(folder)])
    made: dict[str, Any] | None
    try:
        made = manifest.read(folder)
    except WorkbenchError:
        made = None
    problems = list(summary.problems)
    try:
        runs.load_config(folder)
    except WorkbenchError as error:
        # Why a glance at it found it wrong, or what a glance can't see.
        problems = [problem for problem in problems if runs.CONFIG not in problem]
        problems.append(" ".join(error.message.split()))
    return {"summary": summary.to_json() | {"problems": problems}, "manifest": made}


def _show(result: dict[str, Any]) -> None:
    for line in _lines(result["summary"], result["manifest"]):
        print(visible(line, one_line=True))


def _lines(summary: dict[str, Any], made: dict[str, Any] | None) -> Iterator[str]:
    yield f"{summary['id']}  {summary['status']}" + (
        f"  step {summary['step']}/{summary['total_steps']}" if summary["total_steps"] else ""
    )
    yield from _wrapped(summary["text"])
    for problem in summary["problems"]:
        yield from _wrapped(problem, "! ")
    if summary["tags"]:
        yield " ".join(f"#{tag}" for tag in summary["tags"])
    for note in summary["notes"]:
        first, *more = note["text"].split("\n")
        yield f"{_date(note['time'])[:16]}  {first}"
        yield from (f"{'':16}  {line}" for line in more)
    if summary["notes_problem"]:
        yield from _wrapped(summary["notes_problem"], "! ")
    if made is None:
        return
    yield from _asked(made)
    yield from _made_of(made)
    yield from _config(made)
    for number, start in enumerate(made.get("starts", ()), 1):
        yield from _start(number, start)
    yield from _gate(made.get("gate"))
    yield from _ending(summary, made)
    for name in made:
        if name not in _KNOWN:
            yield from _row(name, str(made[name]))


def _asked(made: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield from _row("asked for", f"{_date(made['created'])}, with workbench {made['workbench']}")
    if made.get("repeats"):
        yield from _row("repeats", made["repeats"]["run"])
    if made.get("command"):
        yield from _row("command", made["command"])
        yield from _row("in", made["working_folder"])
    yield from _row("repeat", made["repeat"])
    if git := made.get("git"):
        place = f" in {git['folder']}" if git.get("folder") else ""
        changed = ", with uncommitted changes" if git["dirty"] else ""
        yield from _row("git", f"{git['commit'][:_DIGITS]}{changed}{place}")


def _made_of(made: dict[str, Any]) -> Iterator[str]:
    base = made["base"]
    yield ""
    at = f" at commit {base['revision']}" if base.get("revision") else ""
    yield from _row("base", base["name"] + at)
    for name, digest in base.get("files", {}).items():
        yield _hash(name, digest)
    if template := made.get("template"):
        if "tokenizer" in template:
            yield _hash("tokenizer, as it is read", template["tokenizer"])
            yield _hash("chat template", template["chat_template"])
        yield _hash("both", template["sha256"])
        yield from _row("", f"dates in the template: {made.get('date', 'those of its creation')}")
    for dataset in (made["dataset"], *made.get("other_datasets", ())):
        label = dataset.get("for", "dataset")
        rows = f"{dataset['rows']:,} rows" if "rows" in dataset else ""
        yield from _row(label, f"{dataset['name']}@{dataset['version']}  {rows}")
        yield _hash("its rows", dataset["sha256"])
    if made.get("mixture"):
        shares = ", ".join(f"{name} {share:g}" for name, share in made["mixture"].items())
        yield from _row("mixture", shares)
    for split, told in (made.get("tokens") or {}).items():
        yield _hash(
            f"{split}: {told['rows']:,} rows, {told['tokens']:,} tokens, "
            f"{told['trained_tokens']:,} trained",
            told["sha256"],
        )
    seeds = ", ".join(f"{name} {seed}" for name, seed in made.get("seeds", {}).items())
    if seeds:
        yield from _row("seeds", seeds)


def _config(made: dict[str, Any]) -> Iterator[str]:
    """What differs from the defaults."""
    from workbench.config import loading

    yield ""
    try:
        config = loading.parse(made["config"], origin="The manifest's config")
    except WorkbenchError as error:
        yield from _row("config", f"of another release: {error.message}")
        return
    yield "config, where it is not as by default"
    for item in loading.fields():
        value = loading.value_at(config, item.path)
        if value != item.default and item.path not in ("name", "data.dataset", "model.base"):
            yield from _hanging(f"  {item.path}: ", loading.value_text(value))


def _start(number: int, start: dict[str, Any]) -> Iterator[str]:
    around = start["environment"]
    after = start["resumed_from"]
    yield ""
    place = f"after step {after}" if after else "from the beginning"
    rows = start.get("micro_batch")
    at_once = f", {rows} rows at once" if rows else ""
    yield from _row(f"start {number}", f"{_date(start['time'])}, {place}{at_once}")
    for name in ("device", "dtype", "trained_dtype", "attention", "threads", "processes"):
        if around.get(name) is not None:
            yield from _row("", f"{name.replace('_', ' ')}: {around[name]}")
    if nvidia := around.get("nvidia"):
        gpus = ", ".join(gpu["name"] for gpu in nvidia["gpus"])
        yield from _row("", f"driver {nvidia['driver']}, {gpus}")
    for name in ("cuda", "cudnn"):
        if around.get(name) is not None:
            yield from _row("", f"{name}: {around[name]}")
    machine = [around.get(name) for name in ("host", "processor", "platform")]
    yield from _row("machine", ", ".join(part for part in machine if part))
    if code := around.get("workbench"):
        commit = f", commit {code['commit'][:_DIGITS]}" if code["commit"] else ""
        yield from _row(
            "code", f"workbench {code['version']}, SHA-256 {code['sha256'][:_DIGITS]}{commit}"
        )
    named = [f"{name} {version}" for name, version in around["packages"].items() if version]
    others = len(around.get("other_packages", ()))
    more = f"; and {others} more" if others else ""
    yield from _row("packages", f"Python {around['python']}, {', '.join(named)}{more}")


def _gate(gate: dict[str, Any] | None) -> Iterator[str]:
    """What was said of the run's data before it started, a line a finding."""
    if not gate:
        return
    yield ""
    yield "gate" if gate["passed"] else "gate: refused"
    for found in gate["findings"]:
        level = "accepted" if found["name"] in gate["accepted"] else found["level"]
        yield from _hanging(f"  {level:8} {found['name']}: ", found["text"], 11)
    for name in gate["unneeded"]:
        yield f"  {'unneeded':8} {name}"


def _ending(summary: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    yield ""
    if ended := made.get("ended"):
        yield from _row("ended", f"{_date(ended['time'])}, {ended['status']}: {ended['text']}")
        if log := ended["log"]:
            yield _hash(f"train.jsonl to event {log['seq']}", log["sha256"])
    elif made.get("starts"):
        yield from _row("ended", "the manifest is not closed: it goes on, or nobody saw its end")
    if summary["loss"] is not None:
        yield from _row("loss", f"{summary['loss']:.4f} at step {summary['step']}")
    if summary["best_validation_loss"] is not None:
        first, best = summary["first_validation_loss"], summary["best_validation_loss"]
        yield from _row("validation", f"{first:.4f} at the start, {best:.4f} at best")
    for kind in (ADAPTER, MODEL):
        if files := made.get(kind):
            yield from _row(kind, f"of step {made.get('step', '?')}")
            yield from (_hash(name, digest) for name, digest in files.items())
    for label in ("scores", "harness"):
        for system, scores in summary[label].items():
            told = ", ".join(
                f"{name} {value:.4f}" for name, value in scores.items() if value is not None
            )
            yield from _row(label, f"{system}: {told}")
    for alarm in summary["alarms"]:
        yield from _row(alarm["severity"], f"{alarm['name']}: {alarm['text']}")


def _row(label: str, text: str) -> Iterator[str]:
    yield from _hanging(f"{label:{_LABEL}} ", text, _LABEL + 1)


def _hanging(head: str, text: str, indent: int = 4) -> Iterator[str]:
    """As many lines as it takes; what is longer than a line is never cut: it may be a path."""
    yield from textwrap.wrap(
        visible(str(text), one_line=True),
        width(),
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _wrapped(text: str, mark: str = "") -> Iterator[str]:
    yield from _hanging(mark, text, len(mark))


def _hash(name: str, digest: str) -> str:
    return f"{'':{_LABEL}} {name:46.46}  {digest[:_DIGITS]}".rstrip()


def _date(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))
