"""The table of how often a run sees the rows of each task, for verbs that start or check one."""

from __future__ import annotations

from typing import Any

from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.text import visible
from workbench.tracking import exposure
from workbench.verbs.common import table
from workbench.workspace import Workspace


def of(workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    """For `--json`: `tasks`, and `warnings` in words; of a mixture that isn't made yet its
    `parts`. Raises WorkbenchError when a version isn't there, or can't be read."""
    version = None
    if config.data.mixture:
        from workbench.tracking import mixtures

        mixture = mixtures.of(workspace, config)
        version = mixtures.find(workspace, mixture)
        if version is None:
            parts = [planned.to_json() for planned in mixture.preview()]
            return {"dataset": mixture.name, "parts": parts, "tasks": [], "warnings": []}
    version = version or versions.resolve(workspace, config.data.dataset)
    lengths = None
    if exposure.depends_on_lengths(config):
        from workbench.planning import known

        lengths = known.train_lengths(workspace, config, version)
    found = exposure.by_task(version, config, lengths)
    return {
        "dataset": version.reference,
        "tasks": [entry.to_json() for entry in found],
        "warnings": exposure.warnings(found),
    }


def text(result: dict[str, Any]) -> str:
    """The same for a person."""
    if "parts" in result:
        from workbench.verbs.mix import shares

        lines = [f"{result['dataset']}, mixed when a run of it is made:", shares(result["parts"])]
        return visible("\n".join(lines))
    rows = [
        [entry["task"] or "–", entry["rows"], entry["different_rows"], _epochs(entry["epochs"])]
        for entry in result["tasks"]
    ]
    columns = ("task", "training rows", "different", "epochs of each")
    lines = [result["dataset"], table(columns, rows), *result["warnings"]]
    return visible("\n".join(lines))


def _epochs(epochs: float | None) -> str:
    return "–" if epochs is None else f"{epochs:.2f}"
