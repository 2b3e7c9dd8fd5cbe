"""The search for near-duplicates as a job: `python -m workbench.data.curate.duplicates_job FOLDER`.

It changes nothing: the task's folder ends with `findings.jsonl` (a line a near-duplicate, rows
counted from 1) and `summary.json`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from workbench.data import versions
from workbench.data.curate import duplicates
from workbench.data.curate.duplicates import Finding
from workbench.data.example import Example
from workbench.files import read_json_object, write_json, writing
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace

KIND = "near-duplicates"
FINDINGS = "findings.jsonl"
_SUMMARY = "summary.json"
_LARGEST = 10
"""Clusters that a summary names."""


def start(workspace: Workspace, reference: str, threshold: float) -> Path:
    """Start the search in a dataset version as a task; returns the task's folder.

    Raises WorkbenchError when there is no such version, or the threshold is none.
    """
    duplicates.check_threshold(threshold)
    version = versions.resolve(workspace, reference)
    request = {"dataset": version.reference, "threshold": threshold}
    return tasks.start(workspace, KIND, "workbench.data.curate.duplicates_job", request)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Search as the folder's request says.

    Raises Stopped, with no findings written, once a person asks for it.
    """
    request = tasks.read_request(folder)
    version = versions.resolve(tasks.workspace_of(folder), request["dataset"])
    rows = versions.Rows(version)
    threshold = request["threshold"]
    tell = ProgressLog(log, control)
    found = list(duplicates.annotate(rows, threshold=threshold, tell=tell))
    crossing = 0
    with writing(folder / FINDINGS) as stream:
        for finding in found:
            line = _line(finding, rows)
            crossing += line["split"] != line["of_split"]
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    write_json(folder / _SUMMARY, _summary(version.reference, threshold, rows, found, crossing))
    return Finished(stopped=False, result=FINDINGS)


def read_summary(folder: Path) -> dict[str, Any]:
    """What a search that has finished found, in figures."""
    return read_json_object(folder / _SUMMARY)


def _line(finding: Finding, rows: Sequence[Example]) -> dict[str, Any]:
    row, of = rows[finding.row], rows[finding.duplicate_of]
    return {
        "row": finding.row + 1,
        "duplicate_of": finding.duplicate_of + 1,
        "jaccard": round(finding.jaccard, 4),
        "split": row.split,
        "of_split": of.split,
        "source": row.source,
        "of_source": of.source,
    }


def _summary(
    reference: str,
    threshold: float,
    rows: Sequence[Example],
    found: Sequence[Finding],
    crossing: int,
) -> dict[str, Any]:
    sizes = Counter(finding.duplicate_of for finding in found)
    return {
        "v": 1,
        "dataset": reference,
        "rows": len(rows),
        "near_duplicates": len(found),
        "clusters": len(sizes),
        "across_splits": crossing,
        "same_words": sum(finding.jaccard == 1 for finding in found),
        "largest_clusters": [
            {"row": row + 1, "rows": size + 1} for row, size in sizes.most_common(_LARGEST)
        ],
        "how": {
            "threshold": threshold,
            "gram": duplicates.GRAM,
            "permutations": duplicates.PERMUTATIONS,
            "bands": duplicates.BANDS,
            "rensa": version_of("rensa"),
        },
    }


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
