"""Corrected turns of a conversation, as rows of a dataset that can be mixed with others."""

from __future__ import annotations

import shutil
from dataclasses import replace

from workbench.data import versions
from workbench.data.example import Example
from workbench.data.versions import DATA, REMOVED, Step, Version
from workbench.errors import WorkbenchError
from workbench.files import scratch_folder
from workbench.jobs.progress import untold
from workbench.workspace import Workspace, check_name

NAME = "corrections"
_KIND = "chat"


def check(workspace: Workspace, name: str) -> Version | None:
    """The newest version of the dataset `name`, which corrections may be added to; None without.

    Raises WorkbenchError for a dataset that was made in another way: its recipe could not make it
    again.
    """
    check_name(name, "dataset")
    before = next((v for v in versions.list_versions(workspace) if v.name == name), None)
    if before is None:
        return None
    if any(source.get("kind") != _KIND for source in versions.describe(before)["sources"]):
        raise WorkbenchError(
            f"The dataset {name} was not made of corrections: a row more would not be in its "
            "recipe.",
            f"Name another one, such as {NAME}, and mix the two: workbench data mix.",
        )
    return before


def add(workspace: Workspace, name: str, example: Example, run: str) -> Version:
    """A version more of the dataset `name`, with this row as its last.

    Raises WorkbenchError for a response that says nothing, and as `check` does.
    """
    before = check(workspace, name)
    if not example.messages[-1].content.strip():
        raise WorkbenchError("The correction is empty.", "Write what it should have said.")
    sources, steps = [{"kind": _KIND, "run": run}], []
    if before is not None:
        about = versions.describe(before)
        known = [source for source in about["sources"] if source not in sources]
        sources, steps = [*known, *sources], [Step(**step) for step in about["steps"]]
    rows = before.rows if before else 0
    parameters = {"run": run, "said by": example.source.partition(":")[2]}
    steps.append(Step("correct", rows, rows + 1, parameters))
    row = replace(example, source=f"{_KIND}:{run}:{rows + 1}")
    with scratch_folder(workspace.datasets / name / "making") as folder:
        if before is not None:
            shutil.copyfile(before.data_path, folder / DATA)
        with (folder / DATA).open("a", encoding="utf-8") as stream:
            stream.write(f"{row.to_line()}\n")
        (folder / REMOVED).touch()
        return versions.keep(
            workspace, name, folder, sources=sources, steps=steps, removed=0, tell=untold
        )
