"""The making of a version from a recipe as a job: `python -m workbench.data.replay_job FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data import recipe as recipes
from workbench.data.recipe import Recipe
from workbench.data.replay import check_sources, make
from workbench.data.versions import Step
from workbench.files import read_json, write_json
from workbench.jobs import tasks
from workbench.jobs.control import Control
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job
from workbench.workspace import Workspace

KIND = "recipe"
_STEPS = "steps.json"


def start(workspace: Workspace, recipe: Recipe) -> Path:
    """Start making what a recipe describes as a task; returns the task's folder.

    The version's reference is what the task gives as its result. Raises WorkbenchError when a
    source isn't there, and for a step that can't be done.
    """
    recipes.parse(recipe.to_json(), "the recipe")
    check_sources(workspace, recipe)
    request = {"recipe": recipe.to_json()}
    return tasks.start(workspace, KIND, "workbench.data.replay_job", request)


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Make what the folder's request describes.

    Raises Stopped, with nothing written, once a person asks for it.
    """
    recipe = recipe_of(folder)
    did: list[Step] = []
    version = make(tasks.workspace_of(folder), recipe, ProgressLog(log, control), did)
    write_json(folder / _STEPS, [asdict(step) for step in did])
    return Finished(stopped=False, result=version.reference)


def recipe_of(folder: Path) -> Recipe:
    """What a task makes a version of."""
    return recipes.parse(tasks.read_request(folder)["recipe"], "the request")


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """What each step of a task that has finished did."""
    steps: list[dict[str, Any]] = read_json(folder / _STEPS)
    return steps


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
