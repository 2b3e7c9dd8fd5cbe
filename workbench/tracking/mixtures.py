"""The mixture that a config asks for in place of a dataset: what would be in it, and its version.

A run is of a dataset version like any other, and names it: the mixture is made when the run is
created, by the recipe that `workbench data mix` would write, unless the same recipe has made a
version of that name before.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass

from workbench.config.loading import ConfigError, ConfigProblem
from workbench.config.schema import RunConfig
from workbench.data import mixing, versions
from workbench.data.mixing import Planned
from workbench.data.recipe import Mix, Recipe
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs import tasks
from workbench.jobs.client import command
from workbench.jobs.waiting import wait
from workbench.saying import Say
from workbench.workspace import Workspace

_PATH = "data.mixture"


@dataclass(frozen=True, slots=True)
class Mixture:
    """What `data.mixture` stands for."""

    parts: tuple[Version, ...]
    """By their references, whatever the order in the config."""
    step: Mix
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of the dataset: the config's name and `-mix`."""
        return self.recipe.name

    @property
    def command(self) -> str:
        """What makes the same version by hand."""
        parts = [f"{name}={weight!r}" for name, weight in self.step.weights.items()]
        if self.step.rows is not None:
            parts += ["--rows", str(self.step.rows)]
        if self.step.seed:
            parts += ["--seed", str(self.step.seed)]
        return shlex.join(["workbench", "data", "mix", self.name, *parts])

    def preview(self) -> list[Planned]:
        """Its shares, as `mixing.preview` counts them. Raises WorkbenchError as that does."""
        return mixing.preview(self.parts, self.step, None)


def of(workspace: Workspace, config: RunConfig) -> Mixture:
    """The mixture of a config that has one; its seed is `training.seed`.

    Raises ConfigError for versions that aren't there, or are named twice.
    """
    weights: dict[str, float] = {}
    parts, problems = [], []
    for name, weight in config.data.mixture.items():
        path = f"{_PATH}.{name}"
        try:
            version = versions.resolve(workspace, name)
        except WorkbenchError as error:
            problems.append(ConfigProblem(path, " ".join(str(error).split())))
            continue
        if version.reference in weights:
            text = f"{version.reference} is named twice. Its share is its weight: write it once."
            problems.append(ConfigProblem(path, text))
            continue
        parts.append(version)
        weights[version.reference] = weight
    if problems:
        raise ConfigError("The config", problems)
    parts.sort(key=lambda version: version.reference)
    step = Mix(
        by="source",
        weights={version.reference: weights[version.reference] for version in parts},
        rows=config.data.mixture_rows,
        seed=config.training.seed,
    )
    recipe = mixing.recipe_of(f"{config.name}-mix", parts, step)
    return Mixture(tuple(parts), step, recipe)


def check(workspace: Workspace, config: RunConfig) -> None:
    """Raises ConfigError as `of` does, and for a mixture that can't be had of these versions."""
    mixture = of(workspace, config)
    try:
        mixture.preview()
    except WorkbenchError as error:
        problem = ConfigProblem(_PATH, " ".join(str(error).split()))
        raise ConfigError("The config", [problem]) from error


def find(workspace: Workspace, mixture: Mixture) -> Version | None:
    """The newest version that this recipe has made; None where there is none."""
    recipe = mixture.recipe.to_json()
    named = (v for v in versions.list_versions(workspace) if v.name == mixture.name)
    return next((v for v in named if versions.describe(v).get("recipe") == recipe), None)


def make(workspace: Workspace, mixture: Mixture, say: Say) -> Version:
    """The mixture's version, found or made: as a job, so that a million rows block nobody.

    Raises JobFailed in the job's own words, and WorkbenchError when it was stopped.
    """
    from workbench.data import replay_job

    if (found := find(workspace, mixture)) is not None:
        say(f"The mixture is made already: {found.reference}.")
        return found
    say(f"mixing {', '.join(version.reference for version in mixture.parts)}")
    folder = replay_job.start(workspace, mixture.recipe)
    try:
        status = wait(folder)
    except KeyboardInterrupt:
        with suppress(WorkbenchError):  # it has ended in this moment
            command(folder, "stop_now")
        raise
    if status != "finished":
        raise WorkbenchError(f"The mixture {mixture.name} was stopped before it was made.")
    made = versions.resolve(workspace, tasks.result(folder))
    say(f"The mixture is {made.reference}, {made.rows:,} rows.")
    return made
