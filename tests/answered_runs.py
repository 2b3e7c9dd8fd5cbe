"""Runs with an evaluation, made by hand: what systems answered, scores and marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.workspace import Workspace

LOOP = "and so on and " * 12
ROWS: list[tuple[str, str, dict[str, str]]] = [
    ("qa", "Which sea?", {"base": "the red sea", "tuned": "the dead sea"}),
    ("qa", "Which town?", {"base": "Oslo", "tuned": "Oslo!"}),
    ("sum", "Say it in one word, rain or snow.", {"base": LOOP, "tuned": "snow"}),
    ("sum", "And again", {"base": "", "tuned": "x" * 300}),
]
SCORES = [(0.5, 0.25), (1.0, 1.0), (0.0, 0.75), (0.25, 0.0)]
MARKS: list[tuple[list[str], list[str]]] = [
    ([], []),
    ([], ["refusal"]),
    (["loop", "degenerate"], []),
    (["empty", "degenerate"], ["copied"]),
]


def evaluation(
    workspace: Workspace,
    run: str,
    rows: list[tuple[str, str, dict[str, str]]],
    names: Mapping[str, str] = {"base": "base", "tuned": "adapter"},
    *,
    scored: bool = True,
) -> Path:
    """The folder of a run's evaluation, with these outputs."""
    folder = workspace.runs / run / "evaluations" / "01"
    folder.mkdir(parents=True)
    (workspace.runs / run / "manifest.json").write_text("{}")
    said, found = [], []
    for place, (task, prompt, texts) in enumerate(rows):
        key = f"validation-{place}"
        renamed = {names[name]: text for name, text in texts.items()}
        body = {"key": key, "task": task, "prompt": prompt, "reference": "snow"}
        said.append({**body, "outputs": renamed, "stopped": dict.fromkeys(renamed, True)})
        scores = dict(
            zip(renamed, ({"rouge_l": s, "loss": 2 * s} for s in SCORES[place]), strict=True)
        )
        marks = dict(zip(renamed, MARKS[place], strict=True))
        found.append(
            {"key": key, "scores": scores, "marks": marks, "contaminated": key == "validation-1"}
        )
    write(folder / "outputs.jsonl", said)
    if scored:
        write(folder / "scores.jsonl", found)
    (folder / "metrics.json").write_text("{}")
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
