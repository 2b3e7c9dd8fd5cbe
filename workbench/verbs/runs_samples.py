"""`workbench runs samples`: what a model said to the fixed prompts at each evaluation."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import visible
from workbench.tracking import finding
from workbench.verbs.common import leaf, table, width
from workbench.verbs.naming import add_run
from workbench.workspace import Workspace

_NO_SAMPLES = (
    "Nothing was answered in {run}: with evaluation.samples or evaluation.sample_prompts, and "
    "a validation split, the model answers at each evaluation."
)
_COLUMNS = 60
"""Of a table without its answers."""
_LEAST = 24
"""Characters that are shown of an answer at least."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `workbench runs`."""
    told = leaf(
        verbs,
        "samples",
        help="what the model said to the same prompts at each evaluation, with what is wrong",
        run=_samples,
        show=_show,
    )
    add_run(told)
    told.add_argument(
        "--row",
        type=int,
        metavar="N",
        help="one prompt, its answers whole: its line in the dataset version; 0: your own prompts",
    )
    told.add_argument("--step", type=int, metavar="N", help="one evaluation, by its step")
    told.add_argument(
        "--diff", action="store_true", help="what changed since the evaluation before"
    )


def _samples(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.data.word_diff import word_diff
    from workbench.tracking import samples

    folder = finding.find(Workspace.find(args.workspace), args.reference)
    read = samples.read(folder)
    body = read.to_json()
    _refuse_unknown("row", args.row, sorted({prompt.row for prompt in read.prompts}), read.run)
    _refuse_unknown("step", args.step, read.steps, read.run)
    kept = []
    for prompt, told in zip(read.prompts, body["prompts"], strict=True):
        if args.row not in (None, prompt.row):
            continue
        if args.diff:
            for output in told["outputs"]:
                before = prompt.before(output["step"])
                pieces = word_diff(before.answer, output["answer"]) if before else None
                output["diff"] = pieces
        told["outputs"] = [o for o in told["outputs"] if args.step in (None, o["step"])]
        kept.append(told)
    body["prompts"] = kept
    body["whole"] = args.row is not None or args.diff
    return body


def _refuse_unknown(what: str, wanted: int | None, known: Any, run: str) -> None:
    if wanted is not None and wanted not in known:
        there = ", ".join(map(str, known)) or "none"
        raise WorkbenchError(
            f"{run} has no sample of {what} {wanted}.", f"Those that it has: {there}."
        )


def _show(body: dict[str, Any]) -> None:
    if not body["prompts"]:
        print(_NO_SAMPLES.format(run=body["run"]))
        return
    since = body["degenerate_since"]
    began = "" if since is None else f"; something is wrong at every evaluation since step {since}"
    print(f"{body['run']}: greedy answers at {len(body['steps'])} evaluations{began}\n")
    if body["whole"]:
        for prompt in body["prompts"]:
            _show_prompt(prompt)
    else:
        print(table(["prompt", "step", "tokens", "marks", "answer"], list(_rows(body))))
        print(f"\n{_legend(body)}")


def _rows(body: dict[str, Any]) -> Iterator[list[object]]:
    longest = max(_LEAST, shutil.get_terminal_size().columns - _COLUMNS // 2)
    for prompt in body["prompts"]:
        name = _name(prompt)
        for output in prompt["outputs"]:
            answer = " ".join(output["answer"].split())
            shown = answer if len(answer) <= longest else f"{answer[: longest - 1]}…"
            marks = "".join(mark["letter"] for mark in output["marks"]) or "·"
            tokens = "–" if output["tokens"] is None else output["tokens"]
            yield [
                name,
                output["step"],
                tokens,
                marks,
                "(as before)" if output["same"] else shown,
            ]


def _legend(body: dict[str, Any]) -> str:
    from workbench.degeneration.marks import RULES

    used = {m["name"] for p in body["prompts"] for o in p["outputs"] for m in o["marks"]}
    parts = [f"{rule.letter} {rule.what}" for rule in RULES.values() if rule.name in used]
    more = "--row N shows answers whole, with the figures; --diff what changed."
    said = textwrap.fill("; ".join(parts) or "· nothing is wrong", width())
    return f"{said}\n{more}"


def _show_prompt(prompt: dict[str, Any]) -> None:
    from workbench.tracking.samples import in_words

    print(f"=== {_name(prompt)}\n{visible(prompt['prompt'])}")
    if prompt["reference"] is not None:
        print(f"\n--- the dataset's answer\n{visible(prompt['reference'])}")
    for output in prompt["outputs"]:
        tokens = "" if output["tokens"] is None else f", {output['tokens']} tokens"
        same = ", as before" if output["same"] else ""
        print(f"\n--- step {output['step']}{tokens}{same}")
        for mark in output["marks"]:
            print(visible(f"{mark['letter']} {mark['name']}: {mark['reason']}", one_line=True))
        pieces = output.get("diff")
        print(visible(in_words(pieces) if pieces else output["answer"]))
    print()


def _name(prompt: dict[str, Any]) -> str:
    from workbench.tracking.words import prompt_name

    return prompt_name(prompt["row"])
