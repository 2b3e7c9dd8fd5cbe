"""What a tracker is told of a run besides its curves.

Named one by one: neither the command that started it, nor where, nor its environment goes along,
and what looks like a secret in the rest is taken out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.files import read_json_object
from workbench.redaction import redact, redacted
from workbench.tracking import manifest, notes, runs

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Description:
    name: str
    """The run's id."""
    identity: str
    """Sixteen hexadecimal digits, of this run alone; a copy of its folder has the same."""
    config: dict[str, Plain]
    """Hyperparameters by their paths (`lora.rank`), and what the run was made of (`dataset.sha256`,
    `base.name`)."""
    tags: list[str]
    notes: str
    scores: dict[str, float]
    """Of its newest evaluation, by names such as `evaluation/adapter/rouge_l`; each has its
    interval's bounds beside it."""

    def markdown(self) -> str:
        """Tags, notes and config, for a page of text."""
        lines = [f"Tags: {', '.join(self.tags)}", ""] if self.tags else []
        lines += [self.notes, ""] if self.notes else []
        lines += ["| field | value |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in self.config.items()]
        return "\n".join(lines)


def digest(told: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits, others for something else that is to be told."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def describe(run: Path) -> Description:
    """What is told of a run. Raises WorkbenchError where its manifest can't be read."""
    made = manifest.read(run)
    noted = notes.look(run)
    starts = made.get("starts") or [{}]
    environment = starts[-1].get("environment") or {}
    told = {
        **made.get("config", {}),
        "dataset": made.get("dataset"),
        "mixture": made.get("mixture"),
        "base": made.get("base"),
        "git": made.get("git"),
        "workbench": made.get("workbench"),
        "packages": environment.get("packages"),
    }
    seed = f"{run.name} {made.get('created')}"
    return Description(
        name=run.name,
        identity=hashlib.sha256(seed.encode()).hexdigest()[:16],
        config=dict(_flat(redacted(told))),
        tags=list(noted.tags),
        notes=redact("\n\n".join(note.text for note in noted.notes)),
        scores=_scores(run),
    )


def _scores(run: Path) -> dict[str, float]:
    newest = runs.newest_evaluation(run)
    if newest is None:
        return {}
    found: dict[str, float] = {}
    for system, metrics in read_json_object(newest / "metrics.json").get("systems", {}).items():
        for name, metric in metrics.items():
            for part, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
                figure = metric.get(part)
                if isinstance(figure, int | float) and math.isfinite(figure):
                    found[f"evaluation/{system}/{name}{ending}"] = float(figure)
    return found


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Plain]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        elif isinstance(inner, list | tuple):
            yield prefix + name, json.dumps(inner, ensure_ascii=False)
        elif inner is not None:
            yield prefix + name, inner


def _cell(value: Plain) -> str:
    return str(value).replace("|", r"\|").replace("\n", " ")
