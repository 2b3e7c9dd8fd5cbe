"""`workbench runs examples` and `workbench runs hardest`: from a curve to the rows behind it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, say, table
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.data.example import Example

_LIMIT = 20
_EPOCHS = 6
"""Losses of a row that are shown."""
_SHOWN = 60
"""Characters of a prompt and of a response that are printed."""
_KEPT = 300
"""Those that --json gives."""


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two to `workbench runs`."""
    examples = leaf(
        verbs,
        "examples",
        help="the examples of a step, the highest loss first",
        run=_examples,
        show=_show_examples,
    )
    add_run(examples)
    examples.add_argument("--step", type=int, required=True, metavar="N", help="from 1")
    hardest = leaf(
        verbs,
        "hardest",
        help="the rows that were hardest to learn: mislabelled ones are among them",
        run=_hardest,
        show=_show_hardest,
    )
    add_run(hardest)
    hardest.add_argument(
        "--never-learnt",
        action="store_true",
        help="only those that are among the worst tenth of every epoch",
    )
    hardest.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help="default: 20")
    hardest.add_argument("--task", metavar="TASK", help="only rows of the task")


class _Rows:
    """The rows of a run's dataset version, where that is still there."""

    def __init__(self, workspace: Workspace, made: Any) -> None:
        from workbench.data.table import Table
        from workbench.errors import WorkbenchError

        try:
            self._table: Table | None = Table(made.version(workspace).data_path)
        except WorkbenchError as error:
            self._table = None
            say(str(error))

    def example(self, row: int) -> Example | None:
        """A row from 1; None where it isn't there."""
        if self._table is None or not 1 <= row <= len(self._table):
            return None
        return self._table[row - 1]

    def about(self, row: int) -> dict[str, Any]:
        example = self.example(row)
        if example is None:
            return {"task": None, "prompt": None, "response": None}
        return {
            "task": example.task,
            "prompt": example.instruction[:_KEPT],
            # Plain text is learnt as a response is.
            "response": (example.text or example.response)[:_KEPT],
        }


def _examples(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.learning import log
    from workbench.learning.learnt import OfRun

    workspace = Workspace.find(args.workspace)
    run = finding.find(workspace, args.reference)
    made = OfRun.read(run)
    losses = log.of_step(run, args.step)
    rows = _Rows(workspace, made)
    return {
        "run": run.name,
        "dataset": made.reference,
        "step": args.step,
        "epoch": losses[0].epoch,
        "examples": [
            {"row": one.row, "loss": one.loss, "tokens": one.tokens, **rows.about(one.row)}
            for one in losses
        ],
    }


def _show_examples(result: dict[str, Any]) -> None:
    examples = result["examples"]
    count = f"{len(examples)} example{'s' * (len(examples) != 1)}"
    print(
        f"{result['run']}, step {result['step']}, epoch {result['epoch']}: {count} of "
        f"{result['dataset']}"
    )
    rows = [
        [e["row"], "none" if e["loss"] is None else f"{e['loss']:.4f}", e["tokens"], *_texts(e)]
        for e in examples
    ]
    print(table(["row", "loss", "tokens", "task", "prompt", "response"], rows))


def _hardest(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.learning.learnt import OfRun

    workspace = Workspace.find(args.workspace)
    run = finding.find(workspace, args.reference)
    made = OfRun.read(run)
    courses = made.courses()
    rows = _Rows(workspace, made)

    def found() -> Iterator[dict[str, Any]]:
        for place in courses.never_learnt if args.never_learnt else courses.order:
            about = rows.about(place + 1)
            if args.task is None or about["task"] == args.task:
                course = courses.of(place)
                assert course is not None, "it was ranked"  # noqa: S101
                yield {**course.to_json(), **about}

    hardest: list[dict[str, Any]] = []
    for row in found():
        if len(hardest) >= max(0, args.limit):
            break
        hardest.append(row)
    return {
        "run": run.name,
        "dataset": made.reference,
        "epochs": courses.epochs,
        "learnt": len(courses),
        "never_learnt": len(courses.never_learnt),
        "without_number": courses.without_number,
        "damaged_lines": courses.damaged,
        "without_prompt": courses.compares,
        "rows": hardest,
    }


def _show_hardest(result: dict[str, Any]) -> None:
    from workbench.learning.courses import evenly

    epochs = result["epochs"]
    shown = evenly(len(epochs), _EPOCHS)
    print(
        f"{result['run']}: {result['learnt']:,} rows of {result['dataset']}, "
        f"{len(epochs)} epoch{'s' * (len(epochs) != 1)}, "
        f"{result['never_learnt']:,} never learnt"
    )
    if not result["without_prompt"]:
        print("by their loss alone: what they lose without their prompts wasn't measured")
    if result["without_number"]:
        print(f"{result['without_number']:,} rows have no loss that is a number")
    if result["damaged_lines"]:
        print(f"{result['damaged_lines']:,} lines of examples.jsonl can't be used")
    if len(shown) < len(epochs):
        print(f"losses of the epochs {', '.join(str(epochs[place]) for place in shown)}")
    wanted = [str(epochs[place]) for place in shown]
    rows = [
        [
            row["rank"],
            row["row"],
            " ".join(_loss(row["losses"], epoch) for epoch in wanted),
            f"{row['hardness']:.1f}",
            f"{row['confidence']:.2f}",
            f"{row['variability']:.2f}",
            "never learnt" if row["never_learnt"] else row["region"],
            *_texts(row),
        ]
        for row in result["rows"]
    ]
    if rows:
        headers = "rank row losses hardness confidence variability region task prompt response"
        print(table(headers.split(), rows))


def _loss(losses: dict[str, float | None], epoch: str) -> str:
    """A dash for an epoch that hasn't taken the row yet."""
    loss = losses.get(epoch)
    return "–" if epoch not in losses else "none" if loss is None else f"{loss:.2f}"


def _texts(row: dict[str, Any]) -> list[str]:
    texts = (row[name] or "" for name in ("prompt", "response"))
    return [row["task"] or "", *(visible(text[:_SHOWN], one_line=True) for text in texts)]
