"""What a check finds in rows, with whatever it compares them with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.data import data_card, versions
from workbench.data.curate import store
from workbench.data.curate.checks import Check
from workbench.data.curate.findings import Finding
from workbench.data.curate.store import Findings
from workbench.data.example import Example
from workbench.data.table import Table
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell
from workbench.workspace import Workspace


def annotate(
    workspace: Workspace, rows: Sequence[Example], check: Check, options: Any, tell: Tell
) -> Iterator[Finding]:
    """What a check finds in `rows`. Raises WorkbenchError when a dataset that it is to compare
    them with is not there."""
    compared: dict[str, Any] = {}
    if hasattr(options, "against"):
        found = {other: versions.resolve(workspace, other) for other in options.against}
        compared["others"] = {other: Table(v.data_path) for other, v in found.items()}
    return check.annotate(rows, options, tell=tell, **compared)


def look(
    workspace: Workspace, version: Version, check: Check, options: Any, tell: Tell
) -> Findings:
    """What a check finds in a version; what was looked for before is not looked for again."""
    known = store.find(version, check, options)
    if known is not None:
        return known
    found = annotate(workspace, Table(version.data_path), check, options, tell)
    try:
        findings = store.write(version, check, options, found)
    except WorkbenchError:
        # Two runs may be started at once: somebody else was faster.
        known = store.find(version, check, options)
        if known is None:
            raise
        return known
    data_card.refresh(version)
    return findings
