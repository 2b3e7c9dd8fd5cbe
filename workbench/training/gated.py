"""The gate at a run's first start: its data judged before the base is loaded."""

from __future__ import annotations

from pathlib import Path

from workbench.config.schema import RunConfig
from workbench.data import gate, versions
from workbench.data.gate import Gate
from workbench.data.gate_findings import YELLOW
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.jobs.control import Control
from workbench.jobs.events import Notice
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.tracking import manifest
from workbench.workspace import Workspace


def pass_gate(
    folder: Path, config: RunConfig, template: ChatTemplate, log: LogWriter, control: Control
) -> None:
    """Judge the data of the run in `folder`, and write what was found into its manifest.

    Once a run: one that has passed, or has trained before, is let through. Raises WorkbenchError
    that names each red finding which the config doesn't accept, and Stopped once the end is
    asked for.
    """
    made = manifest.read(folder)
    if made.get("gate", {}).get("passed") or made.get("starts"):
        return
    workspace = Workspace(folder.parent.parent)
    version = versions.resolve(workspace, config.data.dataset)
    tell = ProgressLog(log, control, put_off=True)
    found = gate.look(workspace, version, template, config, tell)
    manifest.update(folder, gate=found.to_json())
    refuse(found)
    for text in notices(found):
        log.write(Notice(text, "warning"))


def refuse(found: Gate) -> None:
    """Raises WorkbenchError for red findings that nobody accepts: each with its count, its first
    rows, the command that shows them and what lets the run start all the same."""
    if not (refused := found.refused):
        return
    lines = [f"\n  {line}" for finding in refused for line in finding.lines()]
    hints = [finding.advice for finding in refused]
    if accepted := [finding.name for finding in refused if finding.acceptable]:
        names = ", ".join(dict.fromkeys([*found.accept, *accepted]))
        hints.append(f"To start with the data as it is, put into the config: accept: [{names}]")
    what = "a check of the data" if len(refused) == 1 else f"{len(refused)} checks of the data"
    raise WorkbenchError(
        f"The run may not start: {what} found in {found.dataset}:{''.join(lines)}",
        "\n".join(hints),
        "bad_row",
    )


def notices(found: Gate) -> list[str]:
    """What is to be said of data that a run starts with."""
    accepted = [f"Accepted: {finding.name}: {finding.text}." for finding in found.accepted]
    unneeded = [f"accept has {name}, which nothing was found of." for name in found.unneeded]
    yellow = [
        " ".join(part for part in (f"{finding.name}: {finding.text}.", finding.advice) if part)
        for finding in found.findings
        if finding.level == YELLOW
    ]
    return [*accepted, *unneeded, *yellow]
