"""What a report's figures do not say: how few rows they are of, what may be chance, what was never
looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.jobs.events import Skipped
from workbench.reporting.found import Body, Found, readable
from workbench.statistics.bootstrap import FEW
from workbench.statistics.proportions import wilson
from workbench.tracking.columns import at

ALPHA = 0.05
_LEAKS = ("near-duplicates-across-splits", "contamination-of-validation")
"""Findings of `data.gate` by their names."""
_NAMED = 12
"""Measures that a sentence names."""


def of_run(found: Found) -> list[str]:
    """What can't be concluded of one run, in sentences."""
    parts = (_training(found), _data(found), _measured(found), _judged(found))
    return [sentence for part in parts for sentence in readable(part)]


def of_several(runs: Sequence[Found], body: Body) -> list[str]:
    """What can't be concluded of several runs; `body` is as `comparing.whole` makes it."""
    parts = (_causes(runs, body), _pairs(body), *(_own(run) for run in runs))
    return [sentence for part in parts for sentence in readable(part)]


def told_apart(compared: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The comparisons that hold after Holm's correction, and those that may be chance: each as
    `exact match`, with `of RUN` where there are several."""
    shown: list[str] = []
    unsure: list[str] = []
    several = len({one["to"] for one in compared}) > 1
    for one in compared:
        name = str(one["measure"]).replace("_", " ")
        name = f"{name} of {one['to']}" if several else name
        p = one.get("p_holm")
        (shown if p is not None and p <= ALPHA else unsure).append(name)
    return shown, unsure


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, the first of many."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _own(found: Found) -> Iterator[str]:
    for part in (_training(found, seeds=False), _data(found)):
        yield from (f"{found.id}: {sentence}" for sentence in readable(part))


def _training(found: Found, *, seeds: bool = True) -> Iterator[str]:
    line, view = found.summary, found.view
    if line.status != "finished":
        yield (
            f"It has not finished, as far as its files tell: its state is {line.status}, at step "
            f"{view.step} of {view.total_steps or '?'}."
        )
    if seeds:
        seed = at(found.config, "training.seed")
        yield (
            f"It is one run{'' if seed is None else f', with seed {seed}'}: how much of any figure "
            "is the seed's is not known. Runs with other seeds would tell."
        )
    if skipped := found.counts[Skipped.type]:
        yield f"{skipped:,} of its steps did nothing, for a loss or gradient was no number."
    if found.alarms is not None and found.alarms.standing:
        names = [episode.alarm.name for episode in found.alarms.standing]
        yield f"Alarms stood at the end: {listed(names)}."
    if view.evaluations and at(found.config, "checkpoints.result") == "best":
        yield (
            "The checkpoint was chosen by the validation loss, so what is measured on the same "
            "rows is too good."
        )
    git = found.section("git")
    if git.get("dirty"):
        yield "The checkout that it was started in had changes that no commit has."


def _data(found: Found) -> Iterator[str]:
    gate = found.section("gate")
    names = {one["name"]: one for one in gate.get("findings", ())}
    for name in _LEAKS:
        one = names.get(name)
        if one is None:
            yield f"Whether training rows hold validation rows was not checked ({name})."
        elif one["level"] != "ok":
            yield f"Validation rows may have been trained on: {one['text']}."


def _measured(found: Found) -> Iterator[str]:
    scores = found.scores
    if scores is None:
        if not found.harness:
            yield "Nothing was measured of its answers; a loss does not say whether they are good."
        return
    counts = scores.get("rows", {})
    if answers := counts.get("answers", 0):
        low, high = wilson(answers / 2, answers)
        yield (
            f"Answers to {answers:,} rows: a share near one half is known to "
            f"{(high - low) / 2 * 100:.0f} points either way."
        )
        if answers < FEW:
            yield f"Of fewer than {FEW} answers bootstrap intervals are too narrow."
    else:
        yield "No answers were generated: only losses were measured."
    yield from _lost(counts)
    compared = scores.get("comparisons") or []
    if not compared:
        yield "Nothing was tested against the base."
    shown, unsure = told_apart(compared)
    if compared:
        yield (
            f"Changes from the base that hold at {ALPHA} after Holm's correction: "
            f"{listed(shown) or 'none'}."
        )
    if unsure:
        yield f"Not told apart from no change: {listed(unsure)}."
    if not at(found.config, "evaluation.against") and not found.harness:
        yield (
            "It was measured on held-out rows of its own data: what it has unlearnt of other tasks "
            "is not known."
        )


def _lost(counts: Body) -> Iterator[str]:
    if missing := sum(number for number in (counts.get("without_output") or {}).values() if number):
        yield f"{missing:,} outputs are missing, and count for nothing."
    if without := counts.get("without_reference"):
        yield f"{without:,} rows have no reference to be held against."
    if contaminated := counts.get("contaminated"):
        yield f"A training row holds {contaminated:,} of the measured rows."


def _judged(found: Found) -> Iterator[str]:
    if not any(session.locked is not None for session in found.sessions):
        yield "No person's judgement stands behind it."


def _causes(runs: Sequence[Found], body: Body) -> Iterator[str]:
    differ = [row["name"] for row in body["config"]]
    seed = "training.seed"
    others = [name for name in differ if name != seed]
    if len(others) > 1:
        yield (
            f"{len(others)} fields of the configs differ: no difference between the runs can be "
            "put down to one of them."
        )
    if not differ:
        yield "The configs are the same: what differs is of the data, the machine or chance."
    if others:
        yield (
            "Each setting was tried with one seed: part of every difference may be the seed's. "
            "`workbench sweep` runs several."
            if seed not in differ
            else "Seeds differ as well as settings: what is whose is not known."
        )
    if any(not one["same"] for one in body.get("data", ())):
        yield "They were trained on different rows, and the validation losses may be of others."
    if body["environment"]:
        yield "They were not made with the same programs or machine."


def _pairs(body: Body) -> Iterator[str]:
    paired = body.get("paired", {})
    if problem := paired.get("problem"):
        yield f"No paired test: {' '.join(problem.split())}"
        return
    rows = paired.get("rows", 0)
    yield f"Rows that all runs answered, or have a loss of: {rows:,}."
    if rows < FEW:
        yield f"Of fewer than {FEW} rows bootstrap intervals are too narrow."
    if len(body["runs"]) > 2:
        yield "Each run is tested against the first; the others are not tested among themselves."
